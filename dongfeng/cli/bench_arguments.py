"""Common parts of the parsers of `df-bench`."""

from __future__ import annotations

import argparse

from dongfeng._version import __version__
from dongfeng.cli.arguments import Formatter


def new_parser(name: str, summary: str, epilog: str) -> argparse.ArgumentParser:
    """Return a parser of `df-bench`; `name` is empty, or that of a command."""
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
    """Parse a time in seconds, above 0 and at most a day."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"expected seconds, such as 3 or 0.5, got {text!r}")
    return value
