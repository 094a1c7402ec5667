"""`dongfeng info`: what a network is made of, and what it costs."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dongfeng.cli.arguments import NETWORK_HELP, WEIGHTS_HELP, Commands, add_command, add_json, add_size
from dongfeng.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from dongfeng.layers.infer import LayerCost
    from dongfeng.layers.layer import Shape
    from dongfeng.net.graph import Net
    from dongfeng.net.preprocessing import Preprocessing
    from dongfeng.zoo.models import ModelInfo

EPILOG = """\
MACs are multiply-accumulates of convolutions, deconvolutions and inner products, for one image.

examples:
  dongfeng info df1
  dongfeng info df1seg --size 512x1024
  dongfeng info deploy.prototxt net.caffemodel --json
"""


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    parser = add_command(commands, "info", "show a network's layers, shapes, cost, input and published results", EPILOG)
    parser.add_argument("net", metavar="NET", help=NETWORK_HELP)
    parser.add_argument("weights", nargs="?", metavar="WEIGHTS", help=f"check that these weights fit: {WEIGHTS_HELP}")
    add_size(parser)
    add_json(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.layers.infer import infer_shapes
    from dongfeng.runtime.source import ZooSource, find_net

    source = find_net(args.net, args.weights)
    info = source.info if isinstance(source, ZooSource) else None
    # What a zoo name stands for is known without its weights.
    net = source.structure(args.size) if info is not None and source.given is None else source.net(args.size)
    shapes = infer_shapes(net.inputs, net.layers)
    costs = None if net.is_dynamic else net.cost()
    if args.json:
        print_json(_as_json(net, info, shapes, costs))
        return 0
    _print(net, shapes, costs)
    if info is not None:
        _print_zoo(info)
    if costs is None:
        note("the input size is dynamic: give --size HxW for shapes and cost")
    return 0


def _print(net: Net, shapes: dict[str, Shape], costs: list[LayerCost] | None) -> None:
    from dongfeng.layers.layer import show

    def tops(blobs: tuple[str, ...]) -> str:
        return ", ".join(show(shapes[blob]) for blob in blobs)

    if costs is None:
        print_table(("layer", "type", "output"), [(at.name, at.type, tops(at.tops)) for at in net.layers])
    else:
        rows = zip(net.layers, costs, strict=True)
        print_table(
            ("layer", "type", "output", "MACs", "parameters"),
            [(layer.name, layer.type, tops(layer.tops), cost.macs, cost.parameters) for layer, cost in rows],
        )
    print()
    for title, blobs in (("input", tuple(net.inputs)), ("output", net.outputs)):
        for blob in blobs:
            print(f"{title:12}{blob} {show(shapes[blob])}")
    if costs is not None:
        print(f"{'MACs':12}{sum(cost.macs for cost in costs):,}")
        print(f"{'parameters':12}{sum(cost.parameters for cost in costs):,}")
    if net.preprocessing is not None:
        _print_preprocessing(net.preprocessing)


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


def _as_json(
    net: Net, info: ModelInfo | None, shapes: dict[str, Shape], costs: list[LayerCost] | None
) -> dict[str, Any]:
    from dongfeng.cli.published import published_rows

    preprocessing = info.preprocessing if info is not None else net.preprocessing
    rows = [
        {"layer": layer.name, "type": layer.type, "output_shapes": [list(shapes[top]) for top in layer.tops]}
        for layer in net.layers
    ]
    if costs is not None:
        for row, cost in zip(rows, costs, strict=True):
            row |= {key: value for key, value in asdict(cost).items() if key not in ("name", "type")}
    return {
        "net": net.name,
        "inputs": {blob: list(shape) for blob, shape in net.inputs.items()},
        "outputs": {blob: list(shapes[blob]) for blob in net.outputs},
        "macs": None if costs is None else sum(cost.macs for cost in costs),
        "parameters": None if costs is None else sum(cost.parameters for cost in costs),
        "preprocessing": None if preprocessing is None else asdict(preprocessing),
        "published": [] if info is None else published_rows(info),
        "rows": rows,
    }
