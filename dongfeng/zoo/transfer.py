"""`Transfer`, a download of one file, and what its two forms (`http`, `drive`) share."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Protocol

from dongfeng.support.progress import Progress

TIMEOUT_S = (10.0, 30.0)  # to connect; between two packets
ATTEMPTS = 3
BACKOFF_S = 1.0  # before the second attempt; doubled before each further one


class TransferError(Exception):
    """An address does not give the file; the message is a clause that fits into a line."""


class Transfer(Protocol):
    """A download of one file from one address."""

    @property
    def path(self) -> Path:
        """The file to write."""

    def is_begun(self) -> bool:
        """Tell whether an earlier attempt left a part."""

    def forget(self) -> None:
        """Delete what finished and unfinished attempts left."""

    def download(self, progress: Progress) -> str:
        """Download the file, and continue where an earlier attempt ended.

        Returns:
            SHA-256 of the file, hexadecimal.

        Raises:
            TransferError: the address does not give the file.
            OSError: the file cannot be written.
        """


def html_page(head: bytes) -> str | None:
    """Describe the HTML page that the first bytes of a file begin; None where they begin none.

    Hosts answer with a page, not an error code, when a quota is used up or a log-in is wanted.
    """
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not re.match(rb"<(!doctype\s+html|html|head|script|\?xml|!--)", text, re.IGNORECASE):
        return None
    title = re.search(r"<title[^>]*>(.*?)</title>", text.decode("utf-8", "replace"), re.IGNORECASE | re.DOTALL)
    called = f' "{one_line(unescape(title[1]))[:80]}"' if title else ""
    return f"it is an HTML page{called} (a quota, permission or log-in page), not the file"


def one_line(text: str) -> str:
    """Replace every run of white space by one space."""
    return " ".join(text.split())


def network_reason(error: BaseException) -> str:
    """Describe a network library's exception in a short clause."""
    text = f"{error!r} {error}"
    if "timed out" in text or "Timeout" in text:
        return f"no answer within {TIMEOUT_S['ConnectTimeout' not in text]:g} s"
    if "NameResolution" in text or "getaddrinfo" in text:
        return "the host's name cannot be resolved (no network?)"
    for sign, reason in (
        ("refused", "connection refused"),
        ("unreachable", "network unreachable"),
        ("SSLError", "the secure connection failed"),
        ("ncomplete", "the connection was cut before the end of the file"),
        ("reset", "connection reset"),
    ):
        if sign in text:
            return reason
    return one_line(str(error))[:120] or type(error).__name__
