"""This checkout against another one, such as the parent commit's: import, load, first image, and images after it.

    git worktree add ../before HEAD~1
    python benchmarks/against.py ../before [--model NAME] [--size HxW] [--repeats N] [--json]

Random weights, a synthetic image of the network's own size, everything converted and cached beforehand. Each repeat
starts a fresh process of either checkout for each backend, interleaved, so that whatever else the machine does falls on
both alike. Shown are the medians of both, and the median of the ratios of neighbouring processes: this one over the
other.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
BACKENDS = ("onnxruntime", "openvino", "ncnn")
FIGURES = ("import_ms", "load_ms", "first_image_ms", "image_to_labels_ms")

# Both checkouts have these names, and have had them from the first version on.
_PROGRAM = """
import json, sys, time, warnings
from time import perf_counter as now
name, size, backend = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
start = now()
import dongfeng
imported = now()
warnings.simplefilter("ignore")
model = dongfeng.load(name, weights="random", size=size, backend=backend)
loaded = now()
import numpy as np
low = np.random.default_rng(0).integers(0, 256, (8, 16, 3), np.uint8)
image = low.repeat(size[0] // 8, 0).repeat(size[1] // 16, 1)
before = now()
model(image)
first = now()
times = []
while len(times) < 5 or (now() - first < 2 and len(times) < 100):
    begin = now()
    model(image)
    times.append(now() - begin)
times.sort()
figures = imported - start, loaded - imported, first - before, times[len(times) // 2]
print(json.dumps([1e3 * figure for figure in figures]))
"""


def measured(checkout: Path, words: list[str], home: str) -> list[float]:
    """The figures of one process of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "DONGFENG_HOME": home, "DONGFENG_OFFLINE": "1"}
    command = [sys.executable, "-c", _PROGRAM, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=home)
    return [float(value) for value in json.loads(done.stdout)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="another checkout")
    parser.add_argument("--model", default="df1seg", metavar="NAME", help="a segmentation model (default: df1seg)")
    parser.add_argument("--size", default="1024x2048", metavar="HxW", help="multiples of 32 (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="pairs of processes (default: 5)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()
    size = json.dumps([int(side) for side in args.size.split("x")])
    rows = []
    with tempfile.TemporaryDirectory() as here_home, tempfile.TemporaryDirectory() as other_home:
        for backend in BACKENDS:
            words = [args.model, size, backend]
            both = ((HERE, here_home), (args.other.resolve(), other_home))
            for checkout, home in both:
                measured(checkout, words, home)  # converts, and warms the disk's cache
            pairs = [[measured(checkout, words, home) for checkout, home in both] for _ in range(args.repeats)]
            for index, figure in enumerate(FIGURES):
                ours, theirs = ([pair[side][index] for pair in pairs] for side in (0, 1))
                rows.append(
                    {
                        "backend": backend,
                        "figure": figure,
                        "here_ms": statistics.median(ours),
                        "other_ms": statistics.median(theirs),
                        "ratio": statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
                    }
                )
    if args.json:
        print(json.dumps({"model": args.model, "size": args.size, "repeats": args.repeats, "rows": rows}, indent=2))
        return
    print(f"{args.model} {args.size}, {args.repeats} pairs of processes")
    for row in rows:
        print("{backend:12} {figure:20} {here_ms:9.1f} {other_ms:9.1f}   {ratio:.2f}".format(**row))


if __name__ == "__main__":
    main()
