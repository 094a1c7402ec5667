"""Read PNG files of labels, and tells whole files from broken ones."""

from __future__ import annotations

import zlib
from pathlib import Path
from struct import unpack_from
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dongfeng.errors import ImageError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # by colour type, of those without a palette
_HEAD_BYTES = 26  # the signature and the first fields of the first chunk


class PngForm(NamedTuple):
    """Size and pixel format of a PNG.

    Attributes:
        size_hw: Height and width in pixels.
        channels: 1 to 4; 0 for a palette.
        bits: Per channel.
    """

    size_hw: tuple[int, int]
    channels: int
    bits: int


def png_form(path: Path) -> PngForm | None:
    """Read size and format of a PNG from its first bytes; None where it is no PNG or cannot be read."""
    try:
        with path.open("rb") as file:
            return _form(file.read(_HEAD_BYTES))
    except OSError:
        return None


def whole_png_form(path: Path) -> PngForm | None:
    """Read size and format of a PNG whose bytes all match its checksums; None for anything else."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    at = len(_SIGNATURE)
    while at + 12 <= len(data):
        (length,) = unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data) or unpack_from(">I", data, end)[0] != zlib.crc32(memoryview(data)[at + 4 : end]):
            return None
        chunk, at = data[at + 4 : at + 8], end + 4
        if chunk == b"IEND":
            return _form(data) if at == len(data) else None
    return None


def _form(data: bytes) -> PngForm | None:
    if len(data) < _HEAD_BYTES or not data.startswith(_SIGNATURE) or data[12:16] != b"IHDR":
        return None
    width, height, bits, colour = unpack_from(">IIBB", data, 16)
    return PngForm((height, width), _CHANNELS.get(colour, 0), bits)


def read_label_png(path: Path) -> npt.NDArray[np.uint8]:
    """Read a PNG of one 8-bit number per pixel.

    Returns:
        (H, W) uint8.

    Raises:
        ImageError: there is no such file, it is damaged, or it has colours or other bits.
    """
    return np.asarray(_read(path, (8,)), np.uint8)


def read_instance_png(path: Path) -> npt.NDArray[np.uint16]:
    """Read a PNG of one 16-bit number per pixel, or of 8 bits where no number needs more.

    Returns:
        (H, W) uint16.

    Raises:
        ImageError: as for `read_label_png`.
    """
    return np.asarray(_read(path, (8, 16)), np.uint16)


def _read(path: Path, bits: tuple[int, ...]) -> npt.NDArray[Any]:
    import cv2

    if not path.is_file():
        raise ImageError(f"{path}: no such file")
    form = whole_png_form(path)  # OpenCV takes some broken files, and complains about others on stderr
    if form is None:
        raise ImageError(f"{path}: is no PNG, or is damaged")
    if form.channels != 1 or form.bits not in bits:
        found = f"{form.channels} x {form.bits} bits per pixel" if form.channels else "a palette"
        raise ImageError(f"{path}: has {found}; expected one number of {bits[-1]} bits per pixel")
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ImageError(f"{path}: is damaged")
    return np.asarray(image)
