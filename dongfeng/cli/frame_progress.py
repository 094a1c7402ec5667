"""How far a video is: a bar on a terminal, else a line now and then; it has too many frames for one each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from dongfeng.cli.output import note

SECONDS_PER_LINE = 10.0


@contextmanager
def frame_progress(what: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Show progress on stderr.

    Args:
        what: What is being read.
        total: Number of frames; None where it is not known.

    Yields:
        A function to call after each frame.
    """
    if sys.stderr.isatty():
        with _bar(what, total) as step:
            yield step
        return
    frames, said = 0, monotonic()

    def count() -> None:
        nonlocal frames, said
        frames += 1
        if monotonic() - said >= SECONDS_PER_LINE:
            said = monotonic()
            note(f"{what}: {frames}{'' if total is None else f' of {total}'} frames")

    yield count


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Callable[[], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    layout = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*layout, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what.replace("[", r"\["), total=total)
        yield lambda: bar.advance(task)
