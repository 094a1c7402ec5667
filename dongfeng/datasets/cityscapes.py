"""Cityscapes' classes: names, colours, and the two numberings.

A network knows 19 classes, numbered 0..18 ("train ids"; 255 is ignored in training and evaluation). Label images and
the evaluation server have numbers of their own, 0..33, for more classes ("label ids"; 0 is unlabelled).

Source: the data set's public definition, https://www.cityscapes-dataset.com/dataset-overview/ (classes and groups).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

IGNORE = 255  # train id of a pixel that counts for nothing
UNLABELED = 0  # label id of such a pixel

CATEGORIES = ("void", "flat", "construction", "object", "nature", "sky", "human", "vehicle")

# name, label id, category, red, green, blue; in the order of the train ids
_TRAIN_CLASSES = (
    ("road", 7, "flat", 128, 64, 128),
    ("sidewalk", 8, "flat", 244, 35, 232),
    ("building", 11, "construction", 70, 70, 70),
    ("wall", 12, "construction", 102, 102, 156),
    ("fence", 13, "construction", 190, 153, 153),
    ("pole", 17, "object", 153, 153, 153),
    ("traffic light", 19, "object", 250, 170, 30),
    ("traffic sign", 20, "object", 220, 220, 0),
    ("vegetation", 21, "nature", 107, 142, 35),
    ("terrain", 22, "nature", 152, 251, 152),
    ("sky", 23, "sky", 70, 130, 180),
    ("person", 24, "human", 220, 20, 60),
    ("rider", 25, "human", 255, 0, 0),
    ("car", 26, "vehicle", 0, 0, 142),
    ("truck", 27, "vehicle", 0, 0, 70),
    ("bus", 28, "vehicle", 0, 60, 100),
    ("train", 31, "vehicle", 0, 80, 100),
    ("motorcycle", 32, "vehicle", 0, 0, 230),
    ("bicycle", 33, "vehicle", 119, 11, 32),
)


def _frozen(values: Sequence[int | tuple[int, ...]]) -> npt.NDArray[np.uint8]:
    array = np.array(values, np.uint8)
    array.flags.writeable = False
    return array


CLASSES: tuple[str, ...] = tuple(row[0] for row in _TRAIN_CLASSES)
"""Names of the 19 classes; the train id is the index."""

CLASS_CATEGORIES: tuple[str, ...] = tuple(row[2] for row in _TRAIN_CLASSES)
"""Category of each class."""

LABEL_IDS: npt.NDArray[np.uint8] = _frozen([row[1] for row in _TRAIN_CLASSES])
"""(19,) uint8: label id of each train id."""

PALETTE: npt.NDArray[np.uint8] = _frozen([row[3:] for row in _TRAIN_CLASSES])
"""(19, 3) uint8, RGB: official colour of each class."""


def to_label_ids(train_ids: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Convert train ids to label ids; whatever is no class (255 above all) becomes 0, unlabelled.

    Args:
        train_ids: Any shape, uint8.

    Returns:
        The same shape, uint8.

    Example:
        >>> to_label_ids(np.array([0, 18, 255], np.uint8))
        array([ 7, 33,  0], dtype=uint8)
    """
    table = np.full(256, UNLABELED, np.uint8)
    table[: len(LABEL_IDS)] = LABEL_IDS
    return table[train_ids]


def to_train_ids(label_ids: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Convert label ids to train ids; labels outside the 19 classes become 255, ignored.

    Args:
        label_ids: Any shape, uint8.

    Returns:
        The same shape, uint8.

    Example:
        >>> to_train_ids(np.array([7, 33, 0], np.uint8))
        array([  0,  18, 255], dtype=uint8)
    """
    table = np.full(256, IGNORE, np.uint8)
    table[LABEL_IDS] = np.arange(len(LABEL_IDS), dtype=np.uint8)
    return table[label_ids]
