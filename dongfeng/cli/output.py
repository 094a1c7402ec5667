"""Printing: tables and JSON to stdout, messages and progress to stderr."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from io import StringIO
from typing import Any, TextIO

from dongfeng.errors import DongfengWarning
from dongfeng.support.json_layout import json_text
from dongfeng.support.progress import Progress, show_progress

# Far wider than any table, so that a cell is never wrapped or cut where a program reads it.
UNLIMITED_WIDTH = 100_000

_default_showwarning = warnings.showwarning


def note(message: str) -> None:
    """Print one line to stderr."""
    print(_one_line(message), file=sys.stderr)


def complain(message: str) -> None:
    """Print one line `error: ...` to stderr."""
    note(f"error: {message}")


def showwarning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show dongfeng's own warnings as one line, and any other as Python does."""
    if issubclass(category, DongfengWarning):
        note(f"warning: {message}")
    else:
        _default_showwarning(message, category, filename, lineno, file, line)


def print_json(value: Mapping[str, Any]) -> None:
    """Print a JSON object, laid out by `json_text`."""
    print(json_text(value))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table: ruled and fitted to the width of a terminal, elsewhere plain, one line per row, nothing cut.

    Args:
        columns: Headings.
        rows: Cells, each shown as `cell` does; columns that hold numbers stand to the right.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    table = Table(box=box.SIMPLE_HEAD if terminal else None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        numeric = any(isinstance(row[index], int | float) for row in rows)
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    if terminal:
        Console().print(table)
        return
    plain = StringIO()
    Console(file=plain, width=UNLIMITED_WIDTH, force_terminal=False, color_system=None).print(table)
    for line in plain.getvalue().splitlines():
        print(line.rstrip())


def cell(value: object) -> str:
    """Format a value for a table: thousands apart, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 10 else f"{value:#.3g}"
    return str(value)


@contextmanager
def progress(total: int, what: str, *, quiet_stdout: bool) -> Iterator[Callable[[str], None]]:
    """Show how far a long task is: a bar on a terminal, else one line per step.

    Args:
        total: Number of steps.
        what: Name of the task, such as "segment".
        quiet_stdout: stdout is reserved for JSON; lines go to stderr.

    Yields:
        A function to call after each step with its result line.
    """
    has_bar = sys.stderr.isatty()
    out = sys.stderr if quiet_stdout else sys.stdout
    with show_progress(what, "steps", total, enabled=has_bar) as shown:
        yield partial(_step, shown, None if has_bar and quiet_stdout else out)


def _step(shown: Progress, out: TextIO | None, line: str) -> None:
    shown.advance()
    if out is not None:
        print(_one_line(line), file=out, flush=True)


def _one_line(message: str) -> str:
    return " ".join(message.splitlines())
