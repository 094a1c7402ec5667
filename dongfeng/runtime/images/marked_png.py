"""PNG files marked with the settings that made them, so that a later run knows which of them to keep.

The mark is a text chunk behind the header, which readers of pictures skip. As it is in the file itself, files of
several models, or copied from several machines, can share a folder and are never taken for each other.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from struct import pack, unpack_from

from dongfeng.datasets.label_png import whole_png_form
from dongfeng.runtime.results import Bytes, encode
from dongfeng.support.files import write_whole

_KEYWORD = b"dongfeng\0"
_HEADER_BYTES = 33  # the signature and the first chunk
_MOST_BYTES = 4096  # a mark is far shorter


def write_marked_png(path: Path, pixels: Bytes, mark: str) -> None:
    """Write a PNG, complete or not at all; missing folders are made.

    Args:
        path: The file.
        pixels: (H, W, 3) uint8, BGR, or (H, W) uint8.
        mark: The settings that made it, ASCII.

    Raises:
        ImageError: OpenCV cannot encode it.
        OSError: the file cannot be written.
    """
    png = encode(pixels, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, b"".join((png[:_HEADER_BYTES], _text_chunk(mark), png[_HEADER_BYTES:])))


def mark_of(path: Path) -> str | None:
    """Return the mark of a PNG; None where it has none, is no PNG, or cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(_MOST_BYTES)
    except OSError:
        return None
    body = _HEADER_BYTES + 8
    if start[_HEADER_BYTES + 4 : body + len(_KEYWORD)] != b"tEXt" + _KEYWORD:
        return None
    (length,) = unpack_from(">I", start, _HEADER_BYTES)
    return start[body + len(_KEYWORD) : body + length].decode("latin-1")


def is_whole_with_mark(path: Path, mark: str) -> bool:
    """Tell whether a file is a PNG with that mark, and by its checksums no byte of it is missing or wrong."""
    return mark_of(path) == mark and whole_png_form(path) is not None


def _text_chunk(mark: str) -> bytes:
    body = b"tEXt" + _KEYWORD + mark.encode("ascii")
    return pack(">I", len(body) - 4) + body + pack(">I", zlib.crc32(body))
