"""`dongfeng export-trtexec`: a network for a board, with the commands that build and time it there."""

from __future__ import annotations

import argparse
from pathlib import Path

from dongfeng.cli.arguments import Commands, add_command, add_json, add_size
from dongfeng.cli.output import note, print_json
from dongfeng.cli.source import NET_HELP, WEIGHTS_HELP, read_source
from dongfeng.errors import ShapeError, WeightsUnavailable

EPILOG = """\
DIR gets the network down to its scores as ONNX, commands.sh, which builds and times an engine for each precision that
the board has with its own trtexec, and a readme. Nothing of dongfeng's runs on the board. Weights do not change the
speed: --weights random will do for timing.

examples:
  dongfeng export-trtexec df1seg --for tx2 --size 736x1280 -o bundle
  dongfeng export-trtexec deploy.prototxt net.caffemodel --for orin -o bundle
  dongfeng export-trtexec df2 --weights random --for nano -o bundle
"""


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    parser = add_command(commands, "export-trtexec", "write a network for a board's own TensorRT", EPILOG)
    parser.add_argument("net", metavar="NET", help=NET_HELP)
    given = parser.add_mutually_exclusive_group()
    given.add_argument("weights_file", nargs="?", metavar="WEIGHTS", help=WEIGHTS_HELP)
    given.add_argument("--weights", metavar="W", help="the same, as an option (default: a zoo name's released file)")
    parser.add_argument("--for", dest="board", required=True, metavar="BOARD", help="tx2, nano, xavier or orin")
    parser.add_argument("-o", "--out", required=True, metavar="DIR", help="folder to write")
    add_size(parser)
    add_json(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.backends.tensorrt.trtexec.boards import board_named, write_bundle
    from dongfeng.formats.onnx import to_onnx
    from dongfeng.net.fold import fold
    from dongfeng.net.score_blob import find_score_blob

    board = board_named(args.board)
    source = read_source(args.net, args.weights or args.weights_file, released=True)
    net = source.net if args.size is None else source.net.resize(*args.size)
    if source.info is not None and args.size is None:
        net = net.resize(*source.info.size_hw)
    if net.is_dynamic:
        raise ShapeError(f"{args.net}: the file has a dynamic input size; give --size HxW")
    if not any(layer.blobs for layer in net.layers):
        raise WeightsUnavailable(f"{args.net}: no weights were given; name the weight file, or --weights random")
    net = fold(net)
    model = to_onnx(net, opset=board.opset, outputs=[find_score_blob(net)])
    name = source.info.name if source.info is not None else Path(args.net).stem
    files = write_bundle(model, Path(args.out), name, board)
    note(f"for {board.title} ({board.software}): opset {board.opset}, {', '.join(board.precisions)}")
    if args.json:
        print_json({"board": args.board, "opset": board.opset, "outputs": [str(file) for file in files]})
    else:
        print(*files, sep="\n")
    return 0
