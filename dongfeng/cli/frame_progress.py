"""How far a video is: it has too many frames for a line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dongfeng.support.progress import show_progress


@contextmanager
def frame_progress(what: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Show progress on stderr.

    Args:
        what: What is being read.
        total: Number of frames; None where it is not known.

    Yields:
        A function to call after each frame.
    """
    with show_progress(what, "frames", total) as shown:
        yield shown.advance
