"""Encodings as text: widths of blocks joined by commas, stages by slashes, `64,64/128,128/256,512`."""

from __future__ import annotations

import re

from dongfeng.errors import SearchError
from dongfeng.search.space import Encoding

_FORM = re.compile(r"[0-9]+(?:[, ]+[0-9]+)*(?:/[0-9]+(?:[, ]+[0-9]+)*)*")


def encoding_text(encoding: Encoding) -> str:
    """Return an encoding as text, which `dongfeng train` takes.

    Example:
        >>> encoding_text(((64, 64), (128,), (256,)))
        '64,64/128/256'
    """
    return "/".join(",".join(map(str, widths)) for widths in encoding)


def parse_encoding(text: str) -> Encoding:
    """Read an encoding from its text; widths may also be separated by spaces, which a CSV file need not quote.

    Raises:
        SearchError: the text is not of this form.

    Example:
        >>> parse_encoding("64 64/128/256")
        ((64, 64), (128,), (256,))
    """
    stripped = text.strip()
    if not _FORM.fullmatch(stripped):
        raise SearchError(f"encoding {text!r}: expected widths of blocks by stage, such as 64,64/128,128/256,512")
    return tuple(tuple(map(int, re.findall("[0-9]+", stage))) for stage in stripped.split("/"))
