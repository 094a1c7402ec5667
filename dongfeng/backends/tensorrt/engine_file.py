"""Engine files: whether one is whole, fits this machine and may be run.

The libraries notice neither a flipped byte nor a plan that is cut short, so the sidecar holds size and hash. An
engine is a program, for the GPU and for its host: loading one from a stranger is running the stranger's program.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from dongfeng.backends.tensorrt.built_here import is_built_here
from dongfeng.backends.tensorrt.library import TARGETS, header_complaint, import_library, is_installed
from dongfeng.backends.tensorrt.sidecar import Sidecar, read_sidecar, sidecar_path
from dongfeng.errors import BackendUnavailable, EngineMismatch, UnknownModel

SUFFIXES = (".engine", ".plan")
OLDEST_CAPABILITY = 8.0  # that TensorRT-RTX builds for by default
_MAGIC = b"trt"  # second to fourth byte of every plan
_SMALLEST = 64  # bytes of a plan's header


@dataclass(frozen=True)
class Engine:
    """An engine file that has been checked.

    Attributes:
        content: The library's plan.
        path: The file.
        target: "tensorrt_rtx" or "tensorrt".
        sidecar: What stands beside it; None where nothing does.
    """

    content: bytes
    path: Path
    target: str
    sidecar: Sidecar | None


def read_engine(path: str | PathLike[str], *, trust: bool = False, backend: str = "auto") -> Engine:
    """Read an engine file, if it is whole, is for the library that is here, and may be run.

    Whether it fits the GPU is for `check_gpu`; everything else can be checked without one.

    Args:
        path: The file.
        trust: Run it though dongfeng did not build it on this machine.
        backend: "tensorrt_rtx" or "tensorrt"; "auto": what the sidecar says.

    Raises:
        UnknownModel: there is no such file.
        EngineMismatch: it is damaged, for another library or version, or not trusted.
        BackendUnavailable: its library is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise UnknownModel(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}")
    plan = path.read_bytes()
    sidecar = read_sidecar(path)
    sha256 = hashlib.sha256(plan).hexdigest()
    rebuild = f"dongfeng convert NET -o {path}" if sidecar is None else sidecar.rebuild
    reason = _damage(plan, sidecar, sha256)
    if reason is not None:
        raise _mismatch(path, rebuild, reason)
    target = sidecar.target if sidecar is not None and backend == "auto" else backend
    if sidecar is not None and target != sidecar.target:
        raise _mismatch(path, rebuild, f'is for backend "{sidecar.target}", not "{target}"')
    if not trust and (sidecar is None or not is_built_here(sha256)):
        raise EngineMismatch(
            f"{path}: was not built on this machine by dongfeng; an engine is a program: build it here from its ONNX "
            "file, or, if you trust where it is from, load it with trust=True"
        )
    if target not in TARGETS:
        raise EngineMismatch(
            f"{path}: {sidecar_path(path).name} is not beside it, so it does not say what it is for; give "
            f"backend={' or '.join(map(repr, TARGETS))}"
        )
    reason = _library_problem(plan, target, sidecar)
    if reason is not None:
        raise _mismatch(path, rebuild, reason)
    return Engine(plan, path, target, sidecar)


def check_gpu(engine: Engine, capability: str) -> None:
    """Refuse an engine that is for other GPUs.

    Args:
        engine: The engine.
        capability: Compute capability of the GPU that shall run it, such as "8.6".

    Raises:
        EngineMismatch: with the command that builds it for this one.
    """
    sidecar = engine.sidecar
    if sidecar is None:
        return
    built_for, rebuild = sidecar.compute_capabilities, sidecar.rebuild
    if engine.target == "tensorrt":
        fits = sidecar.built_on in (None, capability)
        what = f"was built on a GPU of compute capability {sidecar.built_on}"
    else:
        fits = capability in built_for if built_for else float(capability) >= OLDEST_CAPABILITY
        what = f"is for GPUs of compute capability {', '.join(built_for) or '8.0 and later'}"
        rebuild += f" --compute-capability {capability}"
    if not fits:
        raise _mismatch(engine.path, rebuild, f"{what}; this is {capability}")


def _damage(plan: bytes, sidecar: Sidecar | None, sha256: str) -> str | None:
    """Return what is wrong with the file itself; None if nothing is."""
    if sidecar is not None and len(plan) != sidecar.plan_bytes:
        what = "cut short" if len(plan) < sidecar.plan_bytes else "too long"
        return f"is {what}: {len(plan)} bytes, its sidecar says {sidecar.plan_bytes}"
    if len(plan) < _SMALLEST or plan[1:4] != _MAGIC:
        begins = plan[:4].decode("ascii", "backslashreplace")
        return f'is no engine of TensorRT or TensorRT-RTX (it begins with "{begins}")'
    if sidecar is not None and sha256 != sidecar.plan_sha256:
        return "is damaged, or not the file its sidecar describes: its SHA-256 is another"
    return None


def _library_problem(plan: bytes, target: str, sidecar: Sidecar | None) -> str | None:
    """Return why the library that is here cannot run it; None if it can.

    Raises:
        BackendUnavailable: the library is not here.
    """
    if not is_installed(target) and sidecar is not None:
        raise BackendUnavailable(
            f"the engine needs {TARGETS[target]} {sidecar.library_version}, which is not installed; run: "
            f'pip install "{target.replace("_", "-")}=={sidecar.library_version}"'
        )
    library = import_library(target)
    if sidecar is not None and sidecar.library_version != library.__version__:
        return f"was built by {TARGETS[target]} {sidecar.library_version}; installed is {library.__version__}"
    complaint = header_complaint(library, plan)
    return None if complaint is None else f"{TARGETS[target]} {library.__version__} says: {complaint}"


def _mismatch(path: Path, rebuild: str, reason: str) -> EngineMismatch:
    return EngineMismatch(f"{path}: {reason}; build it again: {rebuild}")
