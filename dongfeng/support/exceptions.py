"""What exceptions of other libraries say, in one line."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """The first line of an exception's message that says something; its class where it has no message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # OpenVINO begins with the places in its own source.
    return next((line for line in lines if not line.startswith(("Exception from", "Check '"))), type(error).__name__)
