"""Files of the cache that are built on first use, by one process at a time."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from dongfeng.errors import DongfengError
from dongfeng.support.cache_folder import cache_root

Read = TypeVar("Read")


def build_once(
    path: Path,
    build: Callable[[Path], None],
    read: Callable[[Path], Read],
    *,
    damaged: tuple[type[Exception], ...] = (),
) -> Read:
    """Read a file of the cache, which is built first where it is not there or damaged.

    Where the cache cannot be written, the file is built in a temporary folder, read, and forgotten: that costs the
    building, each time. Such a path is not `path`, and is gone when this returns.

    Args:
        path: The file, below the cache folder.
        build: Writes it to a given path, complete or not at all.
        read: Reads it.
        damaged: Exceptions of `read` after which the file is built again.
    """
    found = _read(path, read, damaged)
    if found:
        return found[0]
    with _lock(path.name):
        found = _read(path, read, damaged)  # another process may have built it in the meantime
        if found:
            return found[0]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            build(path)
            return read(path)
        except OSError as error:
            if isinstance(error, DongfengError):  # it is about what is built
                raise
        with tempfile.TemporaryDirectory(prefix="dongfeng-") as folder:
            elsewhere = Path(folder) / path.name
            build(elsewhere)
            return read(elsewhere)


def _read(path: Path, read: Callable[[Path], Read], damaged: tuple[type[Exception], ...]) -> tuple[Read] | None:
    if path.is_file():
        with contextlib.suppress(*damaged):
            return (read(path),)
    return None


@contextlib.contextmanager
def _lock(name: str) -> Iterator[None]:
    """Keep other processes out; where there can be no lock, each builds for itself."""
    from filelock import FileLock

    folder = cache_root() / "locks"
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError, NotImplementedError):
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(folder / f"{name}.lock"))
        yield
