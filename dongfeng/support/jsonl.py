"""Durable logs of one JSON object a line: a line is on the disk when `append` returns."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dongfeng.support.files import write_whole
from dongfeng.support.strict_json import JsonFormat, Node


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Add a line.

    Raises:
        OSError: the file cannot be written.
        ValueError: the row holds NaN or infinity, which JSON has no word for.
    """
    with path.open("ab") as file:
        file.write(_line(row))
        file.flush()
        os.fsync(file.fileno())


def rewrite(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace the lines of a log, all at once.

    Raises:
        OSError: the file cannot be written.
        ValueError: a row holds NaN or infinity.
    """
    write_whole(path, b"".join(map(_line, rows)))


def read(path: Path, format_: JsonFormat) -> list[Node]:
    """Read the whole lines; none where there is no file. Their paths are `FILE:LINE`.

    A last line without its line break was left unfinished by a killed process, and is not read.

    Raises:
        DongfengError: of the format's class: the file cannot be read, or a line is not JSON.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        format_.fail(str(path), str(error.strerror))
    lines = content.split(b"\n")[:-1]
    return [format_.parse(line, source=str(path), line=number) for number, line in enumerate(lines, 1)]


def cut_torn_line(path: Path) -> None:
    """Cut off a last line that a killed process left unfinished, so that `append` begins a new one.

    Raises:
        OSError: the file cannot be written.
    """
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("rb+") as file:
            file.truncate(whole)


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, allow_nan=False).encode() + b"\n"
