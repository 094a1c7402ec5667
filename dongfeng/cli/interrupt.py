"""Delays Ctrl-C until the file in hand is written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

INTERRUPTED = 130


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Remember the first Ctrl-C during the block instead of raising it; the second interrupts at once.

    Outside the main thread, and where Ctrl-C is ignored or handled by someone else, nothing is changed.

    Yields:
        A function that tells whether there was a Ctrl-C.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    asked = False

    def remember(*_: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
