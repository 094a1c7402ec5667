"""A converted network, open on its backend: once for single images, and once more for long streams of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dongfeng.backends.base import Backend, BackendType, Execution, opened
from dongfeng.backends.threads import streams_for
from dongfeng.runtime.onnx_file import check_input, choose_output, takes_images, with_output

if TYPE_CHECKING:
    from dongfeng.backends.tensorrt.engine_file import Engine

_MANY = 8  # images for which it is worth opening the network once more, for several at once


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Where images go into a network and results come out.

    Attributes:
        size_hw: Height and width of the input.
        takes_images: Whether the input are images as they are in memory, (1, H, W, 3) uint8, BGR.
        scores: Name of the output that holds the scores.
        scores_shape: Its shape, (1, C, h, w) or (1, C), 0 where dynamic.
        labels: Name of the output that holds the labels at the network's size; None: there is none.
    """

    size_hw: tuple[int, int]
    takes_images: bool
    scores: str
    scores_shape: tuple[int, ...]
    labels: str | None


class Lease(NamedTuple):
    """A backend for a stream of images, and the gate that admits as many at once as it has streams."""

    backend: Backend
    gate: threading.Semaphore


class OpenNetwork:
    """A model file on a backend.

    Args:
        model: ONNX file, packed ncnn network or engine, or its content.
        backend_type: What runs it.
        execution: How.
    """

    def __init__(self, model: Path | bytes | Engine, backend_type: BackendType, execution: Execution) -> None:
        self.model = model
        self._type, self._execution = backend_type, execution
        self._single: Backend | None = _open(model, backend_type, execution)
        self._streamed: Lease | None = None
        self._lock = threading.Lock()

    @property
    def backend(self) -> Backend:
        """The backend for single images.

        Raises:
            BackendUnavailable: the network is closed.
        """
        return opened(self._single)

    @property
    def is_closed(self) -> bool:
        """Whether the network is closed."""
        return self._single is None

    def cut_to(self, score_blob: str | None) -> OpenNetwork:
        """Return the network with that inner value as its only output, where its outputs are computed from it."""
        if score_blob is None or score_blob in self.backend.outputs or not isinstance(self.model, Path):
            return self
        self.close()
        return OpenNetwork(with_output(self.model, score_blob), self._type, self._execution)

    def ports(
        self, score_blob: str | None, size_hw: tuple[int, int] | None, default_hw: tuple[int, int] | None, label: str
    ) -> Ports:
        """Return where images go in and results come out.

        Args:
            score_blob: Name of the scores, where it is known.
            size_hw: Input size that the user asks for.
            default_hw: Input size of a file that leaves it dynamic, where none is asked for.
            label: Name of the file in a message.

        Raises:
            ConversionError: no output, or more than one, may hold the scores.
            ShapeError: the network does not take one image, or not of this size, or its scores are none.
        """
        from dongfeng.passes.head import LABELS, METADATA_LABELS

        backend = self.backend
        of_images = takes_images(backend.metadata)
        scores, shape = choose_output(backend.outputs, score_blob, label)
        return Ports(
            size_hw=check_input(backend.inputs, size_hw, default_hw, label, of_images=of_images),
            takes_images=of_images,
            scores=scores,
            scores_shape=shape,
            labels=LABELS if METADATA_LABELS in backend.metadata and LABELS in backend.outputs else None,
        )

    def for_stream(self, images: Iterable[object]) -> Lease:
        """Return what a stream of these images runs on: for many of them, the network opened for several at once."""
        with self._lock:
            backend = self.backend
            if self._streamed is not None:
                return self._streamed
            streams = streams_for(self._execution.threads, None)
            is_short = isinstance(images, Sized) and len(images) < _MANY
            if is_short or streams == 1 or self._execution.streams > 1 or backend.device != "cpu":
                return Lease(backend, threading.Semaphore(backend.streams))
            backend = _open(self.model, self._type, replace(self._execution, streams=streams))
            self._streamed = Lease(backend, threading.Semaphore(backend.streams))
            return self._streamed

    def close(self) -> None:
        """Free the network; calls that are going on are finished. Closing twice does nothing."""
        with self._lock:
            closing = (self._single, self._streamed and self._streamed.backend)
            self._single = self._streamed = None
        for backend in closing:
            if backend is not None:
                backend.close()


def _open(model: Path | bytes | Engine, backend_type: BackendType, execution: Execution) -> Backend:
    if isinstance(model, Path | bytes):
        return backend_type(model, execution)
    from dongfeng.backends.tensorrt.backend import open_engine

    return open_engine(model, execution)
