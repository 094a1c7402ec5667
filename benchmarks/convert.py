"""Time and memory that converting Caffe files to ONNX takes, part by part.

    python benchmarks/convert.py [PROTOTXT CAFFEMODEL] [--size HxW] [--repeats N] [--json]

Without files, df2seg2 with its BatchNorm layers and random weights (97 MB) is written first. Every repeat is a fresh
process: it reads both files, folds BatchNorm and Scale, sets the input size and writes the ONNX file. Time and memory
count from when the imports are done; the files have been read once before, so that no disk is measured. Memory is the
most that was resident beyond what the imports take, pages of the mapped caffemodel included, up to the end of each
part. The fastest repeat is shown, with the largest memory of all. Limits: 3 s, and 5 times the caffemodel's size.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import onnx

import dongfeng
from dongfeng.architectures import build
from dongfeng.net.random_weights import random_weights

LIMIT_S, LIMIT_FILE_SIZES = 3.0, 5.0
MODEL, SIZE = "df2seg2", "1024x2048"

_T = TypeVar("_T")


def main() -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        epilog="example: python benchmarks/convert.py deploy.prototxt net.caffemodel --size 224x224 --json",
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="PROTOTXT CAFFEMODEL", help=f"default: {MODEL}")
    parser.add_argument("--size", default=SIZE, metavar="HxW", help="input size (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="processes (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--measure", type=Path, metavar="ONNX", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if len(args.files) not in (0, 2):
        parser.error("give both PROTOTXT and CAFFEMODEL, or neither")
    height, width = (int(side) for side in args.size.split("x"))
    if args.measure:
        print(json.dumps(measure(args.files, (height, width), args.measure)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        files = args.files or write_random(Path(folder))
        result = summary(files, args.size, Path(folder) / "net.onnx", max(1, args.repeats))
    print(json.dumps(result, indent=1) if args.json else table(result))
    return 0


def write_random(folder: Path) -> list[Path]:
    """Caffe files of the default network with random weights."""
    files = [folder / f"{MODEL}.prototxt", folder / f"{MODEL}.caffemodel"]
    dongfeng.write_caffe(random_weights(build(MODEL)), *files)
    return files


def summary(files: list[Path], size: str, target: Path, repeats: int) -> dict[str, Any]:
    """The fastest of several processes, with the largest memory of all."""
    file_bytes = len(files[1].read_bytes())
    command = [sys.executable, __file__, *map(str, files), "--size", size, "--measure", str(target)]
    runs = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(repeats)]
    rows = min(runs, key=lambda rows: sum(row["time_ms"] for row in rows))
    for index, row in enumerate(rows):
        row["peak_bytes"] = max(run[index]["peak_bytes"] for run in runs)
    time_s = sum(row["time_ms"] for row in rows) / 1e3
    peak = rows[-1]["peak_bytes"] / file_bytes
    return {
        "caffemodel": files[1].name,
        "size": size,
        "caffemodel_bytes": file_bytes,
        "onnx_bytes": target.stat().st_size,
        "rows": rows,
        "time_s": time_s,
        "limit_s": LIMIT_S,
        "peak_per_file_size": peak,
        "limit_per_file_size": LIMIT_FILE_SIZES,
        "passed": time_s <= LIMIT_S and peak <= LIMIT_FILE_SIZES,
        "onnx": onnx.__version__,
        "dongfeng": dongfeng.__version__,
    }


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    file_bytes = result["caffemodel_bytes"]
    lines = [
        f"{result['caffemodel']}, {file_bytes / 1e6:.1f} MB, to ONNX at {result['size']}, "
        f"{result['onnx_bytes'] / 1e6:.1f} MB",
        f"{'part':<16}{'time, ms':>10}{'peak RSS, MB':>15}{'peak / file size':>19}",
    ]
    for row in result["rows"]:
        peak = row["peak_bytes"]
        lines.append(f"{row['part']:<16}{row['time_ms']:>10.1f}{peak / 1e6:>15.1f}{peak / file_bytes:>19.2f}")
    verdict = "within" if result["passed"] else "OVER"
    lines.append(
        f"{'all':<16}{result['time_s'] * 1e3:>10.1f}{'':>15}{result['peak_per_file_size']:>19.2f}"
        f"   {verdict} the limits of {LIMIT_S * 1e3:.0f} ms and {LIMIT_FILE_SIZES:.0f} file sizes"
    )
    return "\n".join(lines)


def measure(files: list[Path], size_hw: tuple[int, int], target: Path) -> list[dict[str, Any]]:
    """Convert once in this process; a row for each part, in order."""
    rows: list[dict[str, Any]] = []
    before = resident_bytes("VmRSS")

    def timed(part: str, work: Callable[[], _T]) -> _T:
        start = time.perf_counter()
        result = work()
        time_ms = (time.perf_counter() - start) * 1e3
        rows.append({"part": part, "time_ms": time_ms, "peak_bytes": resident_bytes("VmHWM") - before})
        return result

    net = timed("read_caffe", lambda: dongfeng.read_caffe(*files))
    net = timed("fold", lambda: dongfeng.fold(net))
    net = timed("resize", lambda: net.resize(*size_hw))
    timed("to_onnx", lambda: dongfeng.to_onnx(net, target))
    return rows


def resident_bytes(field: str) -> int:
    """Memory of this process: VmRSS is now, VmHWM the most it ever was."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    raise SystemExit(main())
