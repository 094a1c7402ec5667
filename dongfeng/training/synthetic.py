"""Synthetic data sets: each image is drawn once and kept in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dongfeng.backends.threads import cpu_count
from dongfeng.datasets import cityscapes, toyshapes
from dongfeng.datasets.synthetic import HELD_OUT_IMAGES, HELD_OUT_SEED
from dongfeng.datasets.toytown import Toytown
from dongfeng.datasets.toytown.processes import draw_in_processes
from dongfeng.errors import DongfengError
from dongfeng.training.samples import Data, Image, Note, ReadSamples, Target

_SCENES_PER_PROCESS = 32  # for which it is worth starting one; a scene takes about 40 ms
_SMALLEST_SHAPE_PX = 32


def _drawn_once(
    drawn: dict[int, tuple[Image, Target]], draw: Callable[[int], tuple[Image, Target]], index: int
) -> tuple[Image, Target]:
    """Return an image and its labels, which are drawn when they are first asked for."""
    if index not in drawn:
        drawn[index] = draw(index)
    return drawn[index]


def _scenes(count: int, size_hw: tuple[int, int], seed: int, note: Note | None) -> ReadSamples:
    """Provide street scenes with Cityscapes' train ids, drawn at once in some processes where they are many."""
    town = Toytown(count, size_hw, seed)
    drawn: dict[int, tuple[Image, Target]] = {}
    if count >= _SCENES_PER_PROCESS:
        processes = max(1, min(cpu_count(), count // _SCENES_PER_PROCESS))
        if note is not None:
            note(f"drawing {count} scenes of {size_hw[0]}x{size_hw[1]} in {processes} processes")
        drawn.update(draw_in_processes(town, processes))
    read = partial(_drawn_once, drawn, partial(_draw_scene, town))
    return ReadSamples("segmentation", cityscapes.CLASSES, count, read)


def _draw_scene(town: Toytown, index: int) -> tuple[Image, Target]:
    scene = town[index]
    return scene.image_bgr, scene.labels


def _shapes(count: int, size_hw: tuple[int, int], seed: int, _note: Note | None) -> ReadSamples:
    """Provide single shapes and their classes, on squares of the shorter side of `size_hw`."""
    draw = partial(toyshapes.draw_shape, seed, size=max(_SMALLEST_SHAPE_PX, min(size_hw)))
    return ReadSamples("classification", toyshapes.CLASS_NAMES, count, partial(_drawn_once, {}, draw))


# How to open the samples, and number of images to train on unless one is given.
_DATA_SETS = {"toytown": (_scenes, 2000), "toyshapes": (_shapes, 6000)}


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
    open_samples, usual_count = _DATA_SETS[name]
    return Data(
        open_samples(count or usual_count, size_hw, seed, note),
        open_samples(validation_images or HELD_OUT_IMAGES, size_hw, HELD_OUT_SEED, note),
    )
