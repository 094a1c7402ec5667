"""Types of the options of `dongfeng search`."""

from __future__ import annotations

import argparse
import re

from dongfeng.cli.arguments import positive

EVALUATORS = "toyshapes, toytown, imagenet:ROOT, cityscapes:ROOT, table:FILE or module:function"
HERE, RAY, PICK = "here", "ray", 3


def window_ms(text: str) -> tuple[float, float]:
    """Read least and greatest latency from "2:7".

    Example:
        >>> window_ms("2:7")
        (2.0, 7.0)
    """
    number = r"([0-9]+\.?[0-9]*|\.[0-9]+)"
    match = re.fullmatch(f"{number}:{number}", text)
    least, most = map(float, match.groups()) if match else (1.0, 0.0)
    if not least <= most:
        raise argparse.ArgumentTypeError(f"expected LEAST:GREATEST in milliseconds, such as 2:7, got {text!r}")
    return least, most


def widths(text: str) -> tuple[int, ...]:
    """Read widths of blocks from "64,128,256"."""
    if not re.fullmatch(r"[0-9]{1,5}(,[0-9]{1,5})*", text):
        raise argparse.ArgumentTypeError(f"expected widths such as 64,128,256, got {text!r}")
    return tuple(map(int, text.split(",")))


def depths(text: str) -> tuple[tuple[int, int], ...]:
    """Read the smallest and largest number of blocks of each stage from "1:4,1:12,1:8"."""
    if not re.fullmatch(r"[0-9]{1,3}:[0-9]{1,3}(,[0-9]{1,3}:[0-9]{1,3})*", text):
        raise argparse.ArgumentTypeError(f"expected LEAST:MOST blocks per stage, such as 1:4,1:12,1:8, got {text!r}")
    return tuple((int(least), int(most)) for least, most in (stage.split(":") for stage in text.split(",")))


def workers(text: str) -> int | str:
    """Read a number of processes, or "ray"."""
    return RAY if text == RAY else positive(text)
