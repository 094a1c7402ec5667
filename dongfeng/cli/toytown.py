"""`dongfeng toytown`: synthetic street scenes with exact labels, in the layout of Cityscapes."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from dongfeng.cli.arguments import at_least, positive, size_hw
from dongfeng.cli.output import print_json, progress

SUMMARY = "draw street scenes and their labels as a Cityscapes folder"
EPILOG = """\
DIR/leftImg8bit/SPLIT/toytown gets the images, DIR/gtFine/SPLIT/toytown their label ids and instance ids; df-cityscapes
takes DIR as its root. The same arguments draw the same pixels everywhere.

examples:
  dongfeng toytown -o toytown
  dongfeng toytown -o toytown --count 1000 --split train --seed 1
  dongfeng toytown -o large --count 20 --size 1024x2048
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("-o", "--out", required=True, metavar="DIR", help="folder that gets leftImg8bit and gtFine")
    parser.add_argument("--count", type=positive, default=50, metavar="N", help="number of scenes (default: 50)")
    parser.add_argument("--split", default="val", metavar="S", help="train, val or test (default: val)")
    parser.add_argument("--size", type=size_hw, default=(256, 512), metavar="HxW", help="in pixels (default: 256x512)")
    parser.add_argument(
        "--seed", type=partial(at_least, 0), default=0, metavar="N", help="seed of the series of scenes (default: 0)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.datasets.toytown import write_cityscapes_folder

    root = Path(args.out)
    with progress(args.count, "toytown", quiet_stdout=args.json) as step:
        paths = write_cityscapes_folder(root, args.split, args.count, args.size, args.seed, written=step)
    if args.json:
        rows = [{"image": str(path)} for path in paths]
        print_json({"root": str(root), "split": args.split, "seed": args.seed, "rows": rows})
    return 0
