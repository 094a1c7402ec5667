"""Argument types and arguments that several commands share."""

from __future__ import annotations

import argparse
import re
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help that keeps the line breaks of the examples."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)


def add_command(commands: Commands, name: str, summary: str, epilog: str) -> argparse.ArgumentParser:
    """A command's parser; its one-line summary serves the list of commands and its own help."""
    description = f"{summary[0].upper()}{summary[1:]}."
    return commands.add_parser(
        name, help=summary, description=description, epilog=epilog, formatter_class=Formatter, allow_abbrev=False
    )


def size_hw(text: str) -> tuple[int, int]:
    """Height and width in pixels from "HEIGHTxWIDTH".

    Example:
        >>> size_hw("512x1024")
        (512, 1024)
    """
    match = re.fullmatch(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH in pixels, such as 512x1024, got {text!r}")
    return int(match[1]), int(match[2])


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON, numbers with their unit in the key")


def add_size(parser: argparse.ArgumentParser) -> None:
    """`--size`."""
    parser.add_argument("--size", type=size_hw, metavar="HxW", help="input height x width in pixels")


def add_weights(parser: argparse.ArgumentParser) -> None:
    """`--weights`."""
    parser.add_argument(
        "--weights",
        metavar="W",
        help="weight file, or random or random:SEED (default: the released file, fetched once)",
    )
