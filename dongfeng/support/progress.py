"""Shows on stderr how far long work is: a bar on a terminal, plain lines now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich import progress as rich_progress

Unit = Literal["steps", "frames", "bytes", "share"]

SECONDS_PER_LINE = 10.0


def show_progress(what: str, unit: Unit, total: float | None = None, *, enabled: bool = True) -> Progress:
    """Begin to show how far some work is; use the result as a context manager.

    Args:
        what: Name of the work, such as "measure" or a file's name; in front of the bar and of every line.
        unit: What the work is counted in; for a share, a line is written for every tenth.
        total: The count at the end, for a share 1 by default; None where it is not known (yet).
        enabled: False shows nothing.
    """
    if not enabled:
        return Progress()
    if sys.stderr.isatty():
        return Bar(what, unit, total)
    return ShareLines(what, unit, total) if unit == "share" else Lines(what, unit, total)


class Progress:
    """Progress of some work, which nobody is shown."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def update(self, done: float, total: float | None = None, text: str = "") -> None:
        """Set the count, also its end where that has become known, and what to say beside it."""

    def advance(self) -> None:
        """Count one more."""

    def note(self, text: str) -> None:
        """Show a line of text."""


class Lines(Progress):
    """A line every few seconds; for steps also at the first, for bytes also at the last."""

    def __init__(self, what: str, unit: Unit, total: float | None) -> None:
        self._what, self._unit, self._total = what, unit, total
        self._done = 0.0
        self._last_s = float("-inf") if unit == "steps" else time.monotonic()

    def update(self, done: float, total: float | None = None, text: str = "") -> None:
        """Set the count and write a line where one is due."""
        self._done = done
        self._total = self._total if total is None else total
        if self._is_due():
            self._last_s = time.monotonic()
            self.note(": ".join(filter(None, (self._count(), text))))

    def advance(self) -> None:
        """Count one more."""
        self.update(self._done + 1)

    def note(self, text: str) -> None:
        """Write a line."""
        sys.stderr.write(": ".join(filter(None, (self._what, text))) + "\n")

    def _is_due(self) -> bool:
        is_last = self._unit == "bytes" and self._done == self._total
        return is_last or time.monotonic() - self._last_s >= SECONDS_PER_LINE

    def _count(self) -> str:
        if self._unit == "steps":
            return f"step {self._done:.0f}"
        words = "{:.1f} MB" if self._unit == "bytes" else "{:.0f}"
        scale = 1e-6 if self._unit == "bytes" else 1.0
        counts = [words.format(scale * count) for count in (self._done, self._total) if count is not None]
        return " of ".join(counts) + (" frames" if self._unit == "frames" else "")


class ShareLines(Lines):
    """A line for every tenth of the work."""

    _tenths = 0

    def _is_due(self) -> bool:
        before, self._tenths = self._tenths, max(self._tenths, int(10 * self._done / (self._total or 1.0) + 1e-9))
        return self._tenths > before

    def _count(self) -> str:
        return f"{10 * self._tenths} %"


class Bar(Progress):
    """A bar that rich draws; it is gone afterwards, except that of a download."""

    def __init__(self, what: str, unit: Unit, total: float | None) -> None:
        self._what, self._unit = what, unit
        self._total = 1.0 if unit == "share" and total is None else total
        self._rich: rich_progress.Progress | None = None

    def __enter__(self) -> Bar:
        from rich import progress as rich_progress
        from rich.console import Console
        from rich.errors import LiveError

        counts = {"bytes": rich_progress.DownloadColumn, "share": rich_progress.TaskProgressColumn}
        name = [rich_progress.TextColumn("{task.description}", markup=False)] if self._what else []
        rich = rich_progress.Progress(
            *name,
            rich_progress.BarColumn(),
            counts.get(self._unit, rich_progress.MofNCompleteColumn)(),
            rich_progress.TimeRemainingColumn(),
            rich_progress.TextColumn("{task.fields[text]}", markup=False),
            console=Console(stderr=True),
            transient=self._unit != "bytes",
            # rich would send redirected lines to stderr; only where both are the terminal is that the same place.
            redirect_stdout=sys.stdout.isatty(),
            # A share is that of measurements, which drawing more often would disturb.
            refresh_per_second=1 if self._unit == "share" else 10,
        )
        # Some versions of rich allow one live display only, and the caller may have one.
        with contextlib.suppress(LiveError):
            rich.start()
            rich.add_task(self._what, total=self._total, text="")
            self._rich = rich
        return self

    def __exit__(self, *exc: object) -> None:
        if self._rich is not None:
            self._rich.stop()

    def update(self, done: float, total: float | None = None, text: str = "") -> None:
        """Move the bar."""
        if self._rich is not None:
            self._rich.update(self._rich.task_ids[0], completed=done, total=total, text=text)

    def advance(self) -> None:
        """Move the bar by one."""
        if self._rich is not None:
            self._rich.advance(self._rich.task_ids[0])

    def note(self, text: str) -> None:
        """Write a line above the bar."""
        if self._rich is not None:
            line = ": ".join(filter(None, (self._what, text)))
            self._rich.console.print(line, markup=False, highlight=False, soft_wrap=True)
