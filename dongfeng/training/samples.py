"""The labelled images that a training is fed with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from dongfeng.errors import ImageError

IGNORE = 255  # label of a pixel that counts for nothing

Image = npt.NDArray[np.uint8]
Target = npt.NDArray[np.uint8] | int  # (H, W) labels of a segmentation, the class of a classification
Task = Literal["segmentation", "classification"]
Note = Callable[[str], None]  # takes a message for people


class Samples(Protocol):
    """Labelled images, numbered from 0."""

    @property
    def task(self) -> Task:
        """The task that the labels are for."""

    @property
    def class_names(self) -> Sequence[str]:
        """Name of each class; the index is its label."""

    def __len__(self) -> int: ...

    def sample(self, index: int) -> tuple[Image, Target]:
        """Read one image, (H, W, 3) uint8 BGR, and its labels; several threads may call this at once.

        Raises:
            ImageError: a file cannot be read.
        """


@dataclass(frozen=True)
class ReadSamples:
    """Samples that a function reads by number; see `Samples`."""

    task: Task
    class_names: Sequence[str]
    count: int
    read: Callable[[int], tuple[Image, Target]]

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int) -> tuple[Image, Target]:
        """Read one image and its labels; see `Samples`."""
        return self.read(index)


@dataclass(frozen=True)
class Data:
    """A data set.

    Attributes:
        train: Samples to train on.
        validation: Samples that are held out.
    """

    train: Samples
    validation: Samples


def check_labels(target: Target, classes: int, index: int) -> None:
    """Refuse labels that are neither classes nor 255.

    Raises:
        ImageError: naming the first such label.
    """
    if not isinstance(target, np.ndarray):
        return
    foreign = np.flatnonzero(np.bincount(target.ravel(), minlength=256)[classes:IGNORE])
    if foreign.size:
        raise ImageError(
            f"image {index} has the label {classes + foreign[0]}; expected classes 0 to {classes - 1}, or {IGNORE}"
        )
