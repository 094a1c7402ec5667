"""A search in which everything is real: latencies of this CPU, accuracies by training on synthetic shapes.

    python benchmarks/search_toyshapes.py RUN [--candidates N] [--steps N] [--workers N] [--kill-after N] [--json]

The space holds narrow backbones for 64x64 pixels. Its blocks are measured through ONNX Runtime on one thread, and every
candidate is trained on one. The search runs in a process of its own, is killed (SIGKILL) after some candidates, and
started again. Then the order of accuracies is checked: among all pairs of trained candidates of which one precedes the
other, how often is the smaller one more accurate? Pruning rests on that being rare. RUN keeps everything, plots
included; called again, it goes on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dongfeng.devices import DeviceProfile, read_profile, write_profile
from dongfeng.devices.stopwatch import Stopwatch
from dongfeng.search import Search, Space, precedes, search
from dongfeng.search.encoding_text import encoding_text
from dongfeng.search.evaluators import ProcessEvaluator, training_evaluator
from dongfeng.search.folder import EvaluationRecord
from dongfeng.search.here import measure_space
from dongfeng.search.report import write_report
from dongfeng.search.run import SearchRun, read_run

WIDTHS, DEPTHS = (8, 16, 32, 64), ((1, 2), (1, 3), (1, 2))
SIZE_HW, CLASSES, STEM = (64, 64), 30, (8, 16)
VALIDATION_IMAGES = 2000
QUANTILES = (0.05, 0.95)  # of all latencies: the window
MOST_MEASURED = 5  # nets of the boundary


def main() -> int:
    """Search, be killed, search on, and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--candidates", type=int, default=48, metavar="N", help="to train (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=1500, metavar="N", help="of a training (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=4, metavar="N", help="drawn at once (default: %(default)s)")
    parser.add_argument("--margin", type=float, default=0.02, help="of accuracy, 0..1 (default: %(default)s)")
    parser.add_argument("--sampler", default="uniform", help="uniform (default) or surrogate")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of measuring (default: %(default)s)")
    parser.add_argument("--kill-after", type=int, default=10, metavar="N", help="candidates; 0: never")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    profile = measured(args)
    if args.child:
        run_search(args, profile)
        return 0
    killed_at = run_killed_once(args)
    write_report(args.run)
    run = read_run(args.run)
    report = report_of(run, args, profile) | {"killed_after": killed_at}
    (args.run / "benchmark.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        show(report)
    return 0


def space() -> Space:
    """Return the space, 721 backbones."""
    return Space.backbone(WIDTHS, DEPTHS, size_hw=SIZE_HW, classes=CLASSES, stem=STEM)


def measured(args: argparse.Namespace) -> DeviceProfile:
    """Return the profile of this machine, measured by the first call."""
    args.run.mkdir(parents=True, exist_ok=True)
    file = args.run / "device.json"
    if not file.exists():
        write_profile(measure_space(space(), args.run / "device.journal", rounds=args.rounds, on_progress=say), file)
    return read_profile(file)


def say(done: int, total: int) -> None:
    """Print the progress of a measurement now and then."""
    if done % 25 == 0 or done == total:
        print(f"measured {done} of {total}", file=sys.stderr, flush=True)


def run_search(args: argparse.Namespace, profile: DeviceProfile) -> None:
    """Search, or finish a search that was killed."""
    everything = Search(space(), latency=profile, window_ms=(0, 1e9)).candidates.latency_ms
    least, most = (round(float(value), 4) for value in np.quantile(everything, QUANTILES))
    evaluate = training_evaluator(
        space(), "toyshapes", steps=args.steps, size_hw=SIZE_HW, validation_images=VALIDATION_IMAGES
    )
    with ProcessEvaluator(evaluate, args.workers) as workers:
        search(
            space(),
            latency=profile,
            evaluate=workers,
            window_ms=(least, most),
            budget=args.candidates,
            batch=args.batch,
            margin=args.margin,
            sampler=args.sampler,
            run_dir=args.run,
        )


def run_killed_once(args: argparse.Namespace) -> int | None:
    """Search in another process, killed once; return the number of logged candidates by then, None if it was not."""
    command = [sys.executable, __file__, *sys.argv[1:], "--child"]
    killed_at = None
    if args.kill_after > 0 and trained(args.run) < args.kill_after:
        process = subprocess.Popen(command, start_new_session=True)
        while process.poll() is None and trained(args.run) < args.kill_after:
            time.sleep(0.2)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed_at = trained(args.run)
            print(f"killed after {killed_at} candidates", file=sys.stderr, flush=True)
        process.wait()
    subprocess.run(command, check=True)
    return killed_at


def trained(folder: Path) -> int:
    """Count the candidates in the log."""
    log = folder / "candidates.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def report_of(run: SearchRun, args: argparse.Namespace, profile: DeviceProfile) -> dict[str, Any]:
    """Return all figures of the report."""
    known = [record for record in run.records if math.isfinite(record.accuracy)]
    last = run.progress[-1]
    front = run.front
    stopwatch = Stopwatch("onnxruntime", "fp32", 1)
    some = front[:: max(1, math.ceil(len(front) / MOST_MEASURED))]
    clocked = stopwatch.nets([space().build(each.encoding) for each in some], 9)
    seconds = [record.seconds for record in run.records]
    return {
        "machine": profile.device,
        "architectures": len(space()),
        "window_ms": list(run.config.window_ms),
        "trained": len(run.records),
        "failed": len(run.records) - len(known),
        "pruned": last.pruned,
        "remaining": last.remaining,
        "steps": args.steps,
        "training_s_median": round(float(np.median(seconds)), 1),
        "training_s_longest": round(max(seconds), 1),
        **violations(known, args.margin),
        "front": [
            {"encoding": encoding_text(each.encoding), "latency_ms": each.latency_ms, "accuracy": each.accuracy}
            for each in front
        ],
        "measured": [
            {"encoding": encoding_text(each.encoding), "predicted_ms": each.latency_ms, "measured_ms": sample.ms}
            for each, sample in zip(some, clocked, strict=True)
        ],
    }


def violations(records: Sequence[EvaluationRecord], margin: float) -> dict[str, Any]:
    """Count how often the smaller one of two comparable candidates is more accurate, and by how much."""
    gaps = [
        smaller.accuracy - larger.accuracy
        for smaller, larger in itertools.permutations(records, 2)
        if precedes(smaller.encoding, larger.encoding)
    ]
    wrong = [gap for gap in gaps if gap > 0]
    beyond = [gap for gap in wrong if gap > margin]
    return {
        "comparable_pairs": len(gaps),
        "violations": len(wrong),
        "violation_rate": round(len(wrong) / max(1, len(gaps)), 4),
        "margin": margin,
        "violations_beyond_margin": len(beyond),
        "violation_rate_beyond_margin": round(len(beyond) / max(1, len(gaps)), 4),
        "largest_violation": round(max(wrong, default=0.0), 4),
    }


def show(report: dict[str, Any]) -> None:
    """Print the figures."""
    for key, value in report.items():
        if not isinstance(value, list) or key == "window_ms":
            print(f"{key:32} {value}")
    print()
    for row in report["front"]:
        print(f"{row['encoding']:32} {row['latency_ms']:8.4f} ms  {row['accuracy']:.4f}")
    print()
    for row in report["measured"]:
        print(f"{row['encoding']:32} predicted {row['predicted_ms']:.4f} ms, measured {row['measured_ms']:.4f} ms")


if __name__ == "__main__":
    raise SystemExit(main())
