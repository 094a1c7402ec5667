"""Samples from folders of labelled images, in the layouts of Cityscapes and ImageNet."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from dongfeng.datasets import cityscapes
from dongfeng.datasets.cityscapes_folder import Frame, Truth, find_frames, find_truth
from dongfeng.datasets.imagenet import class_names, wordnet_ids
from dongfeng.datasets.imagenet_folder import images_in
from dongfeng.datasets.label_png import read_label_png
from dongfeng.errors import DongfengError, ImageError
from dongfeng.runtime.images.read import read_image
from dongfeng.training.samples import Image, ReadSamples, Target

_T = TypeVar("_T")


def open_cityscapes(root: Path, split: str, count: int | None) -> ReadSamples:
    """Open a split of a Cityscapes folder: at most `count` images, evenly spread.

    Raises:
        DongfengError: a folder is missing or holds no such images.
    """
    frames = _spread(find_frames(root, split), count)
    read = partial(_read_frame, frames, find_truth(root, split, frames))
    return ReadSamples("segmentation", cityscapes.CLASSES, len(frames), read)


def _read_frame(frames: Sequence[Frame], truth: Truth, index: int) -> tuple[Image, Target]:
    """Read one image and its train ids."""
    frame = frames[index]
    image, labels = read_image(frame.path), read_label_png(truth.label_ids(frame))
    if image.shape[:2] != labels.shape:
        raise ImageError(f"{frame.path}: is {_size(image)} pixels, its labels are {_size(labels)}")
    return image, cityscapes.to_train_ids(labels)


def open_imagenet(root: Path, split: str, count: int | None) -> ReadSamples:
    """Open the images in `ROOT/SPLIT/CLASS/`: at most `count`, evenly spread.

    Where the folders of `ROOT/train` are named after WordNet ids of ILSVRC2012, classes are numbered as there; else
    in the order of their names.

    Raises:
        DongfengError: a folder is missing or holds no such images.
    """
    folder = root / split
    if not folder.is_dir():
        raise DongfengError(f"{folder}: no such folder; expected {root}/train/CLASS/* and {root}/val/CLASS/*")
    trained = _class_folders(root / "train")
    known = set(trained) <= set(wordnet_ids())
    numbers = {name: index for index, name in enumerate(wordnet_ids() if known else trained)}
    foreign = [name for name in _class_folders(folder) if name not in numbers]
    if foreign:
        raise DongfengError(f"{folder / foreign[0]}: is a class that {root / 'train'} does not have")
    images = [(path, numbers[name]) for name in _class_folders(folder) for path in images_in(folder / name)]
    if not images:
        raise DongfengError(f"{folder}: holds no images; expected CLASS/*.jpg below it")
    chosen, names = _spread(images, count), class_names() if known else trained
    return ReadSamples("classification", names, len(chosen), partial(_read_image, chosen))


def _read_image(images: Sequence[tuple[Path, int]], index: int) -> tuple[Image, Target]:
    path, label = images[index]
    return read_image(path), label


def _class_folders(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise DongfengError(f"{folder}: no such folder; expected a folder for each class in it")
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _spread(items: Sequence[_T], count: int | None) -> Sequence[_T]:
    """At most `count` of the items, evenly spread."""
    if count is None or count >= len(items):
        return items
    return [items[index * len(items) // count] for index in range(count)]


def _size(image: npt.NDArray[np.uint8]) -> str:
    return "x".join(map(str, image.shape[:2]))
