"""Labels a whole Cityscapes split, for the test server, and scores the labels: `df-cityscapes`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING

from dongfeng.cli.arguments import add_json, add_shard, new_parser
from dongfeng.cli.inference import ShownRun, add_model_options, model_options, percent, print_failures
from dongfeng.cli.main import run_program
from dongfeng.cli.output import print_json, print_table

if TYPE_CHECKING:
    from dongfeng.runtime.cityscapes_scores import ScoreRow

EPILOG = """\
CITYSCAPES holds leftImg8bit and, for --evaluate, gtFine. DIR/label_ids/SPLIT is what the test server takes, as a zip;
DIR/color and DIR/overlay hold pictures; DIR/results.json is what --evaluate finds.

A killed run goes on with --resume. With --shard several machines share the work; afterwards a run with --resume and
--evaluate, without --shard, evaluates all of it.

examples:
  df-cityscapes --root cityscapes --split val --model df1seg --out out --evaluate
  df-cityscapes --root cityscapes --split test --model df2seg2 --out out --kind label_ids --kind color --resume
  df-cityscapes --root cityscapes --model pl1a_seg --weights pl1a_new.bin --out out --shard 1/4
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    summary = "Label all images of a Cityscapes split, for the test server, and evaluate the labels."
    root = new_parser("df-cityscapes", summary, EPILOG)
    root.add_argument("--root", required=True, metavar="CITYSCAPES", help="folder of the data set")
    root.add_argument("--split", default="val", metavar="S", help="train, val or test (default: val)")
    root.add_argument("--model", required=True, metavar="M", help="zoo name or model file")
    root.add_argument("--out", required=True, metavar="DIR", help="folder of the outputs")
    root.add_argument(
        "--kind",
        action="append",
        choices=("label_ids", "color", "overlay"),
        help="what to write, repeatable: Cityscapes' label ids (default), colours, colours over the image",
    )
    root.add_argument("--evaluate", action="store_true", help="compare the label ids with gtFine: IoU and iIoU")
    root.add_argument("--resume", action="store_true", help="skip images whose outputs are there, whole")
    add_shard(root)
    add_model_options(root)
    add_json(root)
    root.set_defaults(run=run)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; `dongfeng.cli.main.run_program` says what it returns."""
    return run_program(parser(), argv)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.runtime.evaluate import evaluate

    with ShownRun(quiet_stdout=args.json) as shown:
        found = evaluate(
            args.model,
            args.root,
            dataset="cityscapes",
            out=args.out,
            split=args.split,
            kinds=args.kind or ("label_ids",),
            score=args.evaluate,
            resume=args.resume,
            shard=args.shard,
            progress=shown,
            **model_options(args),
        )
    if found.interrupted:
        raise KeyboardInterrupt
    if args.json:
        print_json(found.to_json())
    elif found.rows:
        _print_scores(found.rows)
    also = f", {found.images_evaluated} evaluated" if args.evaluate else ""
    return print_failures(found.failures, f"{len(found.files)} done", also)


def _print_scores(rows: Sequence[ScoreRow]) -> None:
    """Print one table of the classes and one of the categories, in percent."""
    for group in ("class", "category"):
        scores = [astuple(row)[1:] for row in rows if row.group == group]
        cells = [(name, *map(percent, fractions)) for name, *fractions in scores]
        print_table((group, "IoU %", "published %", "iIoU %", "published %"), cells)
