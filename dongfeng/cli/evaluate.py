"""Measures a classifier on ImageNet's validation images: `dongfeng evaluate`."""

from __future__ import annotations

import argparse

from dongfeng.cli.inference import ShownRun, add_model_options, model_options, percent, print_failures
from dongfeng.cli.output import print_json, print_table

SUMMARY = "measure the accuracy of a classifier on ImageNet's images"
EPILOG = """\
IMAGENET_VAL holds a folder per class, named after its WordNet id (n01440764/*.JPEG), or, with --labels, the images
that a list names: one "NAME INDEX" a line, 0 to 999, as Caffe's val.txt. Cityscapes is evaluated by df-cityscapes.

examples:
  dongfeng evaluate --model df1 imagenet/val
  dongfeng evaluate --model df2a --labels val.txt ILSVRC2012_img_val --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("folder", metavar="IMAGENET_VAL", help="folder of the images")
    parser.add_argument("--labels", metavar="FILE", help='list of images and classes, "NAME INDEX" a line')
    parser.add_argument("--model", default="df1", metavar="M", help="zoo name or model file (default: df1)")
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.runtime.evaluate import evaluate

    with ShownRun(quiet_stdout=args.json) as shown:
        found = evaluate(args.model, args.folder, labels=args.labels, progress=shown, **model_options(args))
    if found.interrupted:
        raise KeyboardInterrupt
    if args.json:
        print_json(found.to_json())
    elif found.rows:
        rows = [(row.metric, percent(row.value_fraction), percent(row.published_fraction)) for row in found.rows]
        print_table(("metric", "%", "published %"), rows)
    return print_failures(found.failures, f"{len(found.files)} evaluated")
