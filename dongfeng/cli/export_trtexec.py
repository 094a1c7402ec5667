"""`dongfeng export-trtexec`: a network for a board, with the commands that build and time it there."""

from __future__ import annotations

import argparse

from dongfeng.cli.arguments import NETWORK_HELP, add_given_weights, add_size
from dongfeng.cli.output import note, print_json

SUMMARY = "write a network for a board's own TensorRT"
EPILOG = """\
DIR gets the network down to its scores as ONNX, commands.sh, which builds and times an engine for each precision that
the board has with its own trtexec, and a readme. Nothing of dongfeng's runs on the board. Weights do not change the
speed: --weights random will do for timing.

examples:
  dongfeng export-trtexec df1seg --for tx2 --size 736x1280 -o bundle
  dongfeng export-trtexec deploy.prototxt net.caffemodel --for orin -o bundle
  dongfeng export-trtexec df2 --weights random --for nano -o bundle
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("net", metavar="NET", help=NETWORK_HELP)
    add_given_weights(parser)
    parser.add_argument("--for", dest="board", required=True, metavar="BOARD", help="tx2, nano, xavier or orin")
    parser.add_argument("-o", "--out", required=True, metavar="DIR", help="folder to write")
    add_size(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.runtime.export_trtexec import export_trtexec

    board, files = export_trtexec(args.net, args.out, board=args.board, weights=args.weights, size=args.size)
    note(f"for {board.title} ({board.software}): opset {board.opset}, {', '.join(board.precisions)}")
    if args.json:
        print_json({"board": args.board, "opset": board.opset, "outputs": [str(file) for file in files]})
    else:
        print(*files, sep="\n")
    return 0
