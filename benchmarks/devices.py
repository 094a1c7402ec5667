"""How well device profiles predict: figures they were fitted to, figures left out, figures never seen.

    python benchmarks/devices.py FOLDER [--json]
    python benchmarks/devices.py --measure JOURNAL [--backend B] [--threads N] [--rounds N] [--json]

FOLDER holds the published tables (CSV). TX2: every published latency beside the fit to the eight of our networks, and
beside the fit to the other seven. GTX 1080 Ti: a profile of the DF1 logs alone against the DFlite logs, layer by layer,
and against DF2-Seg's published frame rates. Titan X: DF1 and DFlite logs alone against DF2-Seg's.

--measure takes a profile of this machine over the backbone search space at 224x224 (or finishes the one in JOURNAL),
then measures five backbones that it was not made from, and sets them beside their predictions. Both sides are told as
they would be at the journal's usual yardstick; measured_ms is what the clock showed in the quietest pass.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from dongfeng.architectures import DFLITE
from dongfeng.devices import (
    BackboneKernels,
    DeviceProfile,
    kernel_latency_ms,
    measure_profile,
    predict,
    published_points,
    timed_net,
)
from dongfeng.devices.journal import Journal
from dongfeng.devices.stopwatch import Stopwatch
from dongfeng.tools.published_logs import read_logs
from dongfeng.tools.shipped_profiles import build_gtx1080ti, build_titanx, build_tx2, tx2_left_out

DF1, DFLITE_SEG = ("df1seg", "df1seg_d8"), ("dflite_seg", "dflite_seg_d8")
DF2 = ("df2seg1", "df2seg2")


def main() -> int:
    """Print the tables, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="folder of the published tables (CSV)")
    parser.add_argument("--measure", type=Path, metavar="JOURNAL", help="measure this machine; file to keep it in")
    parser.add_argument("--backend", default="onnxruntime", help="for --measure (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="for --measure (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="for --measure (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    args = parser.parse_args()
    if (args.folder is None) == (args.measure is None):
        parser.error("give a folder, or --measure")
    report = published_report(args.folder) if args.folder else measured_report(args)
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        for title, rows in report.items():
            show(title, rows)
    return 0


def published_report(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Everything that the published tables tell."""
    gtx = build_gtx1080ti(folder, lambda model: model in DF1)
    titan = build_titanx(folder, lambda model: model in (*DF1, *DFLITE_SEG))
    return {
        "tx2": tx2_rows(build_tx2(folder)),
        "gtx1080ti from DF1 logs": [*layer_rows(gtx, folder), *held_out_rows(gtx)],
        "titanx from DF1 and DFlite logs": held_out_rows(titan),
    }


def measured_report(args: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """A profile of this machine beside five backbones measured whole."""
    space = BackboneKernels()
    profile = measure_profile(
        args.measure,
        kernels=space.kernels(),
        calibration=space.calibration_nets(),
        backend=args.backend,
        threads=args.threads,
        rounds=args.rounds,
        on_progress=lambda done, total: print(f"\r{done}/{total}", end="", file=sys.stderr, flush=True),
    )
    nets = {name: timed_net(name, space.size_hw) for name in ("df1", "df2", "df2a")}
    nets["dflite"] = space.backbone(DFLITE.encoding)
    nets["widening early"] = space.backbone(((64, 128), (128, 256, 256), (256, 512, 512, 512)))
    stopwatch = Stopwatch(args.backend, "fp32", args.threads)
    usual_ms = Journal(args.measure, stopwatch.about()).usual_yardstick_ms
    passes = [[stopwatch.net(net, 9) for net in nets.values()] for _ in range(args.rounds)]
    rows = []
    for (name, net), samples in zip(nets.items(), zip(*passes, strict=True), strict=True):
        quietest, estimate = min(samples, key=lambda sample: sample.yardstick_ms), predict(net, profile)
        usual = quietest.ms * usual_ms / quietest.yardstick_ms
        row = {"model": name, "predicted_ms": estimate.total_ms, "error_ms": estimate.error_ms}
        row |= {"measured_ms": quietest.ms, "measured_usual_ms": usual, "error": estimate.total_ms / usual - 1}
        rows.append(row)
    return {f"{profile.device}, {args.backend}, {args.threads} threads, gap {profile.gap_us} us": rows}


def tx2_rows(profile: DeviceProfile) -> list[dict[str, Any]]:
    """Published, fitted, and predicted by a fit to the other points (None for points that were never fitted to)."""
    left_out = dict(tx2_left_out(profile))
    rows = []
    for point in published_points(profile):
        fitted_ms = predict(timed_net(point.model, point.computed_hw or point.size_hw), profile).total_ms
        left_ms = left_out.get(point)
        row = about(point.model, point.size_hw, point.ms, fitted_ms)
        rows.append({**row, "left_out_ms": left_ms, "left_out_error": left_ms and left_ms / point.ms - 1})
    return rows


def held_out_rows(profile: DeviceProfile) -> list[dict[str, Any]]:
    """DF2-Seg's published latencies and their predictions."""
    points = [point for point in published_points(profile) if point.model in DF2]
    estimates = [predict(timed_net(point.model, point.size_hw), profile) for point in points]
    return [
        {
            **about(p.model, p.size_hw, p.ms, e.total_ms),
            "error_ms": e.error_ms,
            "interpolated_ms": e.share_ms("interpolated"),
        }
        for p, e in zip(points, estimates, strict=True)
    ]


def layer_rows(profile: DeviceProfile, folder: Path) -> list[dict[str, Any]]:
    """The DFlite logs' totals, and the median error of their layers."""
    rows = []
    for log in read_logs(folder, "trt_1080ti", "fused"):
        if log.key.model in DFLITE_SEG:
            ms = [kernel_latency_ms(profile, kernel) for kernel, _ in log.samples]
            errors = [abs(ours / theirs - 1) for ours, (_, theirs) in zip(ms, log.samples, strict=True)]
            row = about(*log.key, log.total_ms, sum(ms))
            rows.append({**row, "median_layer_error": statistics.median(errors)})
    return rows


def about(model: str, size_hw: tuple[int, int], published_ms: float, predicted_ms: float) -> dict[str, Any]:
    """What every row has."""
    size = {"model": model, "height": size_hw[0], "width": size_hw[1]}
    return {
        **size,
        "published_ms": published_ms,
        "predicted_ms": predicted_ms,
        "error": predicted_ms / published_ms - 1,
    }


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """One table; errors in percent."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    print(f"\n{title}\n" + "".join(f"{column:>20}" for column in columns))
    for row in rows:
        print("".join(f"{written(column, row.get(column)):>20}" for column in columns))


def written(column: str, value: object) -> str:
    """A cell."""
    if isinstance(value, float):
        return f"{100 * value:+.1f} %" if column.endswith("error") else f"{value:.3f}"
    return "" if value is None else str(value)


if __name__ == "__main__":
    raise SystemExit(main())
