"""Synthetic data sets: each image is drawn once and kept in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from dongfeng.backends.threads import cpu_count
from dongfeng.datasets import cityscapes, toyshapes
from dongfeng.datasets.synthetic import HELD_OUT_IMAGES, HELD_OUT_SEED
from dongfeng.datasets.toytown import Toytown
from dongfeng.datasets.toytown.processes import draw_in_processes
from dongfeng.errors import DongfengError
from dongfeng.training.samples import Data, Image, Note, Target, Task

_SCENES_PER_PROCESS = 32  # for which it is worth starting one; a scene takes about 40 ms
_SMALLEST_SHAPE_PX = 32


class SyntheticSamples(ABC):
    """Samples that are drawn when they are first asked for; see `Samples`."""

    task: Task
    class_names: Sequence[str]

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: dict[int, tuple[Image, Target]] = {}

    def __len__(self) -> int:
        return self._count

    def sample(self, index: int) -> tuple[Image, Target]:
        """Return one image and its labels; see `Samples`."""
        if index not in self._kept:
            self._kept[index] = self.draw(index)
        return self._kept[index]

    @abstractmethod
    def draw(self, index: int) -> tuple[Image, Target]:
        """Draw one image and its labels."""


class SceneSamples(SyntheticSamples):
    """Street scenes with Cityscapes' train ids."""

    task = "segmentation"
    class_names = cityscapes.CLASSES

    def __init__(self, count: int, size_hw: tuple[int, int], seed: int) -> None:
        super().__init__(count)
        self._town = Toytown(count, size_hw, seed)

    def draw(self, index: int) -> tuple[Image, Target]:
        """Draw one scene and its labels."""
        scene = self._town[index]
        return scene.image_bgr, scene.labels

    def draw_all(self, note: Note | None) -> None:
        """Draw all scenes, in as many processes as there are cores, where they are so many that it pays."""
        if self._count < _SCENES_PER_PROCESS:
            return
        processes = max(1, min(cpu_count(), self._count // _SCENES_PER_PROCESS))
        if note is not None:
            height, width = self._town.size_hw
            note(f"drawing {self._count} scenes of {height}x{width} in {processes} processes")
        self._kept.update(draw_in_processes(self._town, processes))


class ShapeSamples(SyntheticSamples):
    """Single shapes and their classes, on squares of the shorter side of `size_hw`."""

    task = "classification"
    class_names = toyshapes.CLASS_NAMES

    def __init__(self, count: int, size_hw: tuple[int, int], seed: int) -> None:
        super().__init__(count)
        self._size, self._seed = max(_SMALLEST_SHAPE_PX, min(size_hw)), seed

    def draw(self, index: int) -> tuple[Image, Target]:
        """Draw one shape."""
        return toyshapes.draw_shape(self._seed, index, self._size)


# Type of the samples, and number of images to train on unless one is given.
_DATA_SETS: Mapping[str, tuple[type[SceneSamples] | type[ShapeSamples], int]] = {
    "toytown": (SceneSamples, 2000),
    "toyshapes": (ShapeSamples, 6000),
}


def open_synthetic(
    name: str, count: int | None, size_hw: tuple[int, int], seed: int, validation_images: int | None, note: Note | None
) -> Data:
    """Open synthetic images to train on, and held-out ones.

    Args:
        name: "toytown" or "toyshapes".
        count: Number of images to train on; None: 2000 scenes or 6000 shapes.
        size_hw: Height and width of the images.
        seed: Seed of the images to train on.
        validation_images: Number of held-out images; None: 100.
        note: Called with a message before many scenes are drawn.

    Raises:
        DongfengError: the seed is that of the held-out images, or drawing fails.
    """
    if seed == HELD_OUT_SEED:
        raise DongfengError(f"seed is {seed}, which draws the held-out images; choose another")
    samples_type, usual_count = _DATA_SETS[name]
    train = samples_type(count or usual_count, size_hw, seed)
    held_out = samples_type(validation_images or HELD_OUT_IMAGES, size_hw, HELD_OUT_SEED)
    for samples in (train, held_out):
        if isinstance(samples, SceneSamples):
            samples.draw_all(note)
    return Data(train, held_out)
