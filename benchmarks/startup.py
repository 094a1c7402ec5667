"""From a fresh process to the labels of a first image, part by part, against ONNX Runtime's time for the bare network.

    python benchmarks/startup.py [--model NAME] [--repeats N] [--json]

Random weights, an image of the network's own size as a JPEG, everything converted and cached beforehand. Each repeat
starts two fresh processes, one after the other: one imports dongfeng, loads the model and labels the image; the other
runs the same ONNX file, down to the 1/8 scores, with ONNX Runtime alone. Medians are shown. The limit is 1.6 times the
bare network's time (in a warm session) plus 1 s, and 0.35 s for `import dongfeng`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

LIMIT_FACTOR, LIMIT_S, IMPORT_LIMIT_S = 1.6, 1.0, 0.35

_START = """
import json, sys, time
from time import perf_counter as now
start = now()
import dongfeng
imported = now()
import warnings
warnings.simplefilter("ignore")
model = dongfeng.load(sys.argv[1], weights="random")
loaded = now()
result = model(sys.argv[2])
done = now()
print(json.dumps({"import_s": imported - start, "load_s": loaded - imported, "first_image_s": done - loaded,
    **{f"first_{stage}_s": ms / 1e3 for stage, ms in result.timing.items()}, "total_s": done - start}))
"""

_BARE = """
import json, statistics, sys
from time import perf_counter as now
import numpy as np, onnxruntime
start = now()
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
opened = now()
data = session.get_inputs()[0]
image = np.random.default_rng(0).standard_normal(data.shape).astype(np.float32)
times = []
for _ in range(6):
    start_run = now()
    session.run(None, {data.name: image})
    times.append(now() - start_run)
print(json.dumps({"session_s": opened - start, "bare_first_s": times[0], "bare_s": statistics.median(times[1:])}))
"""


def main() -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], epilog="example: python benchmarks/startup.py --model df2seg2 --json"
    )
    parser.add_argument("--model", default="df1seg", metavar="NAME", help="a segmentation model (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="pairs of processes (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DONGFENG_HOME"] = folder
        image = _prepare(args.model, Path(folder))
        (model,) = (Path(folder) / "onnx").glob("*.onnx")
        runs = []
        for _ in range(max(args.repeats, 1)):
            runs.append({**_python(_START, args.model, str(image)), **_python(_BARE, str(model))})
    medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    limit_s = LIMIT_FACTOR * medians["bare_s"] + LIMIT_S
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    report = {"model": args.model, "machine": machine, "repeats": len(runs), **medians, "limit_s": limit_s}
    report["passes"] = medians["total_s"] <= limit_s and medians["import_s"] <= IMPORT_LIMIT_S
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        _show(report)
    return 0 if report["passes"] else 1


def _prepare(name: str, folder: Path) -> Path:
    """Convert the model into the cache, and draw an image of its size."""
    import cv2
    import numpy as np

    import dongfeng

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dongfeng.errors.DongfengWarning)  # of random weights
        with dongfeng.load(name, weights="random") as model:
            height, width = model.size_hw
    coarse = np.random.default_rng(0).integers(0, 256, (height // 32, width // 32, 3), np.uint8)
    image = folder / "street.jpg"
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    image.write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())
    return image


def _python(code: str, *arguments: str) -> dict[str, Any]:
    """What a fresh Python process prints, as JSON."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _show(report: dict[str, Any]) -> None:
    print(f"{report['model']}, {report['machine']}, median of {report['repeats']} fresh processes, in ms\n")
    rows = [
        ("import dongfeng", "import_s"),
        ("load (imports, session)", "load_s"),
        ("first image", "first_image_s"),
        ("  decode", "first_decode_s"),
        ("  preprocess", "first_preprocess_s"),
        ("  infer", "first_infer_s"),
        ("  postprocess", "first_postprocess_s"),
        ("all of it", "total_s"),
        ("ONNX Runtime: session", "session_s"),
        ("ONNX Runtime: first run", "bare_first_s"),
        ("ONNX Runtime: later run", "bare_s"),
        (f"limit ({LIMIT_FACTOR} x later run + {LIMIT_S:g} s)", "limit_s"),
    ]
    for label, key in rows:
        print(f"{label:<36}{1e3 * report[key]:>9.1f}")
    print("\nwithin the limits" if report["passes"] else "\nABOVE THE LIMITS")


if __name__ == "__main__":
    raise SystemExit(main())
