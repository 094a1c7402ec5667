"""Drawn data sets, each image drawn once and kept in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from dongfeng.errors import DongfengError
from dongfeng.training.samples import Image, Note, Target, Task

VALIDATION_SEED = 2**31 - 1  # of what is held out, in every training
VALIDATION_IMAGES = 100

_TRAIN_IMAGES = {"toytown": 2000, "toyshapes": 6000}
_MANY = 32  # scenes for which it is worth starting processes that draw; a scene takes about 40 ms
_LEAST_SHAPE_PX = 32

Draw = Callable[[int], tuple[Image, Target]]


class DrawnSamples:
    """Samples that are drawn when they are first asked for; see `Samples`."""

    def __init__(self, task: Task, class_names: Sequence[str], count: int, draw: Draw) -> None:
        self.task: Task = task
        self.class_names = class_names
        self._count, self._draw = count, draw
        self._drawn: dict[int, tuple[Image, Target]] = {}

    def __len__(self) -> int:
        return self._count

    def sample(self, index: int) -> tuple[Image, Target]:
        """One image and its labels; see `Samples`."""
        if index not in self._drawn:
            self._drawn[index] = self._draw(index)
        return self._drawn[index]

    def keep(self, index: int, sample: tuple[Image, Target]) -> None:
        """Take what was drawn elsewhere for one of the samples."""
        self._drawn[index] = sample


def open_drawn(
    kind: str, count: int, size_hw: tuple[int, int], seed: int, validation_images: int | None, note: Note | None
) -> tuple[DrawnSamples, DrawnSamples]:
    """Drawn images to train on and held-out ones.

    Args:
        kind: "toytown" or "toyshapes".
        count: Number of images to train on; 0: the kind's default.
        size_hw: Height and width of the images; shapes are square, of the shorter one.
        seed: Of the images to train on.
        validation_images: Number of held-out images; None: 100.
        note: Told what takes long.

    Raises:
        DongfengError: the seed is that of the held-out images, or drawing fails.
    """
    if seed == VALIDATION_SEED:
        raise DongfengError(f"seed is {seed}, which draws the held-out images; choose another")
    open_ = open_toytown if kind == "toytown" else open_toyshapes
    train = open_(count or _TRAIN_IMAGES[kind], size_hw, seed)
    held_out = open_(validation_images or VALIDATION_IMAGES, size_hw, VALIDATION_SEED)
    if kind == "toytown":
        for samples, its_seed in ((train, seed), (held_out, VALIDATION_SEED)):
            if len(samples) >= _MANY:
                _fill(samples, size_hw, its_seed, note)
    return train, held_out


def open_toytown(count: int, size_hw: tuple[int, int], seed: int) -> DrawnSamples:
    """Street scenes with Cityscapes' train ids."""
    from dongfeng.datasets.cityscapes import CLASSES
    from dongfeng.datasets.toytown import Toytown

    town = Toytown(count, size_hw, seed)

    def draw(index: int) -> tuple[Image, Target]:
        scene = town[index]
        return scene.image_bgr, scene.labels

    return DrawnSamples("segmentation", CLASSES, count, draw)


def open_toyshapes(count: int, size_hw: tuple[int, int], seed: int) -> DrawnSamples:
    """Single shapes and their classes."""
    from dongfeng.datasets.toyshapes import CLASS_NAMES, draw_shape

    size = max(_LEAST_SHAPE_PX, min(size_hw))
    return DrawnSamples("classification", CLASS_NAMES, count, lambda index: draw_shape(seed, index, size))


def _fill(samples: DrawnSamples, size_hw: tuple[int, int], seed: int, note: Note | None) -> None:
    """Draw all scenes, in as many processes as there are cores.

    They are programs of their own rather than Python's worker processes, which would import the caller's script again.
    """
    from dongfeng.backends.threads import cpu_count

    processes = max(1, min(cpu_count(), len(samples) // _MANY))
    if note is not None:
        note(f"drawing {len(samples)} scenes of {size_hw[0]}x{size_hw[1]} in {processes} processes")

    def take(part: int) -> None:
        for index, scene in _drawn_by_process(len(samples), size_hw, seed, part, processes):
            samples.keep(index, scene)

    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(take, range(processes)))


def _drawn_by_process(
    count: int, size_hw: tuple[int, int], seed: int, part: int, parts: int
) -> Iterator[tuple[int, tuple[Image, Target]]]:
    import dongfeng

    numbers = (count, *size_hw, seed, part, parts)
    path = os.pathsep.join(filter(None, (str(Path(dongfeng.__file__).parent.parent), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "dongfeng.datasets.toytown.draw_scenes", *map(str, numbers)]
    height, width = size_hw
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}) as process:
        stdout = process.stdout
        try:
            for index in range(part, count, parts):
                data = b"" if stdout is None else stdout.read(height * width * 4)
                if len(data) < height * width * 4:
                    raise DongfengError(f"drawing scene {index} failed; its process ended with {process.wait()}")
                planes = np.frombuffer(data, np.uint8)
                image, labels = planes[: height * width * 3], planes[height * width * 3 :]
                yield index, (image.reshape(height, width, 3), labels.reshape(height, width))
        finally:
            process.kill()
