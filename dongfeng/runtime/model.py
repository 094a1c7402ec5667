"""`Model`: images in, results out."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Sized
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from dongfeng.errors import BackendUnavailable, ShapeError
from dongfeng.net.preprocessing import Preprocessing, fit, prepare
from dongfeng.runtime.class_names import Classes
from dongfeng.runtime.images.read import ChannelOrder, Image, read_image
from dongfeng.runtime.labels.upsample import argmax_last, upsample_labels, upsample_nearest
from dongfeng.runtime.result_iterator import ResultIterator
from dongfeng.runtime.results import Bytes, Classification, Segmentation, Timing

if TYPE_CHECKING:
    from dongfeng.backends.base import Backend
    from dongfeng.net.graph import Net

Float = npt.NDArray[np.float32]
Result = Segmentation | Classification


_MANY = 8  # images for which it is worth opening the network once more, for several at once


class _Lanes(NamedTuple):
    """A network ready to run, and how many images may be in it at once; a stream's images queue at `gate`."""

    backend: Backend
    gate: threading.Semaphore


class _Input(NamedTuple):
    """An image on its way to the network: as read, as laid out, and the milliseconds both took."""

    image_bgr: Image
    blob: npt.NDArray[Any]
    decode_ms: float
    preprocess_ms: float


class Model:
    """A network ready to run on images; made by `dongfeng.load`.

    Calling it from several threads at once is safe. It is a context manager: `close` frees the network.

    Attributes:
        name: What it is called.
        task: "segmentation" or "classification".
        backend: Name of the backend that runs it.
        precision: What the backend computes in.
        device: "cpu" or "cuda:N".
        size_hw: Height and width of the network's input in pixels.
        preprocessing: How an image becomes the input.
        head: For segmentation, "x8" or "d8"; see `dongfeng.load`.
        classes: "cityscapes" or "imagenet", None where the classes are not known.
        class_names: Name of each class.
        palette: (C, 3) uint8, RGB: colour of each class.
        file: The file that the backend runs, converted if need be; its content where the cache cannot be written.
    """

    def __init__(  # noqa: PLR0913 - made in one place, from all that a file and a caller say
        self,
        backend: Backend,
        *,
        name: str,
        task: str,
        preprocessing: Preprocessing,
        head: str | None,
        classes: Classes,
        size_hw: tuple[int, int],
        output: str,
        labels_output: str | None = None,
        takes_images: bool = False,
        file: Path | bytes = b"",
        channel_order: ChannelOrder,
        net: Callable[[], Net] | None,
        for_stream: Callable[[], Backend] | None = None,
    ) -> None:
        self.name, self.task, self.preprocessing, self.head = name, task, preprocessing, head
        self.classes, self.class_names, self.palette = classes
        self.backend, self.precision, self.device = backend.name, backend.precision, backend.device
        self.size_hw = size_hw
        self._backend: Backend | None = backend
        self._lanes: _Lanes | None = None  # of streams
        self._for_stream = for_stream
        self._output = output
        self._labels_output = labels_output if head == "x8" else None
        self._takes_images = takes_images
        self.file = file
        self._channel_order: ChannelOrder = channel_order
        self._make_net = net
        self._net: Net | None = None
        self._net_lock, self._lanes_lock = threading.Lock(), threading.Lock()

    @property
    def net(self) -> Net | None:
        """The network with its weights, at the input size, not folded; None where only an ONNX file is known."""
        with self._net_lock:
            if self._net is None and self._make_net is not None:
                self._net = self._make_net()
            return self._net

    # Any, so that results can be used as what the model's task makes them, without a cast.
    @overload
    def __call__(self, image: list[Any] | tuple[Any, ...]) -> list[Any]: ...

    @overload
    def __call__(self, image: object) -> Any: ...

    def __call__(self, image: object) -> Any:
        """Run the network on an image, or on each image of a list.

        Args:
            image: A path, an (H, W, 3) uint8 array (BGR unless `load` was told otherwise) or a PIL image; or a list
                or tuple of such.

        Returns:
            A `Segmentation` or `Classification`; a list of them for a list.

        Raises:
            ImageError: an image cannot be read.
            BackendUnavailable: the model is closed, or the backend fails.
        """
        if isinstance(image, (list, tuple)):
            return list(self.stream(image))
        return self._result(image, self._opened(), contextlib.nullcontext())

    def stream(self, images: Iterable[object]) -> ResultIterator[Any]:
        """Run the network on any number of images, lazily and in order.

        Several images are in progress at once, so that decoding, labels and whatever the caller does with the results
        overlap with the network: on a CPU of several cores each of them runs in the network with a share of the
        threads, which takes one image longer and more images less time than one after the other. For that the network
        is opened a second time, except for a short list. `timing` is what each stage of an image took, the others
        beside it.

        Args:
            images: Whatever `__call__` takes, one by one; may be endless. Two to four are taken ahead.

        Returns:
            An iterator of results. An image that cannot be read raises its error in its place, and the next call goes
            on with the image behind it.
        """
        streams = self._streams_for(images)
        workers = max(streams.backend.streams, 2)
        return ResultIterator(images, lambda image: self._result(image, streams.backend, streams.gate), workers)

    def close(self) -> None:
        """Free the network; calls that are going on are finished. Closing twice does nothing."""
        with self._lanes_lock:
            closing = (self._backend, self._lanes and self._lanes.backend)
            self._backend = self._lanes = None
        for backend in closing:
            if backend is not None:
                backend.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        height, width = self.size_hw
        state = "closed" if self._backend is None else f"{self.backend}, {self.device}, {self.precision}"
        return f"Model({self.name!r}, {self.task}, {height}x{width}, {state})"

    def _opened(self) -> Backend:
        backend = self._backend
        if backend is None:
            raise BackendUnavailable(f"{self.name}: this model is closed; load it again")
        return backend

    def _streams_for(self, images: Iterable[object]) -> _Lanes:
        """What a stream of these images runs on."""
        with self._lanes_lock:
            backend = self._opened()
            if self._lanes is not None:
                return self._lanes
            if self._for_stream is None or (isinstance(images, Sized) and len(images) < _MANY):
                return _Lanes(backend, threading.Semaphore(backend.streams))
            backend = self._for_stream()
            self._lanes = _Lanes(backend, threading.Semaphore(backend.streams))
            return self._lanes

    def _result(self, image: object, backend: Backend, gate: contextlib.AbstractContextManager[object]) -> Result:
        given = self._read(image)
        with gate:
            self._opened()
            start = perf_counter()
            scores, labels = self._run(backend, given)
            done = perf_counter()

        def timing() -> Timing:
            return Timing(given.decode_ms, given.preprocess_ms, 1e3 * (done - start), 1e3 * (perf_counter() - done))

        if self.task == "classification":
            logits = scores.reshape(-1)
            return Classification(logits, timing(), self.class_names)
        if scores.ndim != 4 or scores.shape[0] != 1:
            raise ShapeError(f"{self.name}: the scores have shape {scores.shape}; expected (1, C, h, w)")
        if labels is None:
            labels = self._labels(scores[0], given.image_bgr.shape[:2])
        return Segmentation(labels, scores[0], timing(), given.image_bgr, self.class_names, self.palette, self.classes)

    def network_input(self, image_bgr: Image) -> npt.NDArray[Any]:
        """An image as the backend takes it.

        Args:
            image_bgr: (H, W, 3) uint8, BGR.

        Returns:
            (1, 3, height, width) float32, or (1, height, width, 3) uint8 where the arithmetic is in the graph.
        """
        if self._takes_images:
            return fit(image_bgr, self.preprocessing, self.size_hw)[None]
        return prepare(image_bgr, self.preprocessing, self.size_hw)

    def _read(self, image: object) -> _Input:
        start = perf_counter()
        image_bgr = read_image(image, channel_order=self._channel_order)
        decoded = perf_counter()
        blob = self.network_input(image_bgr)
        return _Input(image_bgr, blob, 1e3 * (decoded - start), 1e3 * (perf_counter() - decoded))

    def _run(self, backend: Backend, given: _Input) -> tuple[Float, Bytes | None]:
        """The scores, and the labels where the network computes them for the image's own size."""
        if self._labels_output is None or given.image_bgr.shape[:2] != self.size_hw:
            return backend.run(given.blob, self._output), None
        results = backend.infer(given.blob, [self._output, self._labels_output])
        return np.asarray(results[self._output], np.float32), results[self._labels_output][0]

    def _labels(self, scores: Float, size_hw: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        size = (size_hw[0], size_hw[1])
        if self.head == "d8":
            return upsample_nearest(argmax_last(scores), size)
        return upsample_labels(scores, size)
