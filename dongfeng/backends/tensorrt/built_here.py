"""Hashes of the engines that dongfeng has built on this machine, each the name of a small file in the cache folder.

An engine is a program for the GPU and for its host, so one from elsewhere is run only where the caller trusts it.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from dongfeng.support.cache_folder import cache_root
from dongfeng.support.files import write_whole


def record(sha256: str, engine: Path) -> None:
    """Remember an engine; where the cache cannot be written, it will need `trust=True`."""
    path = _folder() / sha256
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, f"{engine.resolve()}\n")


def is_built_here(sha256: str) -> bool:
    """Whether an engine with that hash was built here."""
    return (_folder() / sha256).is_file()


def _folder() -> Path:
    return cache_root() / "engines" / "built"
