"""From the inputs of a command line to images, and from an image to the name of its output."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path

from dongfeng.errors import DongfengError, ImageError

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class Image:
    """One image to work on.

    Attributes:
        path: Where it is.
        relative: Its place below the input it was found by: a folder, or the part of a pattern before its first star.
    """

    path: Path
    relative: Path


def find_images(inputs: Sequence[str], *, outside: Path | None = None) -> tuple[list[Image], list[str]]:
    """Expand files, folders (with all folders below) and glob patterns, each file once.

    Args:
        inputs: As given on the command line.
        outside: Folder of the outputs; where it lies inside an input folder, what it holds is left out.

    Returns:
        The images in order, and one line for each input that stands for none.
    """
    found: dict[Path, Image] = {}
    problems = []
    for text in inputs:
        images = list(_expand(text, outside))
        for image in images:
            found.setdefault(image.path.resolve(), image)
        if not images:
            problems.append(_why_none(text))
    return list(found.values()), problems


def image_files(inputs: Sequence[str]) -> list[Path]:
    """Returns the image files that inputs stand for, by name.

    Raises:
        ImageError: an input stands for none.
    """
    images, problems = find_images(inputs)
    if problems:
        raise ImageError(problems[0])
    return sorted(image.path for image in images)


def find_video(inputs: Sequence[str]) -> Path | int | None:
    """The video file, or the number of the camera, that the inputs stand for; None where they are images.

    Raises:
        DongfengError: there is a video, and something else as well.
    """
    from dongfeng.runtime.images.video import is_video

    def is_camera(text: str) -> bool:
        return text.isascii() and text.isdigit() and not Path(text).exists()

    for text in inputs:
        if is_camera(text) or (is_video(Path(text)) and (Path(text).exists() or not glob.has_magic(text))):
            if len(inputs) > 1:
                raise DongfengError(f"{text}: a video or camera has to be the only INPUT; got {len(inputs)} of them")
            return int(text) if is_camera(text) else Path(text)
    return None


def _expand(text: str, outside: Path | None) -> Iterator[Image]:
    path = Path(text)
    if path.is_dir():
        yield from _below(path, path, outside)
    elif path.exists() or not glob.has_magic(text):
        if path.exists():
            yield Image(path, Path(path.name))
    else:
        base = _fixed_part(path)
        matches = glob.iglob(text, recursive=True)  # noqa: PTH207  (Path.glob refuses absolute patterns and "a**")
        for match in sorted(map(Path, matches)):
            if match.is_dir():
                yield from _below(match, base, outside)
            elif match.suffix.lower() in SUFFIXES:
                yield Image(match, match.relative_to(base))


def _below(folder: Path, base: Path, outside: Path | None) -> Iterator[Image]:
    skipped = outside.resolve() if outside is not None else None
    if skipped == folder.resolve():
        skipped = None
    for path in sorted(folder.rglob("*")):
        is_image = path.suffix.lower() in SUFFIXES and not path.name.startswith(".")  # hidden: unfinished, or no image
        if is_image and path.is_file() and not _is_inside(path, skipped):
            yield Image(path, path.relative_to(base))


def _is_inside(path: Path, folder: Path | None) -> bool:
    return folder is not None and path.resolve().is_relative_to(folder)


def _fixed_part(pattern: Path) -> Path:
    """The folders of a pattern before the first part with a wildcard."""
    for parent in pattern.parents:
        if not glob.has_magic(str(parent)):
            return parent
    return Path()


def _why_none(text: str) -> str:
    path = Path(text)
    if path.is_dir():
        return f"{text}: no images in this folder (looked for {' '.join(sorted(SUFFIXES))})"
    if glob.has_magic(text):
        return f"{text}: no image matches this pattern"
    return f"{text}: no such file or folder"


def output_names(images: Sequence[Image], suffix: str) -> list[Path]:
    """A relative path for the output of each image, no two the same.

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
