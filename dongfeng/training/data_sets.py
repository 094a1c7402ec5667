"""`open_data`: the data set that a configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dongfeng.errors import DongfengError
from dongfeng.training.config import TrainConfig
from dongfeng.training.image_folders import open_cityscapes, open_imagenet
from dongfeng.training.samples import Data, Note
from dongfeng.training.synthetic import open_synthetic

DATA_SETS: Mapping[str, str] = {
    "cityscapes": "cityscapes:ROOT",
    "imagenet": "imagenet:ROOT",
    "toytown": "toytown[:COUNT]",
    "toyshapes": "toyshapes[:COUNT]",
}
"""Name of each data set and the form in which a configuration gives it."""


def open_data(
    data: str, *, size_hw: tuple[int, int], seed: int, validation_images: int | None = None, note: Note | None = None
) -> Data:
    """Open a data set by its name in a configuration.

    Args:
        data: `cityscapes:ROOT` (the folder that holds leftImg8bit and gtFine), `imagenet:ROOT` (with train/CLASS/* and
            val/CLASS/*), `toytown`, `toytown:COUNT`, `toyshapes` or `toyshapes:COUNT` (synthetic, COUNT to train on).
        size_hw: Height and width of synthetic images.
        seed: Seed of the synthetic images to train on; those held out always have one of their own.
        validation_images: Number of images to hold out; None: all, or 100 synthetic ones.
        note: Called with a message before something that takes long.

    Raises:
        DongfengError: there is no such data set, a folder is missing, or it does not hold what it should.
    """
    name, _, where = data.partition(":")
    if name not in DATA_SETS:
        raise DongfengError(f'data is "{data}"; expected {", ".join(DATA_SETS.values())}')
    if name in ("toytown", "toyshapes"):
        if where and not (where.isascii() and where.isdigit() and int(where) > 0):
            raise DongfengError(f'data is "{data}"; expected {DATA_SETS[name]}, COUNT a number of images')
        return open_synthetic(name, int(where) if where else None, size_hw, seed, validation_images, note)
    if not where:
        raise DongfengError(f'data is "{data}"; expected {DATA_SETS[name]}')
    open_folder = open_cityscapes if name == "cityscapes" else open_imagenet
    return Data(open_folder(Path(where), "train", None), open_folder(Path(where), "val", validation_images))


def open_config_data(config: TrainConfig, size_hw: tuple[int, int], note: Note | None) -> Data:
    """Open the data set of a configuration; see `open_data`."""
    count = config.validation_images
    return open_data(config.data, size_hw=size_hw, seed=config.seed, validation_images=count, note=note)
