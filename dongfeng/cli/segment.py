"""Segments street scenes: `dongfeng segment`."""

from __future__ import annotations

import argparse

from dongfeng.cli.arguments import add_shard, positive
from dongfeng.cli.inference import ShownRun, add_inputs, model_options, print_failures
from dongfeng.cli.interrupt import INTERRUPTED
from dongfeng.cli.output import complain, print_json

SUMMARY = "tell road, cars, people and 16 more classes apart in images"
EPILOG = """\
INPUT is an image, a folder (searched with all folders below it) or a pattern in quotes. Each image gives one PNG
below DIR, at the image's own size and in the same place as below its folder; existing outputs are overwritten, or,
with --resume, kept where they are whole and made by the same model in the same way.

INPUT may be one video instead, or the number of a camera; -o is then a video as well, or a folder for its frames.
Ctrl-C ends it with a whole video of what was done so far.

examples:
  dongfeng segment photo.jpg -o out
  dongfeng segment --model df1seg --kind color --size 512x1024 frames/ -o out
  dongfeng segment --weights pl1a_new.bin 'drive/**/*.jpg' -o out --json
  dongfeng segment --model df1seg --precision int8 --calibration street drive/ -o out --shard 1/4 --resume
  dongfeng segment drive.mp4 -o labelled.mp4 --every 3
  dongfeng segment 0 -o camera.mkv
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="folder of the outputs, or a video file")
    parser.add_argument(
        "--kind",
        choices=("overlay", "color", "labels", "label_ids"),
        default="overlay",
        help="classes in colour over the image (default) or alone, as train ids 0..18, or as Cityscapes label ids",
    )
    parser.add_argument("--resume", action="store_true", help="skip images whose outputs are there, whole")
    add_shard(parser)
    parser.add_argument("--every", type=positive, metavar="N", help="only every N-th frame of a video")
    add_inputs(parser, model="pl1a_seg", inputs="an image, a folder, a pattern, or a video or camera number")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.runtime.batch import batch
    from dongfeng.runtime.batch_results import SegmentedVideo

    with ShownRun(quiet_stdout=args.json) as shown:
        result = batch(
            args.inputs,
            args.output,
            model=args.model,
            kind=args.kind,
            resume=args.resume,
            shard=args.shard,
            every=args.every,
            progress=shown,
            **model_options(args),
        )
    videos = [row for row in result.rows if isinstance(row, SegmentedVideo)]
    if result.interrupted and not videos:
        raise KeyboardInterrupt
    if args.json:
        print_json(result.to_json())
    for video in videos:
        if result.interrupted:
            complain(f"interrupted: {video.out_holds} done until then")
            return INTERRUPTED
        if not args.json:
            print(video)
    return print_failures(result.failures, f"{len(result.rows)} done")
