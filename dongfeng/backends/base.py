"""The protocols of backends, and how a model is to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from dongfeng.errors import BackendUnavailable

Float = npt.NDArray[np.float32]
Array = npt.NDArray[Any]
Held = TypeVar("Held")
Shape = tuple[int | None, ...]  # None: the model file makes the dimension dynamic


class Tensor(NamedTuple):
    """An input or output of a model.

    Attributes:
        shape: Its shape, None where dynamic.
        is_float32: Whether its elements are float32.
    """

    shape: Shape
    is_float32: bool


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a model shall run.

    Attributes:
        precision: What to compute in, "fp32", "fp16", "bf16" or "int8"; "auto": what the model says, else fp32.
        device: "auto", "cpu", "cuda" or "cuda:N".
        threads: Threads of the CPU; None: the backend's own choice.
        streams: Number of calls that share the threads, each with a part of its own.
    """

    precision: str = "auto"
    device: str = "auto"
    threads: int | None = None
    streams: int = 1


@dataclass(frozen=True)
class LayerTime:
    """A layer as the backend runs it.

    Attributes:
        layer: Its name.
        operation: What it does, in the backend's words.
        ms: Median over the runs, in milliseconds.
    """

    layer: str
    operation: str
    ms: float


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
        """Compute one output for one input, in the network's shape; may be called from several threads at once.

        Raises:
            BackendUnavailable: the backend is closed, or it fails, for want of memory for instance.
        """
        return np.asarray(self.infer(inputs, [output])[output], np.float32)

    def infer(self, inputs: Array, outputs: Sequence[str]) -> dict[str, Array]:
        """Compute several outputs for one input, each in its own type; see `run`."""

    def bind(self, inputs: Array, output: str) -> Callable[[], object]:
        """Prepare a call that computes one output, its input in place already and the output left where it is.

        `run` hands an array over and copies the result out; this is the network alone, for benchmarks.

        Returns:
            The call, for one thread at a time; it gives what holds the output.

        Raises:
            BackendUnavailable: the backend is closed.
        """

    def profile(self, inputs: Array, runs: int) -> list[LayerTime] | None:
        """Measure where the time goes, with the backend's own profiler.

        Profiling slows the whole, so the network is opened once more for it where that is needed.

        Args:
            inputs: In the network's shape.
            runs: Number of runs that count; a few more warm up.

        Returns:
            The layers in the order they ran; None where there is no profiler.
        """
        return None

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

    def __call__(self, model: Path | bytes, execution: Execution) -> Backend:
        """Make a network ready.

        Args:
            model: A file, or its content.
            execution: How to run it.

        Raises:
            BackendUnavailable: it cannot run so on this machine; nothing else is tried instead.
        """

    def why_unavailable(self, precision: str, device: str) -> str | None:
        """Say why this precision and device cannot run here, and what would help; None if they can."""

    def check(self) -> str | None:
        """Compute three numbers and say what is wrong with them; None if nothing is."""


def opened(held: Held | None) -> Held:
    """Return what a backend holds while it is open.

    Raises:
        BackendUnavailable: it is closed, and holds None.
    """
    if held is None:
        raise BackendUnavailable("this model is closed; load it again")
    return held


def label_of(model: Path | bytes) -> str:
    """Return what to call a model in a message."""
    return "the model" if isinstance(model, bytes) else str(model)
