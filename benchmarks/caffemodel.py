"""Time and memory that reading a caffemodel takes, against protobuf's own parser.

    python benchmarks/caffemodel.py [FILE] [--repeats N] [--json]

Without FILE, random weights of the size of df2seg2_mergebn (96 MB) are written first. Every reading is done by a fresh
process and begins when its imports are done; the file has been read once before, so that no disk is measured. Memory is
the most that was resident beyond what the imports take, pages of the file that are mapped included. The best time of
the repeats counts, and the largest memory.
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
from typing import Any

import numpy as np

from dongfeng.caffe import caffemodel, schema

LAYERS, SHAPE = 41, (512, 128, 3, 3)  # 96.7 MB, about as df2seg2_mergebn


def main() -> int:
    """Measure both readers and print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        epilog="example: python benchmarks/caffemodel.py df2seg2_mergebn.caffemodel --json",
    )
    parser.add_argument("file", nargs="?", type=Path, help="a caffemodel (default: random weights, 96 MB)")
    parser.add_argument("--repeats", type=int, default=3, help="processes per reader (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--measure", choices=READERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(READERS[arguments.measure], arguments.file)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        file = arguments.file or write_random(Path(folder) / "random.caffemodel")
        size_bytes = len(file.read_bytes())
        rows = [summary(name, file, size_bytes, max(1, arguments.repeats)) for name in READERS]
    if arguments.json:
        print(json.dumps({"file": file.name, "file_bytes": size_bytes, "rows": rows}, indent=1))
        return 0
    print(f"{file.name}, {size_bytes / 1e6:.1f} MB")
    print(f"{'reader':<10}{'arrays':>8}{'time, ms':>11}{'peak RSS, MB':>15}{'peak / file size':>19}")
    for row in rows:
        print(
            f"{row['reader']:<10}{row['arrays']:>8}{row['time_ms']:>11.1f}"
            f"{row['peak_bytes'] / 1e6:>15.1f}{row['peak_per_file_size']:>19.2f}"
        )
    return 0


def write_random(path: Path) -> Path:
    """A weight file of random convolutions."""
    rng = np.random.default_rng(0)
    layers = (
        caffemodel.LayerBlobs(f"conv{index}", "Convolution", (), (), (blob,), (False,))
        for index in range(LAYERS)
        for blob in [rng.standard_normal(SHAPE, np.float32)]
    )
    caffemodel.write(path, "random", layers)
    return path


def summary(reader: str, file: Path, size_bytes: int, repeats: int) -> dict[str, Any]:
    """The best of several processes."""
    command = [sys.executable, __file__, "--measure", reader, str(file)]
    runs = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(repeats)]
    peak = max(run["peak_bytes"] for run in runs)
    return {
        "reader": reader,
        "arrays": runs[0]["arrays"],
        "time_ms": min(run["time_ms"] for run in runs),
        "peak_bytes": peak,
        "peak_per_file_size": peak / size_bytes,
    }


def measure(read: Callable[[Path], list[np.ndarray]], file: Path) -> dict[str, float]:
    """Read the file once in this process."""
    schema.message_class("NetParameter")()  # the descriptors are not what is measured
    before = resident_bytes("VmRSS")
    start = time.perf_counter()
    arrays = read(file)
    time_ms = (time.perf_counter() - start) * 1e3
    return {"arrays": len(arrays), "time_ms": time_ms, "peak_bytes": resident_bytes("VmHWM") - before}


def resident_bytes(field: str) -> int:
    """Memory of this process: VmRSS is now, VmHWM the most it ever was."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def read_dongfeng(file: Path) -> list[np.ndarray]:
    """The arrays by our reader."""
    return [blob for layer in caffemodel.read(file) for blob in layer.blobs]


def read_protobuf(file: Path) -> list[np.ndarray]:
    """The arrays by protobuf's parser, with the same schema."""
    net = schema.message_class("NetParameter").FromString(file.read_bytes())
    return [
        np.array(blob.data, np.float32).reshape(tuple(blob.shape.dim)) for layer in net.layer for blob in layer.blobs
    ]


READERS: dict[str, Callable[[Path], list[np.ndarray]]] = {"dongfeng": read_dongfeng, "protobuf": read_protobuf}

if __name__ == "__main__":
    raise SystemExit(main())
