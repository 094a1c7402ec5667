"""Files that appear complete or not at all, folders that one process works in at a time, checksums."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

# The names that `replacing` gives to unfinished files.
_TEMPORARY = re.compile(r"\.(?P<stem>.+)-[a-z0-9_]{8}(?P<suffix>\.\w+)")


@contextmanager
def replacing(path: str | PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which takes its place when the block ends without an error.

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


def write_whole(path: str | PathLike[str], content: bytes | str) -> None:
    """Write a file, complete or not at all; text as UTF-8.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def alone_in(folder: Path, busy: Exception) -> Iterator[None]:
    """Create a folder, and keep other processes that call this out of it until the block ends.

    The system releases the lock when its process ends, even by a kill.

    Raises:
        Exception: `busy`, where another process is in the folder.
        OSError: the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout:
        raise busy from None
    with held:
        yield


def remove_leftovers(paths: Iterable[str | PathLike[str]]) -> None:
    """Delete the temporary files of `replacing` that a killed process left beside these paths, and nothing else.

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


def sync_folder(folder: Path) -> None:
    """Make the renames in a folder last through a power cut, where the platform can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of a file, hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _usual_mode(target: Path) -> int:
    """The mode of the file that is replaced, or that a new file would get; mkstemp makes private ones."""
    try:
        return target.stat().st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
