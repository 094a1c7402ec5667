"""`dongfeng convert`: networks into other formats."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dongfeng.cli.arguments import Commands, add_command, add_size
from dongfeng.cli.output import note
from dongfeng.cli.source import NET_HELP, WEIGHTS_HELP, Source, read_source
from dongfeng.errors import ConversionError, WeightsUnavailable

if TYPE_CHECKING:
    from dongfeng.net import Net

CAFFE = (".prototxt", ".caffemodel")
DEFAULT_OPSET = 17

EPILOG = """\
The suffix of OUT decides: .onnx; .caffemodel or .prototxt, which both write both files of the pair.

examples:
  dongfeng convert deploy.prototxt net.caffemodel -o net.onnx
  dongfeng convert deploy.prototxt net.caffemodel --fold -o net_mergebn.caffemodel
  dongfeng convert pl1a_new.param.bin pl1a_new.bin --size 384x640 -o pl1a.onnx
  dongfeng convert df1seg --size 512x1024 --opset 13 -o df1seg.onnx
"""


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    parser = add_command(commands, "convert", "convert Caffe, ncnn or zoo networks to ONNX or Caffe", EPILOG)
    parser.add_argument("net", metavar="NET", help=NET_HELP)
    given = parser.add_mutually_exclusive_group()
    given.add_argument("weights_file", nargs="?", metavar="WEIGHTS", help=WEIGHTS_HELP)
    given.add_argument("--weights", metavar="W", help="the same, as an option (default: a zoo name's released file)")
    parser.add_argument("-o", "--out", required=True, metavar="OUT", help="file to write")
    add_size(parser)
    parser.add_argument("--opset", type=int, metavar="N", help=f"ONNX opset, 11 or later (default: {DEFAULT_OPSET})")
    parser.add_argument(
        "--output",
        action="append",
        metavar="BLOB",
        help="blob to compute, repeatable (default: the net's outputs)",
    )
    parser.add_argument("--dynamic", action="store_true", help="leave batch, height and width open in the ONNX file")
    parser.add_argument(
        "--fold",
        action=argparse.BooleanOptionalAction,
        help="merge BatchNorm and Scale into the layers before them (default: for ONNX yes, for Caffe no)",
    )
    parser.set_defaults(usage_error=parser.error)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    out = Path(args.out)
    if out.suffix not in (".onnx", *CAFFE):
        raise ConversionError(
            f'{out}: cannot write "{out.suffix}" files; OUT has to end in .onnx, .caffemodel or .prototxt'
        )
    if out.suffix in CAFFE and (args.opset or args.output or args.dynamic):
        args.usage_error("--opset, --output and --dynamic are for .onnx files")
    source = read_source(args.net, args.weights or args.weights_file, released=True)
    net = source.net if args.size is None else source.net.resize(*args.size)
    targets = [out] if out.suffix == ".onnx" else [out.with_suffix(suffix) for suffix in CAFFE]
    _refuse_overwriting(source.files, targets)
    has_weights = _has_weights(net)
    if not has_weights and out.suffix != ".prototxt":
        raise WeightsUnavailable(
            f"{args.net}: no weights were given; name the weight file behind it, or --weights random"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".onnx":
        _write_onnx(args, source, net, out)
    else:
        _write_caffe(args, net, targets if has_weights else targets[:1])
    return 0


def _write_onnx(args: argparse.Namespace, source: Source, net: Net, out: Path) -> None:
    from dongfeng.converters.fold import fold
    from dongfeng.converters.onnx import to_onnx

    if args.fold is not False:
        net = fold(net)
    opset = DEFAULT_OPSET if args.opset is None else args.opset
    metadata = _metadata(args, source, net)
    model = to_onnx(net, out, opset=opset, outputs=args.output, dynamic=args.dynamic, metadata=metadata)
    outputs = ", ".join(value.name for value in model.graph.output)
    note(f"opset {opset}, {len(model.graph.node)} nodes, outputs {outputs}")
    print(out)


def _metadata(args: argparse.Namespace, source: Source, net: Net) -> dict[str, str]:
    """What `dongfeng.load` has to know to run the file as the zoo's model."""
    if source.info is None:
        return {}
    from dongfeng.runtime.metadata import ModelSpec, to_metadata
    from dongfeng.runtime.preprocess import for_size
    from dongfeng.runtime.score_blob import find_score_blob

    info = source.info
    scores = find_score_blob(net)
    ((_, _, height, width),) = net.inputs.values()
    return to_metadata(
        ModelSpec(
            name=info.name,
            task=info.task,
            recipe=for_size(info.recipe, (height or 0, width or 0)),
            head=info.head,
            classes=info.classes,
            score_blob=scores if scores in (args.output or [scores]) else None,
        )
    )


def _write_caffe(args: argparse.Namespace, net: Net, targets: Sequence[Path]) -> None:
    from dongfeng.converters.caffe import write_caffe
    from dongfeng.converters.fold import fold

    write_caffe(fold(net) if args.fold else net, *targets)
    print(*targets, sep="\n")
    if len(targets) == 1:
        note("no weights were given, so no caffemodel was written")


def _has_weights(net: Net) -> bool:
    """Whether there are weights, or nothing to learn."""
    from dongfeng.layers.infer import blob_shapes

    return any(layer.blobs for layer in net.layers) or not blob_shapes(net.inputs, net.layers)


def _refuse_overwriting(inputs: Iterable[Path], outputs: Iterable[Path]) -> None:
    read = {path.resolve() for path in inputs}
    for output in outputs:
        if output.resolve() in read:
            raise ConversionError(f"{output}: this output would overwrite an input; choose another name for -o")
