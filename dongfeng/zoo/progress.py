"""Telling the user how a download goes: a bar on a terminal, plain lines otherwise, on stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_EVERY_S = 5.0


class Silent:
    """Says nothing."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def update(self, done_bytes: int, total_bytes: int | None) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


class Lines(Silent):
    """A line now and then."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last_s = time.monotonic()

    def update(self, done_bytes: int, total_bytes: int | None) -> None:
        """A line every few seconds and one at the end."""
        now = time.monotonic()
        if now - self._last_s < LINE_EVERY_S and done_bytes != total_bytes:
            return
        self._last_s = now
        of = f" of {_megabytes(total_bytes)}" if total_bytes else ""
        self.note(f"{_megabytes(done_bytes)}{of}")

    def note(self, text: str) -> None:
        """One line, with the file's name."""
        sys.stderr.write(f"{self._name}: {text}\n")


class Bar(Silent):
    """A bar that rich draws."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Bar:
        from rich.console import Console
        from rich.errors import LiveError
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
        bar = Progress(*columns, console=Console(stderr=True))
        # Some versions of rich allow one live display only, and the caller may have one.
        with contextlib.suppress(LiveError):
            bar.start()
            self._bar, self._task = bar, bar.add_task(self._name, total=None)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done_bytes: int, total_bytes: int | None) -> None:
        """Move the bar."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done_bytes, total=total_bytes)

    def note(self, text: str) -> None:
        """A line above the bar."""
        if self._bar is not None:
            self._bar.console.print(f"{self._name}: {text}", markup=False, highlight=False, soft_wrap=True)


def show(name: str, enabled: bool | None) -> Silent:
    """How to tell the user about the download of `name`; `enabled` False: not at all."""
    if enabled is False:
        return Silent()
    return Bar(name) if sys.stderr.isatty() else Lines(name)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
