"""What both ways of downloading (`http`, `drive`) share."""

from __future__ import annotations

import re
from html import unescape

TIMEOUT_S = (10.0, 30.0)  # to connect; between two packets
ATTEMPTS = 3
BACKOFF_S = 1.0  # before the second attempt; doubled before each further one


class TransferError(Exception):
    """Why one address did not give the file, as a clause that fits into a one-line message."""


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
    """The text with every run of white space replaced by one space."""
    return " ".join(text.split())


def network_reason(error: BaseException) -> str:
    """A network library's exception as a short clause."""
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
