"""`dongfeng info`: shows layers, shapes and cost of a network."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dongfeng.cli.arguments import NETWORK_HELP, WEIGHTS_HELP, add_size
from dongfeng.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from dongfeng.net.preprocessing import Preprocessing
    from dongfeng.net.summary import NetSummary
    from dongfeng.zoo.models import ModelInfo

SUMMARY = "show a network's layers, shapes, cost, input and published results"
EPILOG = """\
MACs are multiply-accumulates of convolutions, deconvolutions and inner products, for one image.

examples:
  dongfeng info df1
  dongfeng info df1seg --size 512x1024
  dongfeng info deploy.prototxt net.caffemodel --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("net", metavar="NET", help=NETWORK_HELP)
    parser.add_argument("weights", nargs="?", metavar="WEIGHTS", help=f"check that these weights fit: {WEIGHTS_HELP}")
    add_size(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.net.summary import summarize
    from dongfeng.runtime.source import ZooSource, find_net

    source = find_net(args.net, args.weights)
    info = source.info if isinstance(source, ZooSource) else None
    # The structure of a zoo model is known without its weights.
    net = source.structure(args.size) if info is not None and source.given is None else source.net(args.size)
    summary = summarize(net)
    if args.json:
        print_json(_as_json(summary, info))
        return 0
    _print(summary)
    if info is not None:
        _print_zoo(info)
    if net.is_dynamic:
        note("the input size is dynamic: give --size HxW for shapes and cost")
    return 0


def _print(summary: NetSummary) -> None:
    from dongfeng.layers.layer import show

    rows = [(at.layer.name, at.layer.type, ", ".join(map(show, at.output_shapes)), at.cost) for at in summary.layers]
    if summary.net.is_dynamic:
        print_table(("layer", "type", "output"), [row[:3] for row in rows])
    else:
        print_table(
            ("layer", "type", "output", "MACs", "parameters"),
            [(*row, cost.macs, cost.parameters) for *row, cost in rows if cost is not None],
        )
    print()
    for title, blobs in (("input", summary.net.inputs), ("output", summary.outputs)):
        for blob, shape in blobs.items():
            print(f"{title:12}{blob} {show(shape)}")
    if summary.macs is not None:
        print(f"{'MACs':12}{summary.macs:,}")
        print(f"{'parameters':12}{summary.parameters:,}")
    if summary.net.preprocessing is not None:
        _print_preprocessing(summary.net.preprocessing)


def _print_preprocessing(preprocessing: Preprocessing) -> None:
    mean = ", ".join(f"{value:g}" for value in preprocessing.mean_bgr)
    parts = [f"(image - ({mean})) * {preprocessing.scale:g} in BGR"]
    if preprocessing.shorter_side is not None:
        parts.append(f"shorter side {preprocessing.shorter_side}")
    if preprocessing.crop_hw is not None:
        parts.append("centre crop {}x{}".format(*preprocessing.crop_hw))
    print(f"{'preprocess':12}{', '.join(parts)}")


def _print_zoo(info: ModelInfo) -> None:
    _print_preprocessing(info.preprocessing)
    files = (f"{file.name} (in the package)" if file.shipped else file.name for file in info.weights)
    print(f"{'weights':12}{', '.join(files)}")
    if not info.published:
        return
    print()
    columns = ("published", "value", "unit", "of", "on", "size", "source")
    rows = []
    for result in info.published:
        of = " ".join(part for part in (result.dataset, result.split, result.group) if part)
        on = ", ".join(part for part in (result.device, result.framework) if part)
        size = "{}x{}".format(*result.size_hw) if result.size_hw else None
        rows.append((result.metric, f"{result.value:g}", result.unit, of, on, size, result.source))
    print_table(columns, rows)


def _as_json(summary: NetSummary, info: ModelInfo | None) -> dict[str, Any]:
    net = summary.net
    preprocessing = info.preprocessing if info is not None else net.preprocessing
    return {
        "net": net.name,
        "inputs": {blob: list(shape) for blob, shape in net.inputs.items()},
        "outputs": {blob: list(shape) for blob, shape in summary.outputs.items()},
        "macs": summary.macs,
        "parameters": summary.parameters,
        "preprocessing": None if preprocessing is None else asdict(preprocessing),
        "published": [] if info is None else [result.to_json() for result in info.published],
        "rows": [layer.to_json() for layer in summary.layers],
    }
