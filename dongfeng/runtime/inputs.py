"""Find the images or the video that inputs stand for, and names the outputs of images."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from os.path import commonpath
from pathlib import Path
from typing import TypeAlias, TypeVar

from dongfeng.errors import DongfengError, ImageError

T = TypeVar("T")

# One file, folder or glob pattern, or several.
Inputs: TypeAlias = "str | PathLike[str] | Sequence[str | PathLike[str]]"

Shard = tuple[int, int]  # part, from 1, and number of parts

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class InputImage:
    """One image to work on.

    Attributes:
        path: Where it is.
        relative: Its path below the input it was found by: a folder, or the part of a pattern before its first star.
    """

    path: Path
    relative: Path


@dataclass(frozen=True)
class Failure:
    """An input, an image or a whole run that gave no result.

    Attributes:
        input: What failed: an image, or an input as it was given.
        reason: One line, which names what is wrong.
    """

    input: str
    reason: str

    def __str__(self) -> str:
        return f"{self.input}: skipped"


def as_texts(inputs: Inputs) -> list[str]:
    """Convert inputs of any form to a list of strings."""
    return [fspath(inputs)] if isinstance(inputs, str | PathLike) else [fspath(one) for one in inputs]


def find_images(inputs: Inputs, *, outside: Path | None = None) -> tuple[list[InputImage], list[Failure]]:
    """Expand files, folders (with all folders below) and glob patterns, each file once.

    Args:
        inputs: Files, folders and patterns.
        outside: Folder of the outputs; where it lies inside an input folder, what it holds is left out.

    Returns:
        The images in order, and the inputs that stand for none.
    """
    found: dict[Path, InputImage] = {}
    failures = []
    for text in as_texts(inputs):
        images = list(_expand(text, outside))
        for image in images:
            found.setdefault(image.path.resolve(), image)
        if not images:
            failures.append(Failure(text, _why_none(text)))
    return list(found.values()), failures


def image_files(inputs: Inputs) -> list[Path]:
    """Find the image files that inputs stand for, sorted by path.

    Raises:
        ImageError: an input stands for none.
    """
    images, failures = find_images(inputs)
    if failures:
        raise ImageError(failures[0].reason)
    return sorted(image.path for image in images)


def find_video(inputs: Inputs) -> Path | int | None:
    """Find the video file or the number of the camera among inputs; None where they are images.

    Raises:
        DongfengError: there is a video, and something else as well.
    """
    from dongfeng.runtime.images.video import is_video

    texts = as_texts(inputs)
    for text in texts:
        if _is_camera(text) or (is_video(Path(text)) and (Path(text).exists() or not glob.has_magic(text))):
            if len(texts) > 1:
                raise DongfengError(f"{text}: a video or camera has to be the only INPUT; got {len(texts)} of them")
            return int(text) if _is_camera(text) else Path(text)
    return None


def _is_camera(text: str) -> bool:
    return text.isascii() and text.isdigit() and not Path(text).exists()


def _expand(text: str, outside: Path | None) -> Iterator[InputImage]:
    path = Path(text)
    if path.is_dir():
        yield from _below(path, path, outside)
    elif path.exists():
        yield InputImage(path, Path(path.name))
    elif glob.has_magic(text):
        # The folders of the pattern before its first part with a wildcard.
        base = next((parent for parent in path.parents if not glob.has_magic(str(parent))), Path())
        matches = glob.iglob(text, recursive=True)  # noqa: PTH207  (Path.glob refuses absolute patterns and "a**")
        for match in sorted(map(Path, matches)):
            if match.is_dir():
                yield from _below(match, base, outside)
            elif match.suffix.lower() in SUFFIXES:
                yield InputImage(match, match.relative_to(base))


def _below(folder: Path, base: Path, outside: Path | None) -> Iterator[InputImage]:
    skipped = None if outside is None or outside.resolve() == folder.resolve() else outside.resolve()
    for path in sorted(folder.rglob("*")):
        is_image = path.suffix.lower() in SUFFIXES and not path.name.startswith(".")  # hidden: unfinished, or no image
        if is_image and path.is_file() and not (skipped and path.resolve().is_relative_to(skipped)):
            yield InputImage(path, path.relative_to(base))


def _why_none(text: str) -> str:
    path = Path(text)
    if path.is_dir():
        return f"{text}: no images in this folder (looked for {' '.join(sorted(SUFFIXES))})"
    if glob.has_magic(text):
        return f"{text}: no image matches this pattern"
    return f"{text}: no such file or folder"


def of_shard(images: Sequence[T], shard: Shard | None) -> Sequence[T]:
    """Return one part of the images, every N-th from the I-th on; all of them without a shard.

    Raises:
        DongfengError: the part is none of 1 to the number of parts.
    """
    part, parts = shard or (1, 1)
    if not 1 <= part <= parts:
        raise DongfengError(f"shard is {part}/{parts}; expected I/N with I from 1 to N, such as 2/4")
    return images[part - 1 :: parts]


def output_names(images: Sequence[InputImage], suffix: str) -> list[Path]:
    """Name the output of each image by a relative path, no two the same.

    An image keeps its place and stem. Where two would meet (`a/x.png` and `b/x.png` given singly, `x.jpg` beside
    `x.png`), both keep their whole name below the folder they share: `a/x.png.png`.
    """
    plain = [image.relative.with_suffix(suffix) for image in images]
    meeting = {name for name, count in Counter(map(_key, plain)).items() if count > 1}
    if not meeting:
        return plain
    shared = Path(commonpath([image.path.resolve().parent for image in images]))
    whole = [Path(f"{image.path.resolve().relative_to(shared)}{suffix}") for image in images]
    names = [b if _key(a) in meeting else a for a, b in zip(plain, whole, strict=True)]
    return names if len(set(map(_key, names))) == len(names) else whole


def _key(path: Path) -> str:
    return str(path).casefold()  # some file systems do not tell X.png from x.png
