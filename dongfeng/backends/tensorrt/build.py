"""Building an engine file with its sidecar from an ONNX model, and auditing it."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dongfeng._version import __version__
from dongfeng.backends.tensorrt import built_here
from dongfeng.backends.tensorrt.audit import Audit, AuditSource, audit
from dongfeng.backends.tensorrt.kernels import EngineKernel, parse_builder, parse_inspector
from dongfeng.backends.tensorrt.library import TARGETS, import_library
from dongfeng.backends.tensorrt.prepare import in_precision, nodes_of, read_model
from dongfeng.backends.tensorrt.sidecar import Sidecar, sidecar_path
from dongfeng.backends.tensorrt.worker import FORMAT, LOG, MODEL, RESULT, BuildResult, EngineSettings, Job, write
from dongfeng.errors import BackendUnavailable, ConversionError, DongfengWarning
from dongfeng.passes.head import Head
from dongfeng.support.files import replacing
from dongfeng.support.json_dataclass import as_json, read_as

if TYPE_CHECKING:
    import onnx

PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class EngineReport:
    """An engine that was built.

    Attributes:
        path: The engine file; its sidecar is beside it, `PATH.json`.
        sidecar: What the sidecar says.
        audit: What the engine computes in.
        build_s: Seconds that the build took, calibration not counted.
    """

    path: Path
    sidecar: Sidecar
    audit: Audit
    build_s: float


def build_engine(  # noqa: PLR0913 - one keyword for each thing an engine is built for
    model: onnx.ModelProto | str | PathLike[str],
    path: str | PathLike[str],
    *,
    precision: str = "fp32",
    target: str = "tensorrt_rtx",
    compute_capability: Sequence[str | float] = (),
    workspace_mb: int | None = None,
    dynamic: tuple[int, int, int] | None = None,
    batches: Iterable[npt.NDArray[np.float32]] = (),
    in_float: Collection[str] | None = None,
    head: Head | None = None,
    tf32: bool = False,
    rebuild: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> EngineReport:
    """Build an engine file from a float ONNX model, and audit what it computes in.

    The engine is built from an ONNX model that has all its types in it, so that the library has no choice.
    The engine and its sidecar appear together, or neither.

    Args:
        model: The model or its file; BatchNorm has to be folded for int8.
        path: Engine file to write.
        precision: "fp32"; "fp16": inputs and outputs stay float32; "int8": convolutions in eight bits, what stays in
            float in fp16.
        target: "tensorrt_rtx", which builds without a GPU, or "tensorrt", which builds for the GPU it runs on.
        compute_capability: GPUs to build for, such as "8.6"; default: TensorRT-RTX's own, 8.0 and later.
        workspace_mb: Most scratch memory, in MiB (2**20 bytes).
        dynamic: Least, best and largest batch, for a model whose batch is dynamic.
        batches: For int8: inputs to calibrate with, (N, C, H, W) float32, as the network takes them, about ten. None
            are needed for a model that is quantized already, with zero points 0 and float biases.
        in_float: For int8: nodes that stay in float; None: found by measurement.
        head: What to compute in the engine before and after the network.
        tf32: Whether fp32 may be computed in TF32, with ten bits of mantissa.
        rebuild: The command that builds it again, for whoever cannot load it; default: one for the command line.
        progress: Called with what is being done.

    Returns:
        Where it is, what it is, and what it computes in.

    Raises:
        BackendUnavailable: the library is not installed, or the target or precision does not exist.
        ConversionError: the library refuses the model, with its reason; or nothing came out in the precision asked for.
        OSError: the file cannot be read or written.
    """
    path = Path(path)
    settings = EngineSettings(
        precision=precision,
        target=target,
        compute_capabilities=tuple(dict.fromkeys(map(str, compute_capability))),
        workspace_mb=workspace_mb,
        dynamic=dynamic,
        tf32=tf32,
    )
    _check(settings)
    import_library(target)  # before any work is done
    float_model, onnx_sha256 = read_model(model)
    ready = in_precision(float_model, precision, batches, in_float=in_float, progress=progress)
    if head is not None:
        ready = head.put_on(ready)
    progress(f"build for {TARGETS[target]}")
    start = time.perf_counter()
    with replacing(path) as plan, replacing(sidecar_path(path)) as sidecar_file:
        result = _in_a_process(ready, plan, settings, path)
        build_s = time.perf_counter() - start
        found = _audited(result, ready, precision, path)
        content = plan.read_bytes()
        metadata = {entry.key: entry.value for entry in ready.metadata_props}
        sidecar = Sidecar(
            target=target,
            library_version=result.library_version,
            dongfeng_version=__version__,
            precision=precision,
            tf32=tf32,
            compute_capabilities=settings.compute_capabilities,
            built_on=result.built_on,
            onnx_sha256=onnx_sha256,
            plan_sha256=hashlib.sha256(content).hexdigest(),
            plan_bytes=len(content),
            inputs=result.inputs,
            outputs=result.outputs,
            dynamic=dynamic,
            rebuild=rebuild or _command(settings, metadata, path),
            metadata=metadata,
            audit=found,
        )
        sidecar_file.write_text(json.dumps(as_json(sidecar), indent=1) + "\n", encoding="utf-8")
        built_here.record(sidecar.plan_sha256, path)
    return EngineReport(path, sidecar, found, build_s)


def _check(settings: EngineSettings) -> None:
    """Refuse what cannot be meant, before any work is done."""
    precision, dynamic, workspace_mb = settings.precision, settings.dynamic, settings.workspace_mb
    if precision not in PRECISIONS:
        raise BackendUnavailable(f'engines are built in {", ".join(PRECISIONS)}; the precision is "{precision}"')
    if dynamic is not None and not 1 <= dynamic[0] <= dynamic[1] <= dynamic[2]:
        batches = "x".join(map(str, dynamic))
        raise ConversionError(f"dynamic batch {batches}: expected MINxOPTxMAX, growing, such as 1x4x8")
    if workspace_mb is not None and workspace_mb < 1:
        raise ConversionError(f"the workspace is {workspace_mb} MB; expected at least 1")


def _command(settings: EngineSettings, metadata: Mapping[str, str], path: Path) -> str:
    """Return the command line that builds such an engine."""
    name = json.loads(metadata.get("dongfeng.name", '"NET"'))
    words = ["dongfeng", "convert", str(name), "-o", str(path), "--precision", settings.precision]
    words += ["--target", settings.target]
    for capability in settings.compute_capabilities:
        words += ["--compute-capability", capability]
    if settings.workspace_mb is not None:
        words += ["--workspace", str(settings.workspace_mb)]
    if settings.dynamic is not None:
        words += ["--dynamic", "x".join(map(str, settings.dynamic))]
    return shlex.join([*words, *(["--images", "DIR"] if settings.precision == "int8" else [])])


def _in_a_process(model: onnx.ModelProto, plan: Path, settings: EngineSettings, path: Path) -> BuildResult:
    """Build the plan in a process of its own.

    Raises:
        ConversionError: the library refuses, or the process dies; its whole log is kept beside the engine.
    """
    with tempfile.TemporaryDirectory(prefix="dongfeng-engine-") as name:
        folder = Path(name)
        (folder / MODEL).write_bytes(model.SerializeToString())
        write(Job(settings, str(plan)), folder / "job.json")
        command = [sys.executable, "-m", "dongfeng.backends.tensorrt.worker", str(folder / "job.json")]
        done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False)
        if (folder / RESULT).is_file():
            result = read_as(BuildResult, FORMAT.read(folder / RESULT))
            if not result.problem:
                return result
            problem = result.problem
        else:
            problem = _died(done)
        kept = _keep_log(folder / LOG, path)
    raise ConversionError(f"{path}: {TARGETS[settings.target]}: {problem}{kept}")


def _environment() -> dict[str, str]:
    """Return environment variables with which a child process finds this dongfeng from any folder."""
    folders = (str(Path(__file__).resolve().parents[3]), os.environ.get("PYTHONPATH"))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))}


def _died(done: subprocess.CompletedProcess[str]) -> str:
    """Return what ended a process that has left no result."""
    errors = done.stderr.strip().splitlines()
    how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit status {done.returncode}"
    why = ", most likely for want of memory" if done.returncode == -9 else f": {errors[-1]}" if errors else ""
    return f"the building process died ({how}){why}"


def _keep_log(log: Path, path: Path) -> str:
    """Keep the log of a failed build where the engine would be, and return the end of a message that names it."""
    kept = path.with_name(f"{path.name}.log")
    try:
        kept.write_bytes(log.read_bytes())
    except OSError:
        return ""
    return f" (whole log: {kept})"


def _audited(result: BuildResult, model: onnx.ModelProto, precision: str, path: Path) -> Audit:
    """Audit what the engine computes in, by the inspector's list if that knows every layer, else by the builder's.

    Raises:
        ConversionError: the precision asked for is nowhere in it, or nobody can say.
    """
    nodes = nodes_of(model)
    sources: dict[AuditSource, list[EngineKernel]] = {
        "inspector": parse_inspector(result.inspector) if result.inspector else [],
        "builder": parse_builder(result.layers),
    }
    audits = [audit(kernels, nodes, precision, source) for source, kernels in sources.items() if kernels]
    if not audits:
        raise ConversionError(
            f"{path}: version {result.library_version} of the library does not list what the engine computes in, so "
            "its precision is not known"
        )
    found = next((one for one in audits if None not in {layer.precision for layer in one.layers}), audits[-1])
    if found.layers and len(found.exceptions) == len(found.layers):
        raise ConversionError(f"{path}: nothing came out in {precision}: {found.summary()}")
    surprising = [layer for layer in found.exceptions if not (precision == "int8" and layer.precision == "fp16")]
    if surprising:
        warnings.warn(f"{path}: {found.summary()}", DongfengWarning, stacklevel=3)
    return found
