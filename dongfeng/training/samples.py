"""What a training is fed with: labelled images, numbered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from dongfeng.errors import DongfengError

IGNORE = 255  # label of a pixel that counts for nothing

Image = npt.NDArray[np.uint8]
Target = npt.NDArray[np.uint8] | int  # (H, W) labels of a segmentation, the class of a classification
Task = Literal["segmentation", "classification"]
Note = Callable[[str], None]

KINDS = {
    "cityscapes": "cityscapes:ROOT",
    "imagenet": "imagenet:ROOT",
    "toytown": "toytown[:COUNT]",
    "toyshapes": "toyshapes[:COUNT]",
}


class Samples(Protocol):
    """Labelled images."""

    @property
    def task(self) -> Task:
        """What they are for."""

    @property
    def class_names(self) -> Sequence[str]:
        """Name of each class; the index is its label."""

    def __len__(self) -> int: ...

    def sample(self, index: int) -> tuple[Image, Target]:
        """One image, (H, W, 3) uint8 BGR, and its labels; may be called from several threads at once.

        Raises:
            ImageError: a file cannot be read.
        """


class Data(NamedTuple):
    """A data set: what to train on, and what is held out."""

    train: Samples
    validation: Samples


def open_data(
    data: str, *, size_hw: tuple[int, int], seed: int, validation_images: int | None = None, note: Note | None = None
) -> Data:
    """A data set by what a configuration calls it.

    Args:
        data: `cityscapes:ROOT` (the folder that holds leftImg8bit and gtFine), `imagenet:ROOT` (with train/CLASS/* and
            val/CLASS/*), `toytown`, `toytown:COUNT`, `toyshapes` or `toyshapes:COUNT` (drawn, COUNT to train on).
        size_hw: Height and width of what is drawn.
        seed: Of what is drawn to train on; what is held out always has its own.
        validation_images: How many are held out; None: all, or 100 where they are drawn.
        note: Told what takes long.

    Raises:
        DongfengError: no such kind, a folder is missing, or it does not hold what it should.
    """
    kind, _, where = data.partition(":")
    if kind not in KINDS:
        raise DongfengError(f'data is "{data}"; expected {", ".join(KINDS.values())}')
    if kind.startswith("toy"):
        from dongfeng.training.synthetic import open_drawn

        if where and not (where.isascii() and where.isdigit() and int(where) > 0):
            raise DongfengError(f'data is "{data}"; expected {KINDS[kind]}, COUNT a number of images')
        return Data(*open_drawn(kind, int(where or 0), size_hw, seed, validation_images, note))
    from dongfeng.training.image_folders import open_cityscapes, open_imagenet

    if not where:
        raise DongfengError(f'data is "{data}"; expected {KINDS[kind]}')
    open_folder = open_cityscapes if kind == "cityscapes" else open_imagenet
    return Data(open_folder(Path(where), "train", None), open_folder(Path(where), "val", validation_images))
