"""`dongfeng quantize`: a network in eight bits, calibrated on images, and how far it is from the float one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dongfeng.cli.arguments import add_size, add_weights, positive
from dongfeng.cli.output import note, print_json, print_table
from dongfeng.support.json_layout import json_text

if TYPE_CHECKING:
    from dongfeng.runtime.quantize import QuantizationReport

TARGETS = ("cpu", "tensorrt")
DEFAULT_IMAGES = 10

SUMMARY = "quantize a network to eight bits"
EPILOG = """\
The first images by name calibrate, at most --calibrate of them; the others, or those of --held-out, are what the report
compares on. With no others there is no report. dongfeng runs OUT like any model: dongfeng segment --model OUT ...

examples:
  dongfeng quantize pl1a_seg --images frames -o pl1a_int8.onnx
  dongfeng quantize df1seg --weights df1seg.caffemodel --images street -o df1seg_int8.onnx --report report.json
  dongfeng quantize net.onnx --images street --target tensorrt -o net_int8.onnx
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("model", metavar="MODEL", help="zoo name, or a .prototxt, .param or float .onnx file")
    parser.add_argument("-o", "--out", required=True, metavar="OUT", help=".onnx file to write")
    parser.add_argument("--images", required=True, action="append", metavar="DIR", help="images such as it shall see")
    parser.add_argument("--held-out", action="append", metavar="DIR", help="images that the report compares on")
    parser.add_argument(
        "--calibrate",
        type=positive,
        default=DEFAULT_IMAGES,
        metavar="N",
        help=f"number of images to calibrate with (default: {DEFAULT_IMAGES})",
    )
    parser.add_argument("--target", choices=TARGETS, default="cpu", help="what the file is for (default: cpu)")
    parser.add_argument("--report", metavar="FILE", help="write the report, as JSON")
    add_weights(parser)
    add_size(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.runtime.quantize import quantize
    from dongfeng.support.files import write_whole

    report = quantize(
        args.model,
        args.out,
        args.images,
        held_out=args.held_out or (),
        calibrate=args.calibrate,
        target=args.target,
        weights=args.weights,
        size=args.size,
        progress=note,
    )
    if args.report:
        write_whole(args.report, json_text(report.to_json()) + "\n")
    if args.json:
        print_json(report.to_json())
    else:
        _print(report)
        print(report.output)
    return 0


def _print(report: QuantizationReport) -> None:
    rows = [(layer.layer, layer.in_float, layer.alone_relative_error, layer.snr_db) for layer in report.layers]
    print_table(("layer", "float", "error alone", "SNR dB"), rows)
    if report.classes is None or report.pixel_agreement is None:
        note("no images are left to compare on: give more, or --held-out")
        return
    print_table(
        ("class", "IoU % with fp32", "pixels"), [(each.name, 100 * each.iou, each.pixels) for each in report.classes]
    )
    mean = report.mean_iou
    means = "" if mean is None else f", mean IoU {100 * mean:.2f} % (classes with at least 2000 pixels)"
    note(f"same label as fp32: {100 * report.pixel_agreement:.2f} %{means}")
