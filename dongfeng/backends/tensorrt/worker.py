"""Build one engine in a process of its own: `python -m dongfeng.backends.tensorrt.worker JOB`.

A build that fails can change a later one in the same process, and may end the process. JOB is a JSON file of `Job`; the
model is in its folder, where the log and the result are written too.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from dongfeng.backends.tensorrt.library import configure, import_library, logger, network_flags
from dongfeng.backends.tensorrt.sidecar import Port
from dongfeng.errors import ConversionError, DongfengError
from dongfeng.support.json_dataclass import as_json, read_as
from dongfeng.support.strict_json import JsonFormat

FORMAT = JsonFormat(ConversionError, "build again")
MODEL, LOG, RESULT = "model.onnx", "log", "result.json"  # in the job's folder: `RESULT` is JSON of `BuildResult`
_SERIOUS = ("WARNING", "ERROR", "INTERNAL_ERROR")


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """The precision, target and limits of an engine.

    Attributes:
        precision: "fp32", "fp16" or "int8", which the types in the model follow.
        target: "tensorrt_rtx" or "tensorrt".
        compute_capabilities: GPUs to build for; empty: the library's default.
        workspace_mb: Most scratch memory, in MiB; None: the library's own limit.
        dynamic: Least, best and largest batch; None where the batch is fixed.
        tf32: Whether what is fp32 may be computed in TF32.
    """

    precision: str
    target: str
    compute_capabilities: tuple[str, ...]
    workspace_mb: int | None
    dynamic: tuple[int, int, int] | None
    tf32: bool


@dataclass(frozen=True)
class Job:
    """An engine to build, and the file to write it to."""

    settings: EngineSettings
    plan: str


@dataclass(kw_only=True)
class BuildResult:
    """The outcome of a job.

    Attributes:
        problem: Why there is no plan; empty where there is one.
        library_version: Version of the library.
        layers: The builder's list of kernels.
        inspector: The engine's own list, JSON; empty where there is no GPU.
        built_on: Compute capability of the GPU; None where there is none.
        inputs: By name.
        outputs: By name.
    """

    problem: str = ""
    library_version: str = ""
    layers: str = ""
    inspector: str = ""
    built_on: str | None = None
    inputs: Mapping[str, Port] = field(default_factory=dict)
    outputs: Mapping[str, Port] = field(default_factory=dict)


def write(message: Job | BuildResult, path: str | Path) -> None:
    """Write a job or a result to a file, for `FORMAT` to read."""
    Path(path).write_text(json.dumps(as_json(message)), encoding="utf-8")


class _Log:
    """Write every message to a file, and keeps those that the result needs."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.layers = ""
        self.serious: list[tuple[str, str]] = []

    def __call__(self, severity: str, message: str) -> None:
        self._file.write(f"[{severity}] {message}\n")
        self._file.flush()  # the last message before a crash tells its cause
        if message.startswith("Layers:"):
            self.layers = message
        if severity in _SERIOUS:
            self.serious.append((severity, " ".join(message.split())))

    def last_error(self) -> str:
        errors = [message for severity, message in self.serious if severity != "WARNING"]
        return errors[0] if errors else "it gave no reason"


def main(argv: Sequence[str]) -> int:
    """Build what the job says; a failure is part of the result."""
    job, folder = read_as(Job, FORMAT.read(argv[0])), Path(argv[0]).parent
    result = BuildResult()
    with (folder / LOG).open("w", encoding="utf-8") as file:
        try:
            _build(job, folder / MODEL, _Log(file), result)
        except DongfengError as error:
            result.problem = str(error)
    write(result, folder / RESULT)
    return 0


def _build(job: Job, model: Path, log: _Log, result: BuildResult) -> None:
    settings = job.settings
    library = import_library(settings.target)
    result.library_version = str(library.__version__)
    builder = library.Builder(logger(library, log))
    if builder is None:
        raise ConversionError(f"there is no builder: {log.last_error()}")
    network = builder.create_network(network_flags(library))
    _parse(library, network, model, log)
    config = builder.create_builder_config()
    configure(
        library,
        config,
        tf32=settings.tf32,
        workspace_mb=settings.workspace_mb,
        compute_capability=settings.compute_capabilities,
    )
    _set_batch(builder, network, config, settings.dynamic)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ConversionError(f"the builder refused the network: {log.last_error()}")
    result.layers = log.layers
    result.inputs = {tensor.name: _port(library, tensor) for tensor in _inputs(network)}
    result.outputs = {tensor.name: _port(library, tensor) for tensor in _outputs(network)}
    content = bytes(plan)
    Path(job.plan).write_bytes(content)
    with contextlib.suppress(Exception):  # the engine is there; the builder's list says what is in it as well
        result.inspector, result.built_on = _inspected(library, content, log)


def _parse(library: Any, network: Any, onnx: Path, log: _Log) -> None:
    parser = library.OnnxParser(network, logger(library, log))
    if parser.parse(onnx.read_bytes()):
        return
    problems = [parser.get_error(index) for index in range(parser.num_errors)]
    errors = [
        f"{problem.node_operator() or 'model'} {problem.node_name()!r}: {' '.join(problem.desc().split())}"
        for problem in problems
    ]
    raise ConversionError(f"the parser refused the model: {'; '.join(errors) or log.last_error()}")


def _set_batch(builder: Any, network: Any, config: Any, dynamic: Sequence[int] | None) -> None:
    """Set how large a dynamic batch may be; the library itself only warns of what does not fit.

    Raises:
        ConversionError: the batch is dynamic and its size not given, or the other way round, or more than the batch is.
    """
    inputs, outputs = _inputs(network), _outputs(network)
    is_dynamic = [tensor.name for tensor in inputs if -1 in tuple(tensor.shape)]
    if not is_dynamic and dynamic is None:
        return
    sized = [tensor.name for tensor in inputs if -1 in tuple(tensor.shape)[1:]]
    if sized:
        raise ConversionError(f'input "{sized[0]}" has a dynamic height and width; export it with one size')
    if dynamic is None:
        raise ConversionError(f'input "{is_dynamic[0]}" has a dynamic batch; say how large it may be, such as 1x1x8')
    if not is_dynamic:
        raise ConversionError(
            'the model has a fixed batch; export it with a dynamic one: to_onnx(..., dynamic="batch")'
        )
    fixed = [tensor.name for tensor in outputs if tensor.shape[0] != -1]
    if fixed:
        raise ConversionError(f'output "{fixed[0]}" has a batch of {tuple(outputs[0].shape)[0]} whatever the input has')
    profile = builder.create_optimization_profile()
    for tensor in inputs:
        if tensor.name in is_dynamic:
            profile.set_shape(tensor.name, *((batch, *tuple(tensor.shape)[1:]) for batch in dynamic))
    config.add_optimization_profile(profile)


def _inputs(network: Any) -> list[Any]:
    return [network.get_input(index) for index in range(network.num_inputs)]


def _outputs(network: Any) -> list[Any]:
    return [network.get_output(index) for index in range(network.num_outputs)]


def _port(library: Any, tensor: Any) -> Port:
    import numpy as np

    return Port(tuple(tensor.shape), np.dtype(library.nptype(tensor.dtype)).name)


def _inspected(library: Any, plan: bytes, log: _Log) -> tuple[str, str | None]:
    """Return the engine's own list of layers, as JSON, and the GPU's compute capability; empty and None without one."""
    from dongfeng.backends.tensorrt.gpu import compute_capability

    capability = compute_capability()
    if capability is None:
        return "", None
    engine = library.Runtime(logger(library, log)).deserialize_cuda_engine(plan)
    if engine is None:
        return "", capability
    inspector = engine.create_engine_inspector()
    return str(inspector.get_engine_information(library.LayerInformationFormat.JSON)), capability


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
