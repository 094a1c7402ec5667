"""int8 against fp32: labels and speed, on images that it was not calibrated with.

    python benchmarks/quantize.py [--model pl1a_seg] [--weights W] [--images DIR] [--calibrate N] [--target F] [--json]

The first N images by name calibrate, and every choice is made on them; the others are compared. Without --images it is
PL1A-Seg with its real weights and frames, from the shared test data (DONGFENG_SHARED, or ../shared).
Times are of the bare networks on ONNX Runtime and, where it is installed, OpenVINO; fp32 and int8 take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnx
import onnxruntime

import dongfeng
from dongfeng.formats.onnx import to_onnx
from dongfeng.net.fold import fold
from dongfeng.net.preprocessing import prepare
from dongfeng.net.score_blob import find_score_blob
from dongfeng.passes.quantize import agreement, quantize
from dongfeng.passes.quantize.execution import relative_error, scores
from dongfeng.runtime.images.read import read_image
from dongfeng.runtime.labels.upsample import upsample_labels

REPEATS = 60


def on_onnxruntime(model: onnx.ModelProto, batch: Any, threads: int) -> Callable[[], Any]:
    """One inference on ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {session.get_inputs()[0].name: batch})


def on_openvino(model: onnx.ModelProto, batch: Any, threads: int, hint: str = "f32") -> Callable[[], Any]:
    """One inference on OpenVINO, whose float layers compute in fp32, or with "bf16" in that."""
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads}
    request = core.compile_model(core.read_model(model.SerializeToString()), "CPU", settings).create_infer_request()
    return lambda: request.infer({0: batch})


def has_bf16() -> bool:
    """Whether OpenVINO computes in bf16 on this CPU."""
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def median_ms(ways: Sequence[Callable[[], Any]]) -> list[float]:
    """Median time of each way; they take turns."""
    times: list[list[float]] = [[] for _ in ways]
    for turn in range(REPEATS + 3):
        for way, kept in zip(ways, times, strict=True):
            start = perf_counter()
            way()
            if turn >= 3:
                kept.append(1e3 * (perf_counter() - start))
    return [statistics.median(kept) for kept in times]


def speed(models: Sequence[onnx.ModelProto], batch: Any) -> list[dict[str, Any]]:
    """Times of fp32 and int8 on each backend."""
    rows = []
    for name, make in (("onnxruntime", on_onnxruntime), ("openvino", on_openvino)):
        for threads in (1, 2):
            try:
                ways = [make(model, batch, threads) for model in models]
                if name == "openvino" and has_bf16():
                    ways.append(on_openvino(models[1], batch, threads, hint="bf16"))
            except ImportError:
                continue
            fp32, *others = median_ms(ways)
            for precision, int8 in zip(("int8", "int8 and bf16"), others, strict=False):
                row = {"backend": name, "threads": threads, "precision": precision, "fp32_ms": fp32, "int8_ms": int8}
                rows.append({**row, "ratio": fp32 / int8})
    return rows


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Calibrate, compare, time."""
    shared = Path(os.environ.get("DONGFENG_SHARED") or Path(__file__).resolve().parents[2] / "shared") / "pl1a"
    weights = args.weights or (str(shared / "pl1a_new.bin") if args.model == "pl1a_seg" else "random")
    paths = sorted(path for path in Path(args.images or shared / "frames").iterdir() if path.is_file())
    model = dongfeng.load(args.model, weights=weights, backend="onnxruntime", device="cpu", size=args.size)
    inputs = [prepare(read_image(path), model.preprocessing, model.size_hw) for path in paths]
    net = fold(model.net) if model.net else None
    if net is None or len(inputs) <= args.calibrate:
        raise SystemExit("needs a zoo name, and more images than it calibrates with")
    fp32 = to_onnx(net, outputs=[find_score_blob(net)])
    start = perf_counter()
    done = quantize(fp32, inputs[: args.calibrate], target=args.target)
    seconds = perf_counter() - start
    expected, got = (scores(one, inputs[args.calibrate :]) for one in (fp32, done.model))
    labels = [[upsample_labels(values[0], model.size_hw) for values in one] for one in (expected, got)]
    found = agreement(*labels)
    return {
        "model": args.model,
        "target": args.target,
        "images": [args.calibrate, len(inputs) - args.calibrate],
        "quantize_s": seconds,
        "in_float": list(done.in_float),
        "score_relative_error": relative_error(expected, got),
        "pixel_agreement_fraction": found.pixel_fraction,
        "mean_iou_fraction": found.mean_iou,
        "class_iou_fraction": {model.class_names[index]: value for index, value in found.iou.items()},
        "rows": speed([fp32, done.model], np.asarray(inputs[-1])),
    }


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="pl1a_seg", help="zoo name (default: pl1a_seg)")
    parser.add_argument("--weights", help="weight file, or random (default: PL1A's own, else random)")
    parser.add_argument("--images", metavar="DIR", help="images (default: PL1A's frames)")
    parser.add_argument("--size", type=lambda text: tuple(map(int, text.split("x"))), metavar="HxW")
    parser.add_argument("--calibrate", type=int, default=10, metavar="N")
    parser.add_argument("--target", choices=("cpu", "tensorrt"), default="cpu")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    report = measure(args := parser.parse_args())
    if args.json:
        print(json.dumps(report, indent=2))
        return 0
    for key, value in report.items():
        if key != "rows":
            print(f"{key}: {value}")
    for row in report["rows"]:
        print(
            "{backend}, {threads} threads: fp32 {fp32_ms:.2f} ms, {precision} {int8_ms:.2f} ms: {ratio:.2f}x".format(
                **row
            )
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
