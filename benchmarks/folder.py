"""A folder of images to a folder of label PNGs, against what the bare network alone would allow on the same cores.

    python benchmarks/folder.py [--model df1seg] [--backend B] [--precision P] [--images N] [--size HxW] [--json]

Draws N street-like images as PNG, then decodes, segments and writes label ids, as `dongfeng segment` does, and times
the bare network (the backend's own call on one input, with all threads, one after the other) before and after. The
share is images per second over what the bare network does. With more than 100 images, memory is compared over the last.
Weights are random; int8 is calibrated with three of the images.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np

import dongfeng
from dongfeng.runtime.load import load_stream
from dongfeng.runtime.model import Model
from dongfeng.zoo.models import model_info

KINDS = 8  # different pictures; decoding does not remember them
SETTLED = 100  # images after which memory shall not grow


def draw(index: int, size_hw: tuple[int, int]) -> np.ndarray:
    """A picture that compresses about as a street scene does: large shapes, gradients, and some noise."""
    random = np.random.default_rng(index)
    height, width = size_hw
    coarse = random.integers(0, 256, (height // 64, width // 64, 3), np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    for _ in range(40):
        (x, y), (w, h) = random.integers(0, (width, height)), random.integers(height // 32, height // 3, 2)
        picture[y : y + h, x : x + w] = picture[y : y + h, x : x + w] // 2 + random.integers(0, 128, 3)
    picture += random.integers(-2, 3, picture.shape, np.int16)
    return np.clip(picture, 0, 255).astype(np.uint8)


def bare_fps(model: Model, image: np.ndarray, repeats: int) -> float:
    """Images per second of the network alone."""
    blob = model.network_input(image)
    backend, output = model.runner, model.output  # noqa: SLF001 - the same session, nothing of ours around it
    times = []
    for _ in range(repeats + 2):
        start = perf_counter()
        backend.run(blob, output)
        times.append(perf_counter() - start)
    return 1 / statistics.median(times[2:])


def resident_mb() -> float | None:
    """Memory of this process now, where the system tells."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def segment(model: Model, paths: Sequence[Path], out: Path) -> tuple[float, list[float | None]]:
    """Images per second from PNG to PNG, and the memory after each image."""
    memory = []
    start = perf_counter()
    for path, result in zip(paths, model.stream(paths), strict=True):
        result.save(out / path.name, kind="label_ids")
        memory.append(resident_mb())
    return len(paths) / (perf_counter() - start), memory


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Draw, run, compare."""
    os.environ["DONGFENG_HOME"] = str(folder / "home")
    size_hw = args.size or model_info(args.model).size_hw
    kinds = [draw(index, size_hw) for index in range(KINDS)]
    paths = [folder / f"{index:04}.png" for index in range(args.images)]
    for index, path in enumerate(paths):
        if index < KINDS:
            cv2.imwrite(str(path), kinds[index])
        else:
            os.link(paths[index % KINDS], path)
    options: dict[str, Any] = {"weights": "random", "size": size_hw, "backend": args.backend, "threads": args.threads}
    options |= {"precision": args.precision, "calibration": kinds[:3] if args.precision == "int8" else None}
    (out := folder / "out").mkdir()
    with dongfeng.load(args.model, **options) as alone:
        before = bare_fps(alone, kinds[0], 10)
        start = perf_counter()
        with load_stream(args.model, count=len(paths), **options) as model:
            load_s = perf_counter() - start
            fps, memory = segment(model, paths, out)
            about = {"backend": model.backend, "precision": model.precision}
        after = bare_fps(alone, kinds[0], 10)
    bare = (before + after) / 2
    report = {"model": args.model, "height": size_hw[0], "width": size_hw[1], **about, "images": len(paths)}
    report |= {"cores": os.cpu_count(), "png_mb": paths[0].stat().st_size / 1e6, "load_s": load_s}
    report |= {"bare_fps": bare, "bare_fps_before_after": [before, after], "folder_fps": fps, "share": fps / bare}
    if len(memory) > SETTLED and memory[-1] is not None:
        report |= {"memory_settled_mb": max(memory[:SETTLED]), "memory_most_mb": max(memory[SETTLED:])}
    return report


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="df1seg", help="segmentation model of the zoo (default: df1seg)")
    parser.add_argument("--backend", default="auto", help="as for dongfeng.load (default: auto)")
    parser.add_argument("--precision", default="auto", help="as for dongfeng.load (default: auto)")
    parser.add_argument("--images", type=int, default=64, metavar="N", help="number of images (default: 64)")
    parser.add_argument("--size", type=lambda text: tuple(map(int, text.split("x"))), metavar="HxW")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the CPU (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", dongfeng.errors.DongfengWarning)  # of random weights
        report = measure(args, Path(folder))
    if args.json:
        print(json.dumps(report, indent=2))
        return 0
    print("{model}, {height}x{width}, {backend}, {precision}, {images} images, {cores} cores".format(**report))
    print("bare network {bare_fps:.2f} images/s, folder {folder_fps:.2f}: {share:.1%}".format(**report))
    if "memory_most_mb" in report:
        print(
            f"memory: at most {{memory_settled_mb:.0f}} MB in the first {SETTLED} images, {{memory_most_mb:.0f}} MB in "
            "the others".format(**report)
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
