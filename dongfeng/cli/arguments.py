"""Types and definitions of arguments that several commands share."""

from __future__ import annotations

import argparse
import json
import re
from functools import partial
from typing import Any

from dongfeng._version import __version__

NETWORK_HELP = "a zoo name, a .prototxt, or ncnn's .param or .param.bin"
WEIGHTS_HELP = "a .caffemodel or ncnn's .bin; or random or random:SEED"


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Formatter of help that keeps the line breaks of the examples."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)


def new_parser(program: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """Return the parser of a program, or of a command that stands behind its name."""
    parser = argparse.ArgumentParser(
        prog=program, description=description, epilog=epilog, formatter_class=Formatter, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"{program.split(maxsplit=1)[0]} {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def size_hw(text: str) -> tuple[int, int]:
    """Parse height and width in pixels from "HEIGHTxWIDTH".

    Example:
        >>> size_hw("512x1024")
        (512, 1024)
    """
    match = re.fullmatch(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH in pixels, such as 512x1024, got {text!r}")
    return int(match[1]), int(match[2])


def at_least(least: int, text: str) -> int:
    """Parse a whole number of at least `least`, which is not negative."""
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")
    return int(text)


positive = partial(at_least, 1)


def seconds(text: str) -> float:
    """Parse a time in seconds, above 0 and at most a day."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"expected seconds, such as 3 or 0.5, got {text!r}")
    return value


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON, numbers with their unit in the key")


def add_size(parser: argparse.ArgumentParser) -> None:
    """Add `--size`."""
    parser.add_argument("--size", type=size_hw, metavar="HxW", help="input height x width in pixels")


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Add `--weights`."""
    parser.add_argument(
        "--weights",
        metavar="W",
        help="weight file, or random or random:SEED (default: the released file, fetched once)",
    )


def add_given_weights(parser: argparse.ArgumentParser) -> None:
    """Add `WEIGHTS` behind `NET`, or the same as `--weights`."""
    given = parser.add_mutually_exclusive_group()
    # Without a value here, that of the option stands.
    given.add_argument("weights", nargs="?", default=argparse.SUPPRESS, metavar="WEIGHTS", help=WEIGHTS_HELP)
    given.add_argument("--weights", metavar="W", help="the same, as an option (default: a zoo name's released file)")


def add_backend(parser: argparse.ArgumentParser) -> None:
    """Add `--backend`, `--precision` and `--threads`."""
    parser.add_argument(
        "--backend", default="auto", metavar="NAME", help="auto, onnxruntime, openvino or ncnn (default: auto)"
    )
    parser.add_argument(
        "--precision", default="auto", metavar="P", help="auto, fp32, fp16, bf16 or int8 (default: auto, mostly fp32)"
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="threads of the CPU (default: the backend's own)")


def add_shard(parser: argparse.ArgumentParser) -> None:
    """Add `--shard`."""
    parser.add_argument("--shard", type=shard, metavar="I/N", help="only every N-th image, from the I-th on")


def shard(text: str) -> tuple[int, int]:
    """Parse part and number of parts from "I/N" with I from 1 to N.

    Example:
        >>> shard("2/4")
        (2, 4)
    """
    match = re.fullmatch(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", text)
    if match is None or int(match[1]) > int(match[2]):
        raise argparse.ArgumentTypeError(f"expected I/N with I from 1 to N, such as 2/4, got {text!r}")
    return int(match[1]), int(match[2])


def setting(text: str) -> tuple[str, Any]:
    """Parse a setting and its value, which is JSON or a text, from "lr=0.1"."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, such as lr=0.01, got {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
