"""Checksums remembered at the first use of files whose checksum the manifest does not know.

A remembered checksum is a file beside the weights, `NAME.sha256`, in the form that `sha256sum --check` reads.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from dongfeng.support.files import replacing


def checksum_path(path: Path) -> Path:
    """The path of the file that remembers the checksum of `path`."""
    return path.with_name(path.name + ".sha256")


def remembered_checksum(path: Path) -> str | None:
    """Read the SHA-256 remembered for a file; None where there is none."""
    try:
        text = checksum_path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    found = re.match(r"[0-9a-f]{64}\b", text)
    return found[0] if found else None


def remember_checksum(path: Path, sha256: str) -> None:
    """Write the checksum of a file beside it; a cache that cannot be written remembers nothing."""
    with contextlib.suppress(OSError), replacing(checksum_path(path)) as temporary:
        temporary.write_text(f"{sha256}  {path.name}\n", encoding="ascii")
