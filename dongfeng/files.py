"""Files that appear complete or not at all."""

from __future__ import annotations

import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

# As `replacing` names what it has not finished.
_TEMPORARY = re.compile(r"\.(?P<stem>.+)-[a-z0-9_]{8}(?P<suffix>\.\w+)")


@contextmanager
def replacing(path: str | PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an error.

    The data is on the disk before the name changes, so neither a killed process nor a power cut leaves half a file.
    The temporary name keeps the suffix, because writers choose their format by it.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
    except OSError as error:  # it names a file the caller has never heard of
        raise OSError(error.errno, error.strerror, str(target)) from error
    temporary = Path(name)
    try:
        os.close(handle)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(_usual_mode(target))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(paths: Iterable[str | PathLike[str]]) -> None:
    """Delete the temporary files that a killed process has left of these files; nothing else is touched.

    Raises:
        OSError: one of them cannot be deleted.
    """
    names = defaultdict[Path, set[str]](set)
    for path in map(Path, paths):
        names[path.parent].add(path.name)
    for folder, of_folder in names.items():
        for found in folder.glob(".*"):
            match = _TEMPORARY.fullmatch(found.name)
            if match and match["stem"] + match["suffix"] in of_folder:
                found.unlink(missing_ok=True)


def _usual_mode(target: Path) -> int:
    """The mode of the file that is replaced, or that a new file would get; mkstemp makes private ones."""
    try:
        return target.stat().st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
