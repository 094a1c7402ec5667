"""ImageNet's validation images: a folder per class, or one folder and a list."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dongfeng.datasets.imagenet import wordnet_ids
from dongfeng.errors import DongfengError

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_WNID = re.compile(r"n\d{8}")


def read_class_folders(folder: Path) -> dict[Path, int]:
    """Find all images in folders that are named after their class: `n01440764/*.JPEG`.

    Args:
        folder: The folder of these folders; it need not have all of them.

    Returns:
        Index of its class, 0 to 999, for each image.

    Raises:
        DongfengError: there is no such folder, it has no folders of classes, or one is of no class of ILSVRC2012.
    """
    _check_folder(folder)
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and _WNID.fullmatch(path.name))
    if not classes:
        raise DongfengError(
            f"{folder}: holds no folders named after classes, such as n01440764; images that lie in one folder need a "
            "list of their classes (--labels)"
        )
    index = {wnid: at for at, wnid in enumerate(wordnet_ids())}
    foreign = [path for path in classes if path.name not in index]
    if foreign:
        raise DongfengError(f"{foreign[0]}: is none of the 1000 classes of ILSVRC2012")
    images = {path: index[at.name] for at in classes for path in images_in(at)}
    if not images:
        raise DongfengError(f"{folder}: the folders of its {len(classes)} classes hold no images")
    return images


def read_list(folder: Path, labels: Path) -> dict[Path, int]:
    """Read a list of images whose lines are "NAME INDEX", as Caffe's val.txt.

    Args:
        folder: The folder that the names are relative to.
        labels: The list; indices are 0 to 999, in the order of the classes' WordNet ids.

    Returns:
        Index of its class for each image of the list.

    Raises:
        DongfengError: a file is missing, a line has another form, an image is listed twice, or the folder holds none.
    """
    _check_folder(folder)
    try:
        lines = labels.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DongfengError(f"{labels}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DongfengError(f"{labels}: cannot be read as text ({error})") from error
    images: dict[Path, int] = {}
    for at, line in enumerate(lines, 1):
        if line.strip():
            name, index = _listed(line, f"{labels}:{at}")
            if folder / name in images:
                raise DongfengError(f"{labels}:{at}: {name} is listed before")
            images[folder / name] = index
    if not images:
        raise DongfengError(f'{labels}: is empty; expected lines "NAME INDEX"')
    if not any(path.is_file() for path in images):
        first = next(iter(images)).name
        raise DongfengError(f"{folder}: holds none of the {len(images)} images of {labels}, such as {first}")
    return images


def _listed(line: str, where: str) -> tuple[str, int]:
    name, index = (*line.strip().rsplit(maxsplit=1), "")[:2]
    if not index.isdecimal():
        raise DongfengError(f'{where}: expected "NAME INDEX", got "{line.strip()}"')
    if int(index) >= len(wordnet_ids()):
        raise DongfengError(f"{where}: class {index}; expected 0 to {len(wordnet_ids()) - 1}, by WordNet id")
    return name, int(index)


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise DongfengError(f"{folder}: no such folder")


def images_in(folder: Path) -> Sequence[Path]:
    """Return the images that lie in a folder, sorted by name."""
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
