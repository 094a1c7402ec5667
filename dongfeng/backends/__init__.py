"""What can run a network: one file per backend, imported on first use."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from dongfeng.errors import BackendUnavailable

Float = npt.NDArray[np.float32]
Array = npt.NDArray[Any]
Shape = tuple[int | None, ...]  # None: the model file makes the dimension dynamic

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
_MOST_LANES = 4


class Tensor(NamedTuple):
    """An input or output of a model.

    Attributes:
        shape: Its shape, None where dynamic.
        is_float32: Whether its elements are float32.
    """

    shape: Shape
    is_float32: bool


class Backend(Protocol):
    """A network ready to run.

    Attributes:
        name: The backend's name.
        precision: What it really computes in.
        device: "cpu" or "cuda:N", where it really runs.
        streams: How many calls of `run` at once use all of its threads.
        inputs: The network's inputs by name.
        outputs: The network's outputs by name.
        metadata: What the model file says of itself.
    """

    name: str
    precision: str
    device: str
    streams: int
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    metadata: Mapping[str, str]

    def run(self, inputs: Array, output: str) -> Float:
        """One output for one input, in the network's shape; may be called from several threads at once.

        Raises:
            BackendUnavailable: the backend is closed, or it fails, for want of memory for instance.
        """

    def infer(self, inputs: Array, outputs: Sequence[str]) -> dict[str, Array]:
        """Several outputs for one input, each in its own type; see `run`."""

    def close(self) -> None:
        """Free what the network holds; calls that are going on are finished first."""


class BackendType(Protocol):
    """A class of backends.

    Attributes:
        name: The backend's name.
        prefers_images: Whether it is better off with 8-bit images as input and their arithmetic in the graph.
    """

    name: str
    prefers_images: bool

    def __call__(
        self, model: Path | bytes, *, precision: str, device: str, threads: int | None, streams: int = 1
    ) -> Backend:
        """Make a network ready.

        Args:
            model: A file, or its content.
            precision: What to compute in, one of PRECISIONS.
            device: "auto", "cpu", "cuda" or "cuda:N".
            threads: Threads of the CPU; None: the backend's own choice.
            streams: Number of calls that shall share them, each with a part of its own.

        Raises:
            BackendUnavailable: it cannot run so on this machine; nothing else is tried instead.
        """

    def why_unavailable(self, precision: str, device: str) -> str | None:
        """Why this precision and device cannot run here, and what would help; None if they can."""

    def check(self) -> str | None:
        """Compute three numbers: what is wrong with them, None if nothing is."""


def backend_type(name: str, *, precision: str = "auto") -> BackendType:
    """The backend of that name; "auto" is the one that `auto_backend` chooses.

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
    """The backend that "auto" means: the fastest for the precision of those that are installed.

    For fp32 it is ONNX Runtime, which is always there: docs/backends.md says why.

    Raises:
        BackendUnavailable: the precision needs a package that is not installed.
    """
    for name in _FASTEST.get(precision, _DEFAULT):
        if find_spec(name) is not None:
            return name
    raise BackendUnavailable(f'precision "{precision}" needs OpenVINO or ncnn; run: pip install "dongfeng[openvino]"')


def streams_for(threads: int | None, images: int | None) -> int:
    """How many images to work on at once, for most of them in a given time.

    One thread each wastes nothing on waiting for each other; more than a few images cost memory for little.

    Args:
        threads: Threads of the CPU to use; None: all.
        images: Number of images; None: many.
    """
    return max(1, min(threads or cpu_count(), _MOST_LANES, _MOST_LANES if images is None else images))


def share_of_threads(threads: int | None, streams: int) -> int | None:
    """Threads of one call where `streams` calls share them; None: the backend's own choice, for one lane."""
    if threads is None and streams == 1:
        return None
    return max(1, (threads or cpu_count()) // streams)


def cpu_count() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def not_a_choice(precision: str, device: str) -> str | None:
    """What is wrong with a precision or device that no backend knows; None if nothing is."""
    if precision not in ("auto", *PRECISIONS):
        return f'no precision is called "{precision}"; there are: {", ".join(("auto", *PRECISIONS))}'
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        return f'no device is called "{device}"; there are: auto, cpu, cuda, cuda:N'
    return None


def on_cpu_only(name: str, device: str) -> str | None:
    """Why a backend that has only the CPU cannot run on that device; None if it can."""
    if not device.startswith("cuda"):
        return None
    return f'backend "{name}" runs on the CPU; for device "{device}" use backend="onnxruntime"'


def first_line(error: Exception) -> str:
    """What an exception of another library says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # OpenVINO begins with the places in its own source.
    return next((line for line in lines if not line.startswith(("Exception from", "Check '"))), type(error).__name__)


def check_backends() -> dict[str, str | None]:
    """Every backend's self-check: name -> what is wrong, None if it works."""
    results: dict[str, str | None] = {}
    for name in BACKENDS:
        try:
            results[name] = backend_type(name).check()
        except Exception as error:  # a broken library can raise anything, and the others are still worth a look
            results[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    return results
