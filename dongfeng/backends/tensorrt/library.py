"""TensorRT and TensorRT-RTX in any version: where they differ, features are looked for, not version numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from dongfeng.errors import BackendUnavailable, ConversionError
from dongfeng.support.exceptions import first_line

TARGETS = {"tensorrt_rtx": "TensorRT-RTX", "tensorrt": "TensorRT"}  # module -> what its maker calls it

Log = Callable[[str, str], None]  # severity, such as "ERROR", and message


def check_target(target: str) -> None:
    """Refuse an unknown target.

    Raises:
        BackendUnavailable: the message names those there are.
    """
    if target not in TARGETS:
        raise BackendUnavailable(f'no engine target is called "{target}"; there are: {", ".join(TARGETS)}')


def is_installed(target: str) -> bool:
    """Whether the library's package is here; it is not imported."""
    return find_spec(target) is not None


def how_to_install(target: str) -> str:
    """Return the command that installs the library."""
    return f'pip install "dongfeng[{target.replace("_", "-")}]"'


def import_library(target: str) -> Any:
    """Import the library of a target.

    Raises:
        BackendUnavailable: it is not installed, does not load, or is too old to take every type from the ONNX file.
    """
    check_target(target)
    if not is_installed(target):
        raise BackendUnavailable(f"{TARGETS[target]} is not installed; run: {how_to_install(target)}")
    try:
        library = import_module(target)
    except Exception as error:  # a broken installation raises whatever its loader does
        raise BackendUnavailable(
            f"{TARGETS[target]} cannot be imported ({first_line(error)}); run: {how_to_install(target)}"
        ) from error
    if _typed_flag(library) is None and hasattr(library.BuilderFlag, "FP16"):
        raise BackendUnavailable(
            f"{TARGETS[target]} {library.__version__} has no strongly typed networks; for old boards use "
            f"`dongfeng export-trtexec`, else run: {how_to_install(target)}"
        )
    return library


def logger(library: Any, log: Log) -> Any:
    """Return a logger that hands every message on; the library reports errors nowhere else."""

    class Logger(library.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            library.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            log(severity.name, message)

    return Logger()


def network_flags(library: Any) -> int:
    """Return the flags of a network whose types are those of its ONNX file and nothing else."""
    flag = _typed_flag(library)
    return 0 if flag is None else 1 << int(flag)  # without the flag, all networks are such


def _typed_flag(library: Any) -> Any:
    return getattr(library.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)


def configure(
    library: Any, config: Any, *, tf32: bool, workspace_mb: int | None, compute_capability: Sequence[str]
) -> None:
    """Set what an engine is built with.

    Raises:
        ConversionError: the library does not know a compute capability, or builds for its own GPU alone.
    """
    config.profiling_verbosity = library.ProfilingVerbosity.DETAILED
    set_flag = config.set_flag if tf32 else config.clear_flag  # it is set by default
    set_flag(library.BuilderFlag.TF32)
    if workspace_mb is not None:
        config.set_memory_pool_limit(library.MemoryPoolType.WORKSPACE, workspace_mb << 20)
    if not compute_capability:
        return
    known = compute_capabilities(library)
    if not known:
        raise ConversionError("this library builds for the GPU it runs on; leave out the compute capability")
    unknown = sorted(set(compute_capability) - set(known))
    if unknown:
        raise ConversionError(
            f"compute capability {', '.join(unknown)}: this library builds for {', '.join(sorted(known, key=float))}"
        )
    config.num_compute_capabilities = len(compute_capability)
    for index, capability in enumerate(compute_capability):
        config.set_compute_capability(known[capability], index)


def compute_capabilities(library: Any) -> dict[str, Any]:
    """Return the GPUs that the library can build for without having one, by name, such as "8.6".

    Empty for a library that builds for the GPU it runs on alone.
    """
    capabilities = getattr(library, "ComputeCapability", None)
    found = {} if capabilities is None else capabilities.__members__
    return {f"{name[2:-1]}.{name[-1]}": value for name, value in found.items() if name.startswith("SM")}


def header_complaint(library: Any, plan: bytes) -> str | None:
    """Return what the library itself has against the header of a plan; None if nothing, or if it cannot check one.

    Neither a plan that is cut behind its header nor one with flipped bytes is noticed.
    """
    messages: list[str] = []
    runtime = library.Runtime(logger(library, lambda _, message: messages.append(message)))
    if not hasattr(runtime, "get_engine_validity"):
        return None
    runtime.get_engine_validity(plan)
    about_engine = [message for message in messages if message.startswith("The engine")]
    return _readable(about_engine[0]) if about_engine else None


def _readable(message: str) -> str:
    """Return a message with the numbers of a version as digits: the library prints them as characters."""
    first = message.partition(". ")[0].rstrip(".")
    return "".join(char if char.isprintable() else str(ord(char)) for char in first)
