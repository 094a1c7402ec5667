"""The backends, precisions and devices there are, by name."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec

from dongfeng.backends.base import BackendType
from dongfeng.errors import BackendUnavailable
from dongfeng.support.exceptions import first_line

# Name -> "module:class"; a backend's library may be missing, heavy or broken, so nothing is imported before it is used.
BACKENDS = {
    "onnxruntime": "dongfeng.backends.onnxruntime:OnnxRuntime",
    "openvino": "dongfeng.backends.openvino:OpenVino",
    "ncnn": "dongfeng.backends.ncnn:Ncnn",
    "tensorrt": "dongfeng.backends.tensorrt.backend:TensorRt",
    "tensorrt_rtx": "dongfeng.backends.tensorrt.backend:TensorRtRtx",
}
PRECISIONS = ("fp32", "fp16", "bf16", "int8")
# What "auto" takes, fastest first, by the package that each needs; measurements: docs/backends.md.
_FASTEST = {"bf16": ("openvino", "ncnn"), "int8": ("openvino", "onnxruntime")}
_DEFAULT = ("onnxruntime",)


def backend_type(name: str, *, precision: str = "auto") -> BackendType:
    """Import the backend of that name; "auto" is the one that `auto_backend` chooses.

    Raises:
        BackendUnavailable: there is none of that name.
    """
    name = auto_backend(precision) if name == "auto" else name
    if name not in BACKENDS:
        raise BackendUnavailable(f'no backend is called "{name}"; there are: {", ".join(("auto", *BACKENDS))}')
    module, _, attribute = BACKENDS[name].partition(":")
    found: BackendType = getattr(import_module(module), attribute)
    return found


def auto_backend(precision: str) -> str:
    """Return the name of the backend that "auto" means: the fastest for the precision of those that are installed.

    For fp32 it is ONNX Runtime, which is always there: docs/backends.md says why.

    Raises:
        BackendUnavailable: the precision needs a package that is not installed.
    """
    for name in _FASTEST.get(precision, _DEFAULT):
        if find_spec(name) is not None:
            return name
    raise BackendUnavailable(f'precision "{precision}" needs OpenVINO or ncnn; run: pip install "dongfeng[openvino]"')


def check_backends() -> dict[str, str | None]:
    """Run every backend's self-check.

    Returns:
        Name -> what is wrong, None if it works.
    """
    results: dict[str, str | None] = {}
    for name in BACKENDS:
        try:
            results[name] = backend_type(name).check()
        except Exception as error:  # a broken library can raise anything, and the others are still worth a look
            results[name] = f"{type(error).__name__}: {first_line(error)}"
    return results


def not_a_choice(precision: str, device: str) -> str | None:
    """Say what is wrong with a precision or device that no backend knows; None if nothing is."""
    if precision not in ("auto", *PRECISIONS):
        return f'no precision is called "{precision}"; there are: {", ".join(("auto", *PRECISIONS))}'
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        return f'no device is called "{device}"; there are: auto, cpu, cuda, cuda:N'
    return None


def on_cpu_only(name: str, device: str) -> str | None:
    """Say why a backend that has only the CPU cannot run on that device; None if it can."""
    if not device.startswith("cuda"):
        return None
    return f'backend "{name}" runs on the CPU; for device "{device}" use backend="onnxruntime"'
