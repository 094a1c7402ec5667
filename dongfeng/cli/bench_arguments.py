"""What the parsers of `df-bench` have in common, and its progress."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dongfeng._version import __version__
from dongfeng.cli.arguments import Formatter
from dongfeng.cli.output import note


def new_parser(name: str, summary: str, epilog: str) -> argparse.ArgumentParser:
    """A parser of `df-bench`; `name` is empty, or that of a command."""
    parser = argparse.ArgumentParser(
        prog=f"df-bench {name}".strip(),
        description=summary,
        epilog=epilog,
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"df-bench {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def seconds(text: str) -> float:
    """A time in seconds, above 0 and at most a day."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"expected seconds, such as 3 or 0.5, got {text!r}")
    return value


@contextmanager
def share_progress(what: str) -> Iterator[Callable[[float], None]]:
    """Show what share of a long task is done: a bar on a terminal, elsewhere a line for every tenth, on stderr.

    Args:
        what: What is being done, such as "measure".

    Yields:
        A function to call with the share, 0..1.
    """
    if not sys.stderr.isatty():
        shown = 0

        def line(share: float) -> None:
            nonlocal shown
            tenths = int(10 * share + 1e-9)
            if tenths > shown:
                shown = tenths
                note(f"{what}: {10 * tenths} %")

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    layout = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    # Drawn once a second: more often it would disturb what is being measured.
    with Progress(*layout, console=Console(stderr=True), transient=True, refresh_per_second=1) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share: bar.update(task, completed=share)
