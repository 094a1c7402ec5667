"""Classifies images: `dongfeng classify`."""

from __future__ import annotations

import argparse

from dongfeng.cli.arguments import positive
from dongfeng.cli.inference import ShownRun, add_inputs, model_options, print_failures
from dongfeng.cli.output import print_json

SUMMARY = "name what images show, in ImageNet's 1000 classes"
EPILOG = """\
INPUT is an image, a folder (searched with all folders below it) or a pattern in quotes.

examples:
  dongfeng classify cat.jpg
  dongfeng classify --model df2a --top 1 photos/
  dongfeng classify --weights df1.caffemodel 'photos/*.jpg' --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--top", type=positive, default=5, metavar="K", help="classes per image (default: 5)")
    add_inputs(parser, model="df1")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.runtime.batch import batch

    with ShownRun(quiet_stdout=args.json) as shown:
        result = batch(args.inputs, model=args.model, top=args.top, progress=shown, **model_options(args))
    if result.interrupted:
        raise KeyboardInterrupt
    if args.json:
        print_json(result.to_json())
    return print_failures(result.failures, f"{len(result.rows)} done")
