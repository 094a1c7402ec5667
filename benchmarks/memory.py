"""Peak memory of loading a model and running one image, against bare ONNX Runtime doing the same.

    python benchmarks/memory.py [--model df2seg2] [--size HxW] [--repeats N] [--json]

Each case runs in a process of its own, its files made and cached before: bare ONNX Runtime (the network down to its
scores, OpenCV's blobFromImage, one run), and `dongfeng.load` with one call on every backend and precision that is
installed. Medians of the most memory that each process held, and ratios to the first.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from dongfeng.zoo.models import model_info

CASES = [("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"), ("ncnn", "fp32"), ("ncnn", "bf16")]

_START = """
import os, resource, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
name, height, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
def peak():
    factor = 1 if sys.platform == "darwin" else 1024
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * factor / 1e6)
"""
_BARE = """
import cv2, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[4], providers=["CPUExecutionProvider"])
session.run(None, {session.get_inputs()[0].name: cv2.dnn.blobFromImage(image, 0.008, mean=(72, 83, 73))})
peak()
"""
_OURS = """
import dongfeng
model = dongfeng.load(name, weights="random", size=(height, width), backend=sys.argv[4], precision=sys.argv[5])
model(image)
peak()
"""


def peak_mb(code: str, *arguments: str) -> float:
    """What a process of its own says of itself."""
    command = [sys.executable, "-c", _START + code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr.strip().splitlines()[-1])
    return float(done.stdout.splitlines()[-1])


def cases() -> list[tuple[str, str]]:
    """Backends and precisions that run here."""
    from dongfeng.backends.registry import backend_type

    installed = [case for case in CASES if importlib.util.find_spec(case[0])]
    return [(name, kind) for name, kind in installed if backend_type(name).why_unavailable(kind, "cpu") is None]


def measure(args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Rows; the first run of each case only fills the cache."""
    os.environ["DONGFENG_HOME"] = str(folder)
    size_hw = args.size or model_info(args.model).size_hw
    what = (args.model, *map(str, size_hw))
    for case in cases():
        peak_mb(_OURS, *what, *case)
    (file,) = (folder / "onnx").glob("*.onnx")
    bare = statistics.median(peak_mb(_BARE, *what, str(file)) for _ in range(args.repeats))
    rows = [{"contestant": "ONNX Runtime alone", "precision": "fp32", "peak_mb": bare, "ratio": 1.0}]
    for case in cases():
        peak = statistics.median(peak_mb(_OURS, *what, *case) for _ in range(args.repeats))
        rows.append({"contestant": f"dongfeng, {case[0]}", "precision": case[1], "peak_mb": peak, "ratio": peak / bare})
    return rows


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="df2seg2", help="segmentation model of the zoo (default: df2seg2)")
    parser.add_argument("--size", type=lambda text: tuple(map(int, text.split("x"))), metavar="HxW")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="processes of each (default: 3)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(args, Path(folder))
    if args.json:
        print(json.dumps({"model": args.model, "rows": rows}, indent=2))
        return 0
    for row in rows:
        print("{contestant:<24}{precision:>6}{peak_mb:>9.0f} MB{ratio:>7.2f}".format(**row))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
