"""Training batches by number: each depends on the seed and its number alone, so that a training can go on anywhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from dongfeng.net.preprocessing import Preprocessing
from dongfeng.training.augment import augment
from dongfeng.training.config import TrainConfig
from dongfeng.training.samples import Image, Samples, Target, check_labels

_ORDER, _VIEW, _PHASE = 1, 2, 3  # parts of a seed: one stream of random numbers for each purpose


@dataclass(frozen=True)
class Pixels:
    """Some of the pixels of an image: those where chosen rows and columns meet.

    Attributes:
        size_hw: Height and width of the image.
        rows: Chosen rows.
        columns: Chosen columns.
    """

    size_hw: tuple[int, int]
    rows: slice
    columns: slice


@dataclass(frozen=True)
class Batch:
    """Images and their labels.

    Attributes:
        images_bgr: (N, H, W, 3) uint8.
        targets: (N, h, w) uint8 labels of the `pixels`; or (N,) int64 classes.
        pixels: Pixels of each image that have labels: every `label_stride`-th each way; None for classes.
    """

    images_bgr: Image
    targets: npt.NDArray[Any]
    pixels: Pixels | None


class Batches:
    """The training batches of a data set."""

    def __init__(
        self, samples: Samples, config: TrainConfig, size_hw: tuple[int, int], preprocessing: Preprocessing
    ) -> None:
        self._samples, self._config, self._size_hw = samples, config, size_hw
        self._fill_bgr = tuple(np.broadcast_to(np.array(preprocessing.mean_bgr), 3).tolist())

    def batch(self, step: int) -> Batch:
        """Prepare the batch of one step; all images are seen before one is seen again.

        Raises:
            ImageError: an image cannot be read, or has labels outside of the classes.
        """
        views = [self._view(step, slot) for slot in range(self._config.batch)]
        images = np.stack([image for image, _ in views])
        if self._samples.task == "classification":
            return Batch(images, np.array([target for _, target in views], np.int64), None)
        stride = self._config.label_stride
        top, left = np.random.default_rng([self._config.seed, _PHASE, step]).integers(stride, size=2).tolist()
        pixels = Pixels(self._size_hw, slice(top, None, stride), slice(left, None, stride))
        return Batch(images, np.stack([np.asarray(target)[pixels.rows, pixels.columns] for _, target in views]), pixels)

    def stream(self, start: int, stop: int, workers: int) -> Iterator[Batch]:
        """Yield the batches from `start` on; `workers` threads prepare them ahead."""
        waiting: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(workers, "batches") as pool:
            try:
                for step in range(start, stop):
                    while len(waiting) <= workers and step + len(waiting) < stop:
                        waiting.append(pool.submit(self.batch, step + len(waiting)))
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _view(self, step: int, slot: int) -> tuple[Image, Target]:
        """A random view of the image in one place of a batch."""
        config = self._config
        epoch, place = divmod(step * config.batch + slot, len(self._samples))
        index = int(_order(config.seed, epoch, len(self._samples))[place])
        image, target = self._samples.sample(index)
        check_labels(target, len(self._samples.class_names), index)
        rng = np.random.default_rng([config.seed, _VIEW, step, slot])
        return augment(image, target, self._size_hw, config, rng, self._fill_bgr)


@lru_cache(maxsize=4)  # prefetching threads may be in two epochs at once
def _order(seed: int, epoch: int, count: int) -> npt.NDArray[np.int64]:
    """Indices of all images in the order of an epoch."""
    return np.random.default_rng([seed, _ORDER, epoch]).permutation(count)
