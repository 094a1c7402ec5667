"""Hashes of files, and the hash remembered ("pinned") at first use of a file whose hash the manifest does not know.

A pin is a file beside the weights, `NAME.sha256`, in the form that `sha256sum --check` reads.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from pathlib import Path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def pin_path(path: Path) -> Path:
    """Where the pin of a file is."""
    return path.with_name(path.name + ".sha256")


def pinned(path: Path) -> str | None:
    """The hash remembered for a file; None where there is none."""
    try:
        text = pin_path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    found = re.match(r"[0-9a-f]{64}\b", text)
    return found[0] if found else None


def pin(path: Path, sha256: str) -> None:
    """Remember a file's hash; where the cache is read-only there is nothing to remember it in."""
    with contextlib.suppress(OSError):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{sha256}  {path.name}\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(pin_path(path))


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder last through a power cut, where the platform can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
