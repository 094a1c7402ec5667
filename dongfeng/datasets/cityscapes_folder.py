"""The folder of Cityscapes as it is unpacked: images in `leftImg8bit/`, labels in `gtFine/`, by split and city."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dongfeng.errors import DongfengError

IMAGES, LABELS = "leftImg8bit", "gtFine"


@dataclass(frozen=True)
class Frame:
    """One image of the data set.

    Attributes:
        path: The image.
        city: Its folder.
        name: Beginning of the names of its image and labels, such as "frankfurt_000000_000294".
    """

    path: Path
    city: str
    name: str


@dataclass(frozen=True)
class Truth:
    """The files of the labels of a split.

    Attributes:
        folder: `gtFine/SPLIT`.
        has_instances: Whether there are instance ids beside the label ids.
    """

    folder: Path
    has_instances: bool

    def label_ids(self, frame: Frame) -> Path:
        """Return the file of a frame's label ids, 8 bits."""
        return self._file(frame, "labelIds")

    def instance_ids(self, frame: Frame) -> Path | None:
        """Return the file of a frame's instance ids, 16 bits; None where the data set has none at all."""
        return self._file(frame, "instanceIds") if self.has_instances else None

    def _file(self, frame: Frame, labels: str) -> Path:
        return self.folder / frame.city / f"{frame.name}_{LABELS}_{labels}.png"


def find_frames(root: Path, split: str) -> list[Frame]:
    """Find all images of a split, sorted by city and name.

    Args:
        root: The folder that holds `leftImg8bit`.
        split: Such as "val".

    Raises:
        DongfengError: a folder is missing, or there are no images; the message says where to look.
    """
    folder = _split_folder(root, IMAGES, split)
    visible = (path for path in folder.glob(f"*/*_{IMAGES}.png") if not path.name.startswith("."))
    paths = sorted(visible, key=lambda path: (path.parent.name, path.name))
    if not paths:
        raise DongfengError(f"{folder}: holds no images; expected CITY/*_{IMAGES}.png below it")
    return [Frame(path, path.parent.name, path.name.removesuffix(f"_{IMAGES}.png")) for path in paths]


def find_truth(root: Path, split: str, frames: Sequence[Frame]) -> Truth:
    """Find the labels of a split.

    Raises:
        DongfengError: the folder is missing, or holds labels of none of the frames.
    """
    truth = Truth(_split_folder(root, LABELS, split), has_instances=True)
    if frames and not any(truth.label_ids(frame).is_file() for frame in frames):
        first = truth.label_ids(frames[0]).relative_to(truth.folder)
        raise DongfengError(f"{truth.folder}: holds labels of none of the {len(frames)} images; expected {first}, ...")
    files = (truth.instance_ids(frame) for frame in frames)
    return Truth(truth.folder, has_instances=any(file is not None and file.is_file() for file in files))


def _split_folder(root: Path, name: str, split: str) -> Path:
    if not root.is_dir():
        raise DongfengError(f"{root}: no such folder; expected the one that holds {IMAGES} and {LABELS}")
    folder = root / name
    if not folder.is_dir():
        raise DongfengError(f"{root}: holds no folder {name}{_advice(root, name)}")
    if not (folder / split).is_dir():
        there = sorted(path.name for path in folder.iterdir() if path.is_dir())
        raise DongfengError(f'{folder}: holds no split "{split}"; it has {", ".join(there) or "no folders at all"}')
    return folder / split


def _advice(root: Path, name: str) -> str:
    """Say what to do about a root that is too deep, not deep enough, or incomplete."""
    if name == LABELS and (root / IMAGES).is_dir():
        return "; evaluation needs the labels of the package gtFine_trainvaltest"
    above = [folder.parent for folder in (root.absolute(), *root.absolute().parents) if folder.name in (IMAGES, LABELS)]
    below = sorted(folder.parent for folder in root.glob(f"*/{name}") if folder.is_dir())
    for right in (*above, *below):
        return f"; the root is {right}"
    return f"; the root is the folder that holds {IMAGES} and {LABELS}"
