"""Networks on this CPU: each runtime alone and dongfeng on it, network only and from a decoded image to its labels.

    python benchmarks/cpu.py [--model NAME]... [--size HxW] [--repeats N] [--threads N] [--int8] [--opencv4 PYTHON]
        [--json]

Random weights, a drawn image of the network's own size. All contestants take turns in every repeat, so that whatever
else the machine does falls on all alike; medians are shown, and ratios to ONNX Runtime's own time for the bare network
down to its 1/8 scores. Alone means: the runtime's own call on the input array for the network, and for the labels
OpenCV's blobFromImage before it and the usual export (deconvolution x8, softmax and argmax in the graph); ncnn, whose
graph has no argmax, leaves it to NumPy. OpenCV 4, whose CPU engine is the last that reads these networks, cannot share
an environment with OpenCV 5: --opencv4 names the Python of one that has it. What is not installed is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import cv2
import numpy as np

import dongfeng
from dongfeng.backends.registry import backend_type
from dongfeng.formats.ncnn import write_ncnn
from dongfeng.net.random_weights import random_weights
from dongfeng.zoo.models import model_info

SCORES, PROBABILITIES, LABELS = "Decoder_score", "prob", "pred"
OURS = [("onnxruntime", "fp32"), ("openvino", "fp32"), ("ncnn", "fp32"), ("openvino", "bf16"), ("ncnn", "bf16")]
OURS_INT8 = [("onnxruntime", "int8"), ("openvino", "int8")]
CALIBRATION = 4  # images

_OPENCV4 = """
import json, sys
from time import perf_counter as now
import cv2, numpy as np
about = json.loads(sys.argv[1])
cv2.setNumThreads(about["threads"] or cv2.getNumThreads())
image = np.load(about["image"])
scores, probabilities = (cv2.dnn.readNetFromONNX(about[name]) for name in ("scores", "probabilities"))
blob = cv2.dnn.blobFromImage(image, about["scale"], mean=about["mean"])
print(cv2.__version__, flush=True)
for line in sys.stdin:
    start = now()
    if line.strip() == "network":
        scores.setInput(blob)
        scores.forward()
    else:
        probabilities.setInput(cv2.dnn.blobFromImage(image, about["scale"], mean=about["mean"]))
        probabilities.forward()[0].argmax(0)
    print(1e3 * (now() - start), flush=True)
"""


class Files(NamedTuple):
    """One network in every form that a contestant reads, its input, and an image."""

    name: str
    folder: Path
    image: np.ndarray
    calibration: list[np.ndarray]
    mean_bgr: tuple[float, ...]
    scale: float
    threads: int | None
    has_int8: bool

    def onnx(self, output: str) -> str:
        """The ONNX file down to that blob."""
        return str(self.folder / f"{output}.onnx")

    def blob(self) -> np.ndarray:
        """The image as the network's input, as a user of the bare runtime makes it."""
        return cv2.dnn.blobFromImage(self.image, self.scale, mean=self.mean_bgr)


class Contestant(NamedTuple):
    """Two calls that return milliseconds."""

    name: str
    precision: str
    network_ms: Callable[[], float]
    labels_ms: Callable[[], float]


def main() -> int:
    """Measure, and print a table or JSON."""
    args = _arguments()
    reports = []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", dongfeng.errors.DongfengWarning)  # of random weights
        os.environ["DONGFENG_HOME"] = folder
        for name in args.model or ["df1seg"]:
            with contextlib.ExitStack() as stack:
                files = _write(name, args.size, args.threads, args.int8, Path(folder))
                contestants = list(_contestants(files, args.opencv4, stack))
                reports.append({"model": name, "rows": _measure(contestants, args.repeats)})
                reports[-1] |= dict(zip(("height", "width"), files.image.shape, strict=False))
                if not args.json:
                    _show(reports[-1], args.repeats)
    if args.json:
        machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
        print(json.dumps({**machine, "threads": args.threads, "repeats": args.repeats, "models": reports}, indent=2))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        epilog="example: python benchmarks/cpu.py --model df1seg --model pl1a_seg --opencv4 ~/cv4/bin/python",
    )
    parser.add_argument("--model", action="append", metavar="NAME", help="segmentation model, repeatable (df1seg)")
    parser.add_argument("--size", type=_size, metavar="HxW", help="input size (default: the published one)")
    parser.add_argument("--repeats", type=int, default=9, metavar="N", help="turns of each (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of each (default: its own choice)")
    parser.add_argument("--int8", action="store_true", help="ours in int8 too; quantizing takes a minute or two")
    parser.add_argument("--opencv4", metavar="PYTHON", help="Python of an environment with OpenCV 4 and NumPy")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    return int(height), int(width)


def _write(name: str, size_hw: tuple[int, int] | None, threads: int | None, has_int8: bool, folder: Path) -> Files:
    """The folded network with random weights in every format, and an image of its size."""
    info = model_info(name)
    size_hw = size_hw or info.size_hw
    from dongfeng.architectures import build

    net = dongfeng.fold(random_weights(build(info.architecture).resize(*size_hw), 0))
    for output in (SCORES, PROBABILITIES, LABELS):
        if output in net.shapes():
            dongfeng.to_onnx(net, folder / f"{output}.onnx", outputs=[output])
    write_ncnn(net, folder / "net.param", folder / "net.bin", outputs=[SCORES])
    image, *others = (_draw(seed, size_hw) for seed in range(1 + CALIBRATION))
    np.save(folder / "image.npy", image)
    return Files(name, folder, image, others, info.preprocessing.mean_bgr, info.preprocessing.scale, threads, has_int8)


def _draw(seed: int, size_hw: tuple[int, int]) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (size_hw[0] // 32, size_hw[1] // 32, 3), np.uint8)
    return cv2.resize(coarse, size_hw[::-1], interpolation=cv2.INTER_CUBIC)


def _contestants(files: Files, opencv4: str | None, stack: contextlib.ExitStack) -> Iterator[Contestant]:
    yield _onnxruntime(files)
    if _installed("openvino"):
        yield from (_openvino(files, precision) for precision in ("fp32", "bf16") if _runs("openvino", precision))
    if _installed("ncnn"):  # loaded by our backend, whose way of waiting thus is that of both
        yield from (_ncnn(files, precision) for precision in ("fp32", "bf16") if _runs("ncnn", precision))
    if opencv4:
        yield _opencv4(files, opencv4, stack)
    for backend, precision in [*OURS, *(OURS_INT8 if files.has_int8 else [])]:
        if _installed(backend) and _runs(backend, precision):
            yield _ours(files, backend, precision, stack)


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _runs(backend: str, precision: str) -> bool:
    return backend_type(backend).why_unavailable(precision, "cpu") is None


def _timed(call: Callable[[], object]) -> Callable[[], float]:
    def run() -> float:
        start = perf_counter()
        call()
        return 1e3 * (perf_counter() - start)

    return run


def _onnxruntime(files: Files) -> Contestant:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if files.threads:
        options.intra_op_num_threads = files.threads
    scores, labels = (
        onnxruntime.InferenceSession(files.onnx(output), options, providers=["CPUExecutionProvider"])
        for output in (SCORES, LABELS)
    )
    blob, name = files.blob(), scores.get_inputs()[0].name
    network = _timed(lambda: scores.run(None, {name: blob}))
    return Contestant("ONNX Runtime alone", "fp32", network, _timed(lambda: labels.run(None, {name: files.blob()})))


def _openvino(files: Files, precision: str) -> Contestant:
    import openvino

    options: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        "PERFORMANCE_HINT": "LATENCY",
    }
    if files.threads:
        options["INFERENCE_NUM_THREADS"] = files.threads
    core = openvino.Core()
    scores, labels = (
        core.compile_model(files.onnx(output), "CPU", options).create_infer_request() for output in (SCORES, LABELS)
    )
    blob = files.blob()
    network = _timed(lambda: scores.infer([blob], share_inputs=True))
    whole = _timed(lambda: labels.infer([files.blob()], share_inputs=True))
    return Contestant("OpenVINO alone", precision, network, whole)


def _ncnn(files: Files, precision: str) -> Contestant:
    import ncnn

    net = ncnn.Net()
    for option in dir(net.opt):
        if option.startswith("use_") and any(kind in option for kind in ("fp16", "bf16", "int8")):
            setattr(net.opt, option, precision == "bf16" and "bf16" in option)
    if files.threads:
        net.opt.num_threads = files.threads
    if net.load_param(str(files.folder / "net.param")) or net.load_model(str(files.folder / "net.bin")):
        raise SystemExit("ncnn cannot load the network")
    name, blob, size_wh = net.input_names()[0], files.blob(), files.image.shape[1::-1]

    def scores(blob: np.ndarray) -> np.ndarray:
        extractor = net.create_extractor()
        extractor.input(name, ncnn.Mat(blob[0]))
        return np.array(extractor.extract(SCORES)[1])

    def labels() -> None:
        small = scores(files.blob()).transpose(1, 2, 0)
        cv2.resize(small, size_wh, interpolation=cv2.INTER_LINEAR).argmax(-1)

    return Contestant("ncnn alone", precision, _timed(lambda: scores(blob)), _timed(labels))


def _opencv4(files: Files, python: str, stack: contextlib.ExitStack) -> Contestant:
    about = {"image": str(files.folder / "image.npy"), "scores": files.onnx(SCORES), "threads": files.threads}
    about |= {"probabilities": files.onnx(PROBABILITIES), "mean": files.mean_bgr, "scale": files.scale}
    command = [str(Path(python).expanduser()), "-c", _OPENCV4, json.dumps(about)]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    stack.callback(worker.wait)
    stack.callback(worker.stdin.close)
    version = worker.stdout.readline().strip()
    if not version.startswith("4."):
        raise SystemExit(f"--opencv4 {python}: expected OpenCV 4, got {version or 'an error'}")

    def ask(what: str) -> Callable[[], float]:
        def run() -> float:
            worker.stdin.write(f"{what}\n")
            worker.stdin.flush()
            return float(worker.stdout.readline())

        return run

    return Contestant(f"OpenCV {version} alone", "fp32", ask("network"), ask("labels"))


def _ours(files: Files, backend: str, precision: str, stack: contextlib.ExitStack) -> Contestant:
    size_hw = files.image.shape[:2]
    options: dict[str, Any] = {"backend": backend, "precision": precision, "threads": files.threads}
    if precision == "int8":
        options["calibration"] = files.calibration
    model = stack.enter_context(dongfeng.load(files.name, weights="random", size=size_hw, **options))
    network = lambda: float(model(files.image).timing["infer"])  # noqa: E731 - as short as its name
    return Contestant(f"dongfeng, {backend}", precision, network, _timed(lambda: model(files.image)))


def _measure(contestants: list[Contestant], repeats: int) -> list[dict[str, Any]]:
    """Rows of medians; the first turn of each warms up and does not count."""
    turns: list[list[tuple[float, float]]] = []
    for _ in range(max(repeats, 1) + 1):
        turns.append([(each.network_ms(), each.labels_ms()) for each in contestants])
    medians = [tuple(map(statistics.median, zip(*column, strict=True))) for column in zip(*turns[1:], strict=True)]
    bare_ms = medians[0][0]
    return [
        {
            "contestant": each.name,
            "precision": each.precision,
            "network_ms": network_ms,
            "labels_ms": labels_ms,
            "network_ratio": network_ms / bare_ms,
            "labels_ratio": labels_ms / bare_ms,
        }
        for each, (network_ms, labels_ms) in zip(contestants, medians, strict=True)
    ]


def _show(report: dict[str, Any], repeats: int) -> None:
    print(f"{report['model']}, {report['height']}x{report['width']}, {os.cpu_count()} cores, medians of {repeats}\n")
    print(f"{'':<28}{'':>6}{'network ms':>12}{'ratio':>8}{'labels ms':>12}{'ratio':>8}")
    for row in report["rows"]:
        print(
            f"{row['contestant']:<28}{row['precision']:>6}{row['network_ms']:>12.1f}{row['network_ratio']:>8.2f}"
            f"{row['labels_ms']:>12.1f}{row['labels_ratio']:>8.2f}"
        )
    print(flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
