"""Full-resolution labels from 1/8 scores: dongfeng against ONNX Runtime and OpenCV, in one run.

    python benchmarks/upsample.py [--repeats N] [--json]

Ways to the labels of 1024x2048 pixels from scores of (19, 128, 256):

* `dongfeng`: `upsample_labels`, on one core;
* `onnxruntime`: what the released networks end with, ConvTranspose + Softmax + ArgMax, on two threads;
* `opencv`: `cv2.resize` of all channels at once, then `numpy.argmax`, on one core;
* `opencv planes`: the same channel by channel with a running maximum, the quickest way found with OpenCV.

Rounds of the ways are interleaved, and medians are shown. Real scores are those of the shared test data
(DONGFENG_SHARED, or ../shared beside the checkout), resized to 128x256, and are left out where they are absent.
Synthetic ones have regions as well: about as many borders as the busiest street scenes, and far more. "cells" says in
how many of the 33,153 cells between scores the corners disagree. For each pixel that differs, "near ties" says whether
single precision can tell the two classes apart at all.
"""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # read when NumPy is imported

import argparse  # noqa: E402
import json  # noqa: E402
import platform  # noqa: E402
import statistics  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from contextlib import contextmanager, nullcontext  # noqa: E402
from pathlib import Path  # noqa: E402
from time import perf_counter  # noqa: E402
from typing import Any  # noqa: E402

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402

from dongfeng.runtime.labels.upsample import argmax_last, upsample_labels  # noqa: E402

Float = npt.NDArray[np.float32]
Labels = npt.NDArray[Any]

SIZE_HW = (1024, 2048)
SCORES = (19, 128, 256)
ORT_THREADS = 2
NEAR = 1e-5  # of the largest score


@contextmanager
def one_core() -> Iterator[None]:
    """Keep the calling thread on one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def score_maps() -> dict[str, Float]:
    """Real scores where they are at hand, synthetic ones, and noise."""
    shared = Path(os.environ.get("DONGFENG_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    maps = {}
    for path in sorted((shared / "pl1a").glob("*_score.npz")):
        maps[f"real {path.stem.removesuffix('_score')}"] = resized(np.load(path)["score"])
    for name, size_hw in (("synthetic", (12, 24)), ("synthetic, finer", (40, 80))):
        coarse = np.random.default_rng(0).standard_normal((SCORES[0], *size_hw)).astype(np.float32)
        maps[name] = resized(coarse, cv2.INTER_CUBIC)
    maps["noise"] = np.random.default_rng(0).standard_normal(SCORES).astype(np.float32)
    return maps


def resized(scores: Float, interpolation: int = cv2.INTER_LINEAR) -> Float:
    """Scores of another size at the size of SCORES."""
    return np.stack([cv2.resize(plane, SCORES[:0:-1], interpolation=interpolation) for plane in scores])


def ort_head() -> Callable[[Float], Labels]:
    """ConvTranspose (bilinear, kernel 16, stride 8, padding 4, one group per channel), Softmax, ArgMax."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    classes = SCORES[0]
    taps = 1 - np.abs((np.arange(16) + 0.5) / 8 - 1)
    kernel = np.broadcast_to(np.outer(taps, taps), (classes, 1, 16, 16)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("ConvTranspose", ["x", "w"], ["up"], strides=[8, 8], pads=[4] * 4, group=classes),
            helper.make_node("Softmax", ["up"], ["prob"], axis=1),
            helper.make_node("ArgMax", ["prob"], ["pred"], axis=1, keepdims=0, select_last_index=1),
        ],
        "head",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, *SCORES))],
        [helper.make_tensor_value_info("pred", TensorProto.INT64, (1, *SIZE_HW))],
        [numpy_helper.from_array(kernel, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = ORT_THREADS
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda scores: np.asarray(session.run(None, {"x": scores[None]})[0][0])


def opencv(scores: Float) -> Labels:
    """All channels in one call, then argmax; ties to the largest class."""
    wide = cv2.resize(np.ascontiguousarray(scores.transpose(1, 2, 0)), SIZE_HW[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(len(scores) - 1 - np.argmax(wide[..., ::-1], axis=-1))


def opencv_planes(scores: Float) -> Labels:
    """Channel by channel with a running maximum."""
    best = cv2.resize(scores[0], SIZE_HW[::-1], interpolation=cv2.INTER_LINEAR)
    labels = np.zeros(SIZE_HW, np.uint8)
    for index in range(1, len(scores)):
        plane = cv2.resize(scores[index], SIZE_HW[::-1], interpolation=cv2.INTER_LINEAR)
        np.copyto(labels, np.uint8(index), where=plane >= best)
        np.maximum(best, plane, out=best)
    return labels


def dongfeng(scores: Float) -> Labels:
    """What is measured."""
    return upsample_labels(scores, SIZE_HW)


def disagreeing_cells(scores: Float) -> int:
    """How many of the cells between scores, those at the border included, have corners of more than one label."""
    labels = np.pad(argmax_last(scores), 1, mode="edge")
    corners = np.stack([labels[:-1, :-1], labels[:-1, 1:], labels[1:, :-1], labels[1:, 1:]])
    return int(np.count_nonzero(corners.min(axis=0) != corners.max(axis=0)))


def median_ms(ways: dict[str, Callable[[Float], Labels]], scores: Float, repeats: int) -> dict[str, float]:
    """Median time of each way; rounds are interleaved, so that all see the same machine."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(repeats + 1):
        for name, way in ways.items():
            with nullcontext() if name == "onnxruntime" else one_core():
                start = perf_counter()
                way(scores)
                elapsed = perf_counter() - start
            if round_:  # the first warms up
                times[name].append(1e3 * elapsed)
    return {name: statistics.median(values) for name, values in times.items()}


def compare(scores: Float, labels: Labels, other: Labels) -> tuple[int, int]:
    """Pixels whose labels differ, and how many of those are no near ties."""
    y, x = np.nonzero(labels != other)
    values = np.stack([at(plane, y, x) for plane in scores.astype(np.float64)])
    chosen = np.abs(values[labels[y, x], np.arange(len(y))] - values[other[y, x], np.arange(len(y))])
    return len(y), int(np.count_nonzero(chosen > NEAR * np.abs(scores).max()))


def at(plane: npt.NDArray[np.float64], y: Labels, x: Labels) -> npt.NDArray[np.float64]:
    """Half-pixel bilinear values of single pixels."""
    from_y, from_x = (y + 0.5) / 8 - 0.5, (x + 0.5) / 8 - 0.5
    top, left = np.floor(from_y).astype(int), np.floor(from_x).astype(int)
    total = np.zeros(len(y))
    for dy, wy in ((0, 1 - (from_y - top)), (1, from_y - top)):
        for dx, wx in ((0, 1 - (from_x - left)), (1, from_x - left)):
            total += wy * wx * plane[np.clip(top + dy, 0, SCORES[1] - 1), np.clip(left + dx, 0, SCORES[2] - 1)]
    return total


def measure(repeats: int) -> list[dict[str, Any]]:
    """One row per score map."""
    ways = {"dongfeng": dongfeng, "onnxruntime": ort_head(), "opencv": opencv, "opencv planes": opencv_planes}
    rows = []
    for name, scores in score_maps().items():
        times = median_ms(ways, scores, repeats)
        labels = dongfeng(scores)
        row: dict[str, Any] = {"map": name, "disagreeing_cells": disagreeing_cells(scores)}
        for way, time in times.items():
            key = way.replace(" ", "_")
            row[f"{key}_ms"] = round(time, 3)
            if way != "dongfeng":
                different, no_ties = compare(scores, labels, ways[way](scores))
                row |= {f"{key}_ratio": round(time / times["dongfeng"], 2), f"{key}_different_pixels": different}
                row[f"{key}_different_beyond_near_ties"] = no_ties
        rows.append(row)
    return rows


def show(report: dict[str, Any]) -> None:
    """The report as a table."""
    print(
        f"labels of {SIZE_HW[0]}x{SIZE_HW[1]} from scores {SCORES}; {report['machine']}; median of {report['repeats']}"
    )
    print(f"threads: dongfeng and opencv 1 (pinned to one core), onnxruntime {ORT_THREADS}")
    if not report["has_real_scores"]:
        print("no shared test data found (DONGFENG_SHARED, ../shared): no real scores")
    print(f"\n{'map':<14}{'cells':>6}  {'way':<18}{'ms':>10}{'/ dongfeng':>12}{'differ':>9}{'beyond near ties':>18}")
    for row in report["rows"]:
        print(f"{row['map']:<14}{row['disagreeing_cells']:>6}  {'dongfeng':<18}{row['dongfeng_ms']:>10.2f}")
        for key in ("onnxruntime", "opencv", "opencv_planes"):
            print(
                f"{'':<22}{key.replace('_', ' '):<18}{row[f'{key}_ms']:>10.2f}{row[f'{key}_ratio']:>12.2f}"
                f"{row[f'{key}_different_pixels']:>9}{row[f'{key}_different_beyond_near_ties']:>18}"
            )


def main() -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], epilog="example: python benchmarks/upsample.py --repeats 21 --json"
    )
    parser.add_argument("--repeats", type=int, default=9, metavar="N", help="measured rounds of each way (default: 9)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, NumPy {np.__version__}, OpenCV {cv2.__version__}"
    report: dict[str, Any] = {"machine": machine, "threads": {"dongfeng": 1, "opencv": 1, "onnxruntime": ORT_THREADS}}
    report |= {"repeats": max(args.repeats, 1), "rows": measure(max(args.repeats, 1))}
    report["has_real_scores"] = any(row["map"].startswith("real") for row in report["rows"])
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        show(report)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
