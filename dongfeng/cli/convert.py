"""`dongfeng convert`: networks into other formats."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dongfeng.cli import convert_engine
from dongfeng.cli.arguments import NETWORK_HELP, add_given_weights, add_size
from dongfeng.cli.output import cell, note, print_json, print_table

if TYPE_CHECKING:
    from dongfeng.verification.verdict import Verdict

CAFFE = (".prototxt", ".caffemodel")
NETWORKS = (*CAFFE, ".param", ".bin")
DEFAULT_OPSET = 17

SUMMARY = "convert Caffe, ncnn or zoo networks to ONNX, Caffe or ncnn"
EPILOG = """\
The suffix of OUT decides: .onnx; .engine, for TensorRT-RTX or TensorRT, where NET may be an ONNX file too; .caffemodel
or .prototxt, which both write both files of the pair; .param, which writes ncnn's .param and .bin.

--verify runs the ONNX model and compares every blob with NumPy's computation of Caffe's arithmetic, or with blobs
saved from Caffe itself: an .npz, an .npy, or a folder of .npy files. Where a layer differs, nothing is written.

examples:
  dongfeng convert deploy.prototxt net.caffemodel -o net.onnx --verify
  dongfeng convert deploy.prototxt net.caffemodel -o net.onnx --verify blobs.npz
  dongfeng convert deploy.prototxt net.caffemodel --fold -o net_mergebn.caffemodel
  dongfeng convert pl1a_new.param.bin pl1a_new.bin --size 384x640 -o pl1a.onnx
  dongfeng convert df1seg --size 512x1024 --opset 13 -o df1seg.onnx
  dongfeng convert df1seg --size 512x1024 --output Decoder_score -o df1seg.param
  dongfeng convert df1seg -o df1seg.engine --precision fp16
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("net", metavar="NET", help=NETWORK_HELP)
    add_given_weights(parser)
    parser.add_argument("-o", "--out", required=True, metavar="OUT", help="file to write")
    add_size(parser)
    parser.add_argument("--opset", type=int, metavar="N", help=f"ONNX opset, 11 or later (default: {DEFAULT_OPSET})")
    parser.add_argument(
        "--output",
        action="append",
        metavar="BLOB",
        help="blob to compute, repeatable (default: the net's outputs)",
    )
    parser.add_argument(
        "--dynamic",
        nargs="?",
        const=True,
        type=convert_engine.batch_range,
        metavar="MINxOPTxMAX",
        help="make batch, height and width dynamic in the ONNX file; for engines: least, best and largest batch",
    )
    parser.add_argument(
        "--fold",
        action=argparse.BooleanOptionalAction,
        help="merge BatchNorm and Scale into the layers before them (default: for Caffe no, else yes)",
    )
    parser.add_argument(
        "--verify",
        nargs="?",
        const="",
        metavar="REFERENCE",
        help="compare every blob with NumPy's arithmetic, or with the saved blobs REFERENCE, before writing",
    )
    convert_engine.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.runtime.convert import convert
    from dongfeng.verification.verdict import VerificationFailed

    out = Path(args.out)
    _check_options(args, out)
    try:
        done = convert(
            args.net,
            out,
            weights=args.weights,
            size=args.size,
            opset=DEFAULT_OPSET if args.opset is None else args.opset,
            outputs=args.output,
            dynamic=args.dynamic is True,
            folded=args.fold,
            verify=False if args.verify is None else args.verify or True,
            engine=convert_engine.engine_options(args, out),
            progress=note,
        )
    except VerificationFailed as error:
        _report(args, error.verdict, [])
        raise
    files = [str(file) for file in done.files]
    if done.engine is not None:
        convert_engine.show(args, done.engine)
        return 0
    if done.verdict is not None:
        _report(args, done.verdict, files)
    elif args.json:
        print_json({"outputs": files})
    else:
        print(*files, sep="\n")
    if files == [str(out.with_suffix(".prototxt"))]:
        note("no weights were given, so no caffemodel was written")
    return 0


def _check_options(args: argparse.Namespace, out: Path) -> None:
    """Refuse options that are for other formats."""
    is_engine = out.suffix in convert_engine.SUFFIXES
    if out.suffix != ".onnx" and (args.verify is not None or (not is_engine and (args.opset or args.dynamic))):
        args.usage_error("--opset, --dynamic and --verify are for .onnx files")
    if out.suffix in CAFFE and args.output:
        args.usage_error("--output is for .onnx and .param files")
    if not is_engine and any(getattr(args, name) is not None for name in convert_engine.ONLY):
        args.usage_error(
            "--precision, --target, --compute-capability, --workspace, --images and --tf32 are for engines"
        )
    if args.dynamic is not None and (args.dynamic is True) == is_engine:
        args.usage_error("--dynamic takes MINxOPTxMAX for engines, and nothing for .onnx files")
    if args.images and args.precision != "int8":
        args.usage_error("--images is for --precision int8")
    if Path(args.verify or "").suffix in NETWORKS:
        args.usage_error(f"--verify takes {args.verify} for its REFERENCE: write it behind NET and WEIGHTS")


def _report(args: argparse.Namespace, verdict: Verdict, written: list[str]) -> None:
    """Print what was compared, and the result."""
    if args.json:
        values = verdict.as_dict()
        rows = values.pop("blobs")
        print_json({"outputs": written, **values, "rows": rows})
        return
    print_table(*verdict.table())
    worst = verdict.worst
    largest = "" if worst is None else f', largest relative error {cell(worst.max_rel_error)} in "{worst.blob}"'
    missing = f", {len(verdict.not_compared)} not in the reference" if verdict.not_compared else ""
    note(f"{len(verdict.blobs)} blobs compared with {verdict.reference}{largest}{missing}")
    print(*written, sep="\n", end="\n" if written else "")
