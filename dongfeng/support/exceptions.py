"""Messages of other libraries' exceptions in one line."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message that is about its cause; its class where there is none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # OpenVINO begins with the places in its own source.
    return next((line for line in lines if not line.startswith(("Exception from", "Check '"))), type(error).__name__)
