"""Listing and emptying the cache folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dongfeng.zoo.checksums import checksum_path
from dongfeng.zoo.fetch import INCOMPLETE
from dongfeng.zoo.manifest import manifest
from dongfeng.zoo.paths import engines_folder, onnx_folder, weights_folder

Content = Literal["weights", "incomplete", "onnx", "engine"]


@dataclass(frozen=True)
class CacheEntry:
    """One file of the cache.

    Attributes:
        path: Its path.
        content: "weights", "incomplete" (an unfinished download), "onnx" (a converted model) or "engine" (a model
            that TensorRT built).
        size_bytes: Its size.
    """

    path: Path
    content: Content
    size_bytes: int


def list_cache() -> list[CacheEntry]:
    """List every file in the cache that dongfeng put there or would use; other files are left out."""
    return [CacheEntry(path, content, path.stat().st_size) for path, content in _files() if path.is_file()]


def clear_cache(contents: tuple[Content, ...] = ("weights", "incomplete", "onnx", "engine")) -> list[CacheEntry]:
    """Delete the files that `list_cache` lists; a running download is left alone.

    Returns:
        The deleted files.

    Raises:
        OSError: a file cannot be deleted.
    """
    removed = []
    for entry in list_cache():
        if entry.content not in contents or (entry.content == "incomplete" and _is_in_use(entry.path)):
            continue
        entry.path.unlink(missing_ok=True)
        if entry.content == "weights":
            checksum_path(entry.path).unlink(missing_ok=True)
        removed.append(entry)
    return removed


def _files() -> Iterator[tuple[Path, Content]]:
    for file in manifest().files.values():
        if not file.shipped:
            yield weights_folder() / file.name, "weights"
    for path in sorted((weights_folder() / INCOMPLETE).glob("*")):
        if path.suffix != ".lock":  # deleting a lock that is held would let a second process in
            yield path, "incomplete"
    for path in sorted(onnx_folder().rglob("*")):
        yield path, "onnx"
    for path in sorted(engines_folder().glob("*")):  # its folders hold the hashes of engines that are elsewhere
        yield path, "engine"


def _is_in_use(path: Path) -> bool:
    """Tell whether a process holds the lock of this unfinished download."""
    from filelock import FileLock, Timeout

    owner = next((name for name in manifest().files if path.name.startswith(name)), None)
    if owner is None:
        return False
    try:
        with FileLock(path.with_name(f"{owner}.lock"), timeout=0):
            return False
    except Timeout:
        return True
