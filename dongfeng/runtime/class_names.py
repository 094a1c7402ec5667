"""Names and colours of a model's classes."""

from __future__ import annotations

import colorsys
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_GOLDEN = 0.618033988749895  # of the colour circle: such steps never come close to an earlier one


class Classes(NamedTuple):
    """The classes of a model.

    Attributes:
        known: "cityscapes" or "imagenet"; None for any other classes.
        names: Name of each class.
        palette: (C, 3) uint8, RGB: colour of each class.
    """

    known: str | None
    names: tuple[str, ...]
    palette: npt.NDArray[np.uint8]


def classes_of(task: str, known: str | None, count: int) -> Classes:
    """Choose names and colours for `count` classes.

    Args:
        task: "segmentation" or "classification".
        known: The classes by the model's file; None to guess them from their number.
        count: Number of classes.

    Returns:
        Those of Cityscapes for 19 classes of a segmentation, those of ImageNet for 1000 of a classification; numbers
        for names, and colours far apart, for any other.
    """
    if task == "segmentation" and known in ("cityscapes", None):
        from dongfeng.datasets import cityscapes

        if count == len(cityscapes.CLASSES):
            return Classes("cityscapes", cityscapes.CLASSES, cityscapes.PALETTE)
    if task == "classification" and known in ("imagenet", None):
        from dongfeng.datasets import imagenet

        if count == len(imagenet.class_names()):
            return Classes("imagenet", imagenet.class_names(), _colours(count))
    return Classes(None, tuple(f"class {index}" for index in range(count)), _colours(count))


def _colours(count: int) -> npt.NDArray[np.uint8]:
    colours = [colorsys.hsv_to_rgb(index * _GOLDEN % 1, 0.65, 0.9 - 0.3 * (index % 3) / 2) for index in range(count)]
    return np.array(np.round(np.multiply(colours, 255)), np.uint8).reshape(count, 3)
