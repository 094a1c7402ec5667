"""`dongfeng classify`: images into ImageNet's classes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dongfeng.cli.arguments import Commands, add_command, positive
from dongfeng.cli.inference import Row, add_arguments, over_images, report
from dongfeng.runtime.inputs import Image, find_images

if TYPE_CHECKING:
    from dongfeng.runtime.results import Classification

EPILOG = """\
INPUT is an image, a folder (searched with all folders below it) or a pattern in quotes.

examples:
  dongfeng classify cat.jpg
  dongfeng classify --model df2a --top 1 photos/
  dongfeng classify --weights df1.caffemodel 'photos/*.jpg' --json
"""


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    parser = add_command(commands, "classify", "name what images show, in ImageNet's 1000 classes", EPILOG)
    parser.add_argument("--top", type=positive, default=5, metavar="K", help="classes per image (default: 5)")
    add_arguments(parser, model="df1")
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command."""

    def describe(image: Image, result: Classification) -> tuple[Row, str]:
        top = result.top(args.top)
        classes = [{"index": index, "name": name, "probability": float(p)} for index, name, p in top]
        shown = ", ".join(f"{name} {100 * p:.1f} %" for _, name, p in top)
        return {"classes": classes}, f"{image.path}: {shown}"

    images, problems = find_images(args.inputs)
    return report(args, over_images(args, "classification", images, problems, describe), problems)
