"""`dongfeng convert`: networks into other formats."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dongfeng.cli import convert_engine
from dongfeng.cli.arguments import Commands, add_command, add_json, add_size
from dongfeng.cli.output import cell, note, print_json, print_table
from dongfeng.cli.source import NET_HELP, WEIGHTS_HELP, Source, read_source
from dongfeng.errors import ConversionError, ShapeError, WeightsUnavailable

if TYPE_CHECKING:
    import onnx

    from dongfeng.net.graph import Net
    from dongfeng.verification.verdict import BlobError, Verdict

CAFFE = (".prototxt", ".caffemodel")
NCNN = (".param", ".bin")
DEFAULT_OPSET = 17

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


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    parser = add_command(commands, "convert", "convert Caffe, ncnn or zoo networks to ONNX, Caffe or ncnn", EPILOG)
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
    add_json(parser)
    parser.set_defaults(usage_error=parser.error)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    out = Path(args.out)
    if out.suffix not in (".onnx", ".param", *CAFFE, *convert_engine.SUFFIXES):
        raise ConversionError(
            f'{out}: cannot write "{out.suffix}" files; OUT has to end in .onnx, .engine, .caffemodel, .prototxt or '
            ".param"
        )
    _check_options(args, out)
    if out.suffix in convert_engine.SUFFIXES and args.net.endswith(".onnx"):
        convert_engine.write_engine(args, Path(args.net), out)
        return 0
    if Path(args.verify or "").suffix in (".prototxt", ".param", ".bin", *CAFFE):
        args.usage_error(f"--verify takes {args.verify} for its REFERENCE: write it behind NET and WEIGHTS")
    source = read_source(args.net, args.weights or args.weights_file, released=True)
    net = source.net if args.size is None else source.net.resize(*args.size)
    if out.suffix not in (".param", *CAFFE) and net.is_dynamic and not args.dynamic:
        raise ShapeError(f"{args.net}: the file has a dynamic input size; give --size HxW, or --dynamic")
    pairs = {".param": NCNN, **dict.fromkeys(CAFFE, CAFFE)}
    targets = [out.with_suffix(suffix) for suffix in pairs[out.suffix]] if out.suffix in pairs else [out]
    _refuse_overwriting(source.files, targets)
    has_weights = _has_weights(net)
    if not has_weights and out.suffix != ".prototxt":
        raise WeightsUnavailable(
            f"{args.net}: no weights were given; name the weight file behind it, or --weights random"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".onnx":
        _write_onnx(args, source, net, out)
    elif out.suffix in convert_engine.SUFFIXES:
        _write_engine(args, source, net, out)
    elif out.suffix == ".param":
        _write_ncnn(args, net, targets)
    else:
        _write_caffe(args, net, targets if has_weights else targets[:1])
    return 0


def _write_onnx(args: argparse.Namespace, source: Source, net: Net, out: Path) -> None:
    from dongfeng.formats.onnx import to_onnx
    from dongfeng.net.fold import fold

    is_folded = args.fold is not False
    made_of = fold(net) if is_folded else net
    opset = DEFAULT_OPSET if args.opset is None else args.opset
    metadata = _metadata(args, source, made_of)
    path = out if args.verify is None else None  # what is verified is written only then
    model = to_onnx(made_of, path, opset=opset, outputs=args.output, dynamic=args.dynamic, metadata=metadata)
    outputs = ", ".join(value.name for value in model.graph.output)
    note(f"opset {opset}, {len(model.graph.node)} nodes, outputs {outputs}")
    if args.verify is not None:
        _write_verified(args, net, model, is_folded, out)
    elif args.json:
        print_json({"outputs": [str(out)]})
    else:
        print(out)


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


def _write_engine(args: argparse.Namespace, source: Source, net: Net, out: Path) -> None:
    """The net down to its scores, as an engine."""
    from dongfeng.formats.onnx import to_onnx
    from dongfeng.net.fold import fold
    from dongfeng.net.score_blob import find_score_blob

    made_of = net if args.fold is False else fold(net)
    model = to_onnx(
        made_of,
        opset=DEFAULT_OPSET if args.opset is None else args.opset,
        outputs=args.output or [find_score_blob(made_of)],
        dynamic="batch" if args.dynamic else False,
        metadata=_metadata(args, source, made_of),
    )
    convert_engine.write_engine(args, model, out)


def _write_verified(args: argparse.Namespace, net: Net, model: onnx.ModelProto, is_folded: bool, out: Path) -> None:
    """Compare the model with its reference, and write it if it is right.

    Raises:
        ConversionError: a layer differs.
    """
    from dongfeng.support.files import replacing
    from dongfeng.verification.verify import store_verdict, verify

    verdict = verify(net, model, args.verify or None, folded=is_folded)
    if verdict.passed:
        store_verdict(model, verdict)
        with replacing(out) as temporary:
            temporary.write_bytes(model.SerializeToString())
    _report(args, verdict, out)
    wrong = verdict.first_difference
    if wrong is not None:
        place = ":".join(str(part) for part in (net.source, wrong.line) if part is not None)
        raise ConversionError(
            f'{place or "the net"}: layer "{wrong.layer}" ({wrong.type}) is the first that differs from '
            f"{verdict.reference}: {_error(wrong)}; {out} is not written"
        )


def _report(args: argparse.Namespace, verdict: Verdict, out: Path) -> None:
    """What was compared, and what came of it."""
    written = [str(out)] if verdict.passed else []
    if args.json:
        values = verdict.as_dict()
        print_json(
            {"outputs": written, **{key: values[key] for key in values if key != "blobs"}, "rows": values["blobs"]}
        )
        return
    print_table(*verdict.table())
    worst = verdict.worst
    largest = "" if worst is None else f', largest relative error {cell(worst.max_rel_error)} in "{worst.blob}"'
    missing = f", {len(verdict.not_compared)} not in the reference" if verdict.not_compared else ""
    note(f"{len(verdict.blobs)} blobs compared with {verdict.reference}{largest}{missing}")
    print(*written, sep="\n", end="\n" if written else "")


def _error(wrong: BlobError) -> str:
    if wrong.problem or wrong.max_rel_error is None:
        return f'blob "{wrong.blob}" {wrong.finding}'
    return f'blob "{wrong.blob}" is off by {cell(wrong.max_rel_error)} of its largest value'


def _metadata(args: argparse.Namespace, source: Source, net: Net) -> dict[str, str]:
    """What `dongfeng.load` has to know to run the file as the zoo's model."""
    if source.info is None:
        return {}
    from dongfeng.net.score_blob import find_score_blob
    from dongfeng.runtime.metadata import to_metadata
    from dongfeng.runtime.nets import zoo_spec

    scores = find_score_blob(net)
    ((_, _, height, width),) = net.inputs.values()
    spec = zoo_spec(source.info, (height or 0, width or 0))
    return to_metadata(replace(spec, score_blob=scores if scores in (args.output or [scores]) else None))


def _write_ncnn(args: argparse.Namespace, net: Net, targets: Sequence[Path]) -> None:
    from dongfeng.formats.ncnn import write_ncnn
    from dongfeng.net.fold import fold

    write_ncnn(net if args.fold is False else fold(net), *targets, outputs=args.output)
    if args.json:
        print_json({"outputs": [str(target) for target in targets]})
    else:
        print(*targets, sep="\n")


def _write_caffe(args: argparse.Namespace, net: Net, targets: Sequence[Path]) -> None:
    from dongfeng.formats.caffe import write_caffe
    from dongfeng.net.fold import fold

    write_caffe(fold(net) if args.fold else net, *targets)
    if args.json:
        print_json({"outputs": [str(target) for target in targets]})
    else:
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
