"""`dongfeng demo`: segments street scenes that the package draws, with weights that it brings."""

from __future__ import annotations

import argparse
from pathlib import Path

from dongfeng.cli.arguments import add_backend, positive
from dongfeng.cli.output import note, print_json
from dongfeng.datasets.synthetic import HELD_OUT_SEED

COUNT = 60

SUMMARY = "draw street scenes, segment them with the weights of the package, and judge them"
EPILOG = """\
Street scenes that training has never seen are drawn and segmented by toytown_seg, whose weights come with the
package; nothing is downloaded. DIR gets contact_sheet.png, and each scene and its overlay as images.

examples:
  dongfeng demo -o demo
  dongfeng demo -o demo --precision int8
  dongfeng demo -o demo --count 200 --backend openvino --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder of the pictures")
    parser.add_argument(
        "--count", type=positive, default=COUNT, metavar="N", help=f"number of scenes (default: {COUNT})"
    )
    parser.add_argument(
        "--seed",
        type=positive,
        default=HELD_OUT_SEED,
        metavar="N",
        help="other scenes (default: held out from training)",
    )
    add_backend(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.demo import run_demo

    note(f"drawing and segmenting {args.count} street scenes")
    demo = run_demo(
        Path(args.output),
        count=args.count,
        seed=args.seed,
        backend=args.backend,
        precision=args.precision,
        threads=args.threads,
    )
    if args.json:
        print_json(demo.to_json())
        return 0
    worst = f"worst class {demo.worst_class} {100 * demo.iou[demo.worst_class]:.1f} %"
    print(f"mIoU {100 * demo.miou:.1f} %, {worst}, {100 * demo.pixel_accuracy:.1f} % of all pixels right")
    print(
        f"{demo.latency_ms:.1f} ms per image, {demo.images_per_s:.0f} images/s, on {demo.backend} in {demo.precision}"
    )
    print(demo.contact_sheet)
    return 0
