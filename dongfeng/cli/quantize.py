"""`dongfeng quantize`: a network in eight bits, calibrated on images, and how far it is from the float one."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dongfeng.cli.arguments import Commands, add_command, add_json, add_size, add_weights, positive
from dongfeng.cli.output import note, print_json, print_table
from dongfeng.errors import ConversionError, ImageError
from dongfeng.runtime.inputs import find_images
from dongfeng.support.json_layout import json_text

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from dongfeng.passes.quantize import Agreement, Quantized
    from dongfeng.runtime.model import Model

TARGETS = ("cpu", "tensorrt")
DEFAULT_IMAGES = 10

EPILOG = """\
The first images by name calibrate, at most --calibrate of them; the others, or those of --held-out, are what the report
compares on. With no others there is no report. dongfeng runs OUT like any model: dongfeng segment --model OUT ...

examples:
  dongfeng quantize pl1a_seg --images frames -o pl1a_int8.onnx
  dongfeng quantize df1seg --weights df1seg.caffemodel --images street -o df1seg_int8.onnx --report report.json
  dongfeng quantize net.onnx --images street --target tensorrt -o net_int8.onnx
"""


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    parser = add_command(commands, "quantize", "quantize a network to eight bits", EPILOG)
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
    add_json(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.runtime.load import load
    from dongfeng.support.files import replacing

    out = Path(args.out)
    if out.suffix != ".onnx":
        raise ConversionError(f'{out}: cannot write "{out.suffix}" files; OUT has to end in .onnx')
    given = _images(args.images)
    calibration, held_out = given[: args.calibrate], given[args.calibrate :]
    if args.held_out:
        held_out = _images(args.held_out)
    if Path(args.model).resolve() == out.resolve():
        raise ConversionError(f"{out}: this output would overwrite the input; choose another name for -o")
    with load(args.model, weights=args.weights, size=args.size, backend="onnxruntime", device="cpu") as model:
        quantized = _quantize(args, model, calibration)
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as temporary:
            temporary.write_bytes(quantized.model.SerializeToString())
        report = _report(args, model, quantized, out, held_out) | {"calibration_images": len(calibration)}
    if args.report:
        with replacing(args.report) as temporary:
            temporary.write_text(json_text(report) + "\n", encoding="utf-8")
    if args.json:
        print_json(report)
    else:
        _print(report)
        print(out)
    return 0


def _images(inputs: Sequence[str]) -> list[Path]:
    images, problems = find_images(inputs)
    if problems:
        raise ImageError(problems[0])
    return sorted(image.path for image in images)


def _quantize(args: argparse.Namespace, model: Model, images: Sequence[Path]) -> Quantized:
    from dongfeng.passes.quantize import quantize

    note(f"calibrating with {len(images)} images")
    batches = (_input(model, path) for path in images)
    return quantize(_float_model(args, model), batches, target=args.target, progress=note)


def _float_model(args: argparse.Namespace, model: Model) -> Any:
    """The ONNX model that `load` runs: folded, down to the scores, with what says how to run it."""
    import onnx

    from dongfeng.formats.onnx import to_onnx
    from dongfeng.net.fold import fold
    from dongfeng.net.score_blob import find_score_blob
    from dongfeng.runtime.metadata import ModelSpec, to_metadata

    if model.net is None:
        return onnx.load(args.model)
    net = fold(model.net)
    scores = find_score_blob(net)
    spec = ModelSpec(model.name, model.task, model.preprocessing, model.head, model.classes, scores)
    return to_onnx(net, outputs=[scores], metadata=to_metadata(spec))


def _input(model: Model, path: Path) -> npt.NDArray[np.float32]:
    from dongfeng.net.preprocessing import prepare
    from dongfeng.runtime.images.read import read_image

    return prepare(read_image(path), model.preprocessing, model.size_hw)


def _report(
    args: argparse.Namespace, model: Model, quantized: Quantized, out: Path, held_out: Sequence[Path]
) -> dict[str, Any]:
    """What was done, and the comparison on the held-out images."""
    report: dict[str, Any] = {
        "output": str(out),
        "target": quantized.target,
        "calibration_method": quantized.method,
        "is_range_reduced": quantized.reduced_range,
        "in_float": list(quantized.in_float),
        "calibration_relative_error": quantized.error,
        "held_out_images": len(held_out),
    }
    snr: dict[str, float] = {}
    if held_out:
        from dongfeng.passes.quantize import agreement, layer_snr_db
        from dongfeng.runtime.load import load

        note(f"comparing on {len(held_out)} images")
        with load(out, backend="onnxruntime", device="cpu", **_told(model)) as other:
            found = agreement(_labels(model, held_out), _labels(other, held_out))
        report |= {"pixel_agreement_fraction": found.pixel_fraction, "mean_iou_fraction": found.mean_iou}
        report["classes"] = _classes(model, found)
        snr = layer_snr_db(quantized, [_input(model, path) for path in held_out])
    names = [*dict.fromkeys([*quantized.alone, *snr])]
    report["rows"] = [
        {
            "layer": name,
            "in_float": name in quantized.in_float,
            "alone_relative_error": quantized.alone.get(name),
            "snr_db": snr.get(name),
        }
        for name in names
    ]
    return report


def _told(model: Model) -> dict[str, Any]:
    """What a file of another's making does not say."""
    return {"task": model.task, "mean": model.preprocessing.mean_bgr, "scale": model.preprocessing.scale}


def _labels(model: Model, images: Sequence[Path]) -> Iterator[npt.NDArray[Any]]:
    import numpy as np

    label_of: Callable[[Any], Any] = lambda result: result.labels  # noqa: E731
    if model.task == "classification":
        label_of = lambda result: np.argmax(result.logits)  # noqa: E731
    return (np.asarray(label_of(result)) for result in model.stream(images))


def _classes(model: Model, found: Agreement) -> list[dict[str, Any]]:
    return [
        {"class": model.class_names[index], "iou_fraction": found.iou[index], "pixels": found.pixels[index]}
        for index in found.iou
    ]


def _print(report: dict[str, Any]) -> None:
    rows = [(row["layer"], row["in_float"], row["alone_relative_error"], row["snr_db"]) for row in report["rows"]]
    print_table(("layer", "float", "error alone", "SNR dB"), rows)
    if "classes" not in report:
        note("no images are left to compare on: give more, or --held-out")
        return
    print_table(
        ("class", "IoU % with fp32", "pixels"),
        [(row["class"], 100 * row["iou_fraction"], row["pixels"]) for row in report["classes"]],
    )
    mean = report["mean_iou_fraction"]
    means = "" if mean is None else f", mean IoU {100 * mean:.2f} % (classes with at least 2000 pixels)"
    note(f"same label as fp32: {100 * report['pixel_agreement_fraction']:.2f} %{means}")
