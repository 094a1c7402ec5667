"""`Model`: images in, results out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from functools import cached_property
from os import PathLike
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, cast, overload

import numpy as np
import numpy.typing as npt

from dongfeng.errors import BackendUnavailable, ConversionError, ShapeError
from dongfeng.net.preprocessing import fit, prepare
from dongfeng.runtime.images.read import ChannelOrder, Image, read_image
from dongfeng.runtime.labels.upsample import argmax_last, upsample_labels, upsample_nearest
from dongfeng.runtime.network import OpenNetwork, Ports
from dongfeng.runtime.result_iterator import ResultIterator
from dongfeng.runtime.results import Bytes, Classification, Segmentation, Timing
from dongfeng.runtime.spec import ModelSpec

if TYPE_CHECKING:
    from dongfeng.backends.base import Backend
    from dongfeng.net.graph import Net
    from dongfeng.runtime.source import NetSource

Float = npt.NDArray[np.float32]
Result: TypeAlias = Segmentation | Classification
if TYPE_CHECKING:
    from typing_extensions import TypeVar  # `Model` alone is a model of either task

    Result_co = TypeVar("Result_co", bound=Result, covariant=True, default=Result)
else:
    from typing import TypeVar

    Result_co = TypeVar("Result_co", bound=Result, covariant=True)


class PilImage(Protocol):
    """A PIL image, which needs not be installed."""

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """Pixels as NumPy reads them."""


ImageLike: TypeAlias = "str | PathLike[str] | npt.NDArray[Any] | PilImage"


class Model(Generic[Result_co]):
    """A network ready to run on images; made by `dongfeng.load`.

    Calling it from several threads at once is safe. It is a context manager: `close` frees the network.

    Attributes:
        name: Name of the model.
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
        output: Name of the network's output that holds the scores.
        spec: All that is known of the network.
    """

    def __init__(
        self,
        network: OpenNetwork,
        ports: Ports,
        spec: ModelSpec,
        *,
        source: NetSource | None = None,
        channel_order: ChannelOrder = "bgr",
    ) -> None:
        self.spec = spec
        self.name, self.task, self.preprocessing, self.size_hw = spec.name, spec.task, spec.preprocessing, spec.size_hw
        self.head = spec.head if spec.task == "segmentation" else None
        self.classes, self.class_names, self.palette = spec.classes
        self.output = ports.scores
        backend = network.backend
        self.backend, self.precision, self.device = backend.name, backend.precision, backend.device
        self._network, self._ports, self._source = network, ports, source
        self._channel_order: ChannelOrder = channel_order

    @cached_property
    def net(self) -> Net | None:
        """The network with its weights, at the input size, not folded; None where only a model file is known."""
        return None if self._source is None else self._source.net(self.size_hw)

    @property
    def file(self) -> Path | bytes:
        """The file that the backend runs, converted if need be; its content where the cache cannot be written."""
        model = self._network.model
        return model if isinstance(model, (Path, bytes)) else model.path

    @property
    def runner(self) -> Backend:
        """The backend with the network, for single images.

        Raises:
            BackendUnavailable: the model is closed.
        """
        if self._network.is_closed:
            raise BackendUnavailable(f"{self.name}: this model is closed; load it again")
        return self._network.backend

    @overload
    def __call__(self, image: ImageLike) -> Result_co: ...

    @overload
    def __call__(self, image: list[Any] | tuple[Any, ...]) -> list[Result_co]: ...

    def __call__(self, image: ImageLike | list[Any] | tuple[Any, ...]) -> Result_co | list[Result_co]:
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
        return self._result(image, self.runner, contextlib.nullcontext())

    def segment(self, image: ImageLike) -> Segmentation:
        """Segment an image; see `__call__`.

        Raises:
            ConversionError: the model is for classification.
        """
        result = self(image) if self.task == "segmentation" else None
        if not isinstance(result, Segmentation):
            raise ConversionError(f"{self.name}: this is a model for {self.task}; call classify()")
        return result

    def classify(self, image: ImageLike) -> Classification:
        """Classify an image; see `__call__`.

        Raises:
            ConversionError: the model is for segmentation.
        """
        result = self(image) if self.task == "classification" else None
        if not isinstance(result, Classification):
            raise ConversionError(f"{self.name}: this is a model for {self.task}; call segment()")
        return result

    def stream(self, images: Iterable[object]) -> ResultIterator[Result_co]:
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
        self.runner  # noqa: B018 - a closed model says so here, not at the first image
        backend, gate = self._network.for_stream(images)
        return ResultIterator(images, lambda image: self._result(image, backend, gate), max(backend.streams, 2))

    def close(self) -> None:
        """Free the network; calls that are going on are finished. Closing twice does nothing."""
        self._network.close()

    def __enter__(self) -> Model[Result_co]:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        height, width = self.size_hw
        state = "closed" if self._network.is_closed else f"{self.backend}, {self.device}, {self.precision}"
        return f"Model({self.name!r}, {self.task}, {height}x{width}, {state})"

    def network_input(self, image_bgr: Image) -> npt.NDArray[Any]:
        """Return an image as the backend takes it.

        Args:
            image_bgr: (H, W, 3) uint8, BGR.

        Returns:
            (1, 3, height, width) float32, or (1, height, width, 3) uint8 where the arithmetic is in the graph.
        """
        if self._ports.takes_images:
            return fit(image_bgr, self.preprocessing, self.size_hw)[None]
        return prepare(image_bgr, self.preprocessing, self.size_hw)

    def _result(self, image: object, backend: Backend, gate: contextlib.AbstractContextManager[object]) -> Result_co:
        start = perf_counter()
        image_bgr = read_image(image, channel_order=self._channel_order)
        decoded = perf_counter()
        blob = self.network_input(image_bgr)
        prepared = perf_counter()
        with gate:
            self.runner  # noqa: B018 - closed in the meantime
            begun = perf_counter()
            scores, labels = self._run(backend, blob, image_bgr.shape[:2])
            done = perf_counter()
        if self.task == "segmentation":
            labels = self._labels(scores, labels, image_bgr.shape[:2])
        seconds = (decoded - start, prepared - decoded, done - begun, perf_counter() - done)
        timing = Timing(*(1e3 * stage_s for stage_s in seconds))
        result: Result
        if labels is None:
            result = Classification(scores.reshape(-1), timing, self.class_names)
        else:
            result = Segmentation(labels, scores[0], timing, image_bgr, self.class_names, self.palette, self.classes)
        return cast(Result_co, result)  # what the task makes of the scores is what this model is a Model of

    def _run(self, backend: Backend, blob: npt.NDArray[Any], image_hw: tuple[int, ...]) -> tuple[Float, Bytes | None]:
        """Return the scores, and the labels where the network computes them for the image's own size."""
        if self._ports.labels is None or self.head != "x8" or image_hw != self.size_hw:
            return backend.run(blob, self.output), None
        results = backend.infer(blob, [self.output, self._ports.labels])
        return np.asarray(results[self.output], np.float32), results[self._ports.labels][0]

    def _labels(self, scores: Float, labels: Bytes | None, image_hw: tuple[int, ...]) -> Bytes:
        """Return the labels that the network has computed, else those of its scores."""
        if scores.ndim != 4 or scores.shape[0] != 1:
            raise ShapeError(f"{self.name}: the scores have shape {scores.shape}; expected (1, C, h, w)")
        if labels is not None:
            return labels
        size = (image_hw[0], image_hw[1])
        if self.head == "d8":
            return upsample_nearest(argmax_last(scores[0]), size)
        return upsample_labels(scores[0], size)
