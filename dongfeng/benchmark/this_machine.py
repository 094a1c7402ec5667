"""Measuring models on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from dongfeng.benchmark.contestant import Contestant, Entry, open_contestant
from dongfeng.benchmark.host import BusyMeter, Busyness
from dongfeng.benchmark.interleaved import OnProgress, Rules, Timed, take_turns
from dongfeng.benchmark.report import THIS_MACHINE, Report, Row, key_of, new_report, new_row
from dongfeng.benchmark.statistics import MOST_DRIFT, summarize
from dongfeng.devices.pinning import pinned
from dongfeng.errors import BackendUnavailable, DongfengError

MOST_OTHERS = 0.05
MOST_STOLEN = 0.01
_PROFILED_RUNS = 10
_HEADLINES = ("network", "with_copies")  # the first that there is


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        processor: "auto", "cpu", "cuda" or "cuda:N".
        threads: Threads of the CPU; None: one for each physical core.
        name: What to call this machine.
        rules: How long.
        with_layers: Whether to profile the layers as well, in a run of its own.
    """

    processor: str = "auto"
    threads: int | None = None
    name: str = THIS_MACHINE
    rules: Rules = field(default_factory=Rules)
    with_layers: bool = False


def measure_here(
    entries: Sequence[Entry], settings: Settings | None = None, *, on_progress: OnProgress | None = None
) -> Report:
    """Measure models on this machine, in turns.

    Args:
        entries: What to measure; what cannot run here is left out, and listed with the reason.
        settings: How.
        on_progress: Called after every turn with the share that is done.

    Returns:
        A report of kind "run"; docs/bench.md describes it.

    Raises:
        DongfengError: nothing of it can run here; the first reason.
    """
    settings = settings or Settings()
    with pinned(settings.threads) as (threads, cpus), ExitStack() as stack:
        ready, left_out = _open(entries, settings, threads, stack)
        calls = [(each, name, run) for each in ready for name, run in each.runs.items() if run is not None]
        meter = BusyMeter(cpus or ())
        timed = take_turns([run for _, _, run in calls], settings.rules, on_progress=on_progress)
        busyness = meter.read()
        rows = [
            _row(each, settings.name, {name: it for (of, name, _), it in zip(calls, timed, strict=True) if of is each})
            for each in ready
        ]
        layers, notes = _layers(ready, settings) if settings.with_layers else ([], [])
    return new_report(
        "run",
        rows,
        settings={
            "threads": threads,
            "pinned_cpus": None if cpus is None else list(cpus),
            "seconds_per_timer": settings.rules.seconds,
            "least_samples": settings.rules.least_samples,
            "interleaved": len(ready) > 1,
        },
        noise=noise_of(rows, busyness),
        layers=layers,
        left_out=left_out,
        notes=notes,
    )


def _open(
    entries: Sequence[Entry], settings: Settings, threads: int, stack: ExitStack
) -> tuple[list[Contestant], list[Row]]:
    ready: list[Contestant] = []
    left_out: list[Row] = []
    for entry in entries:
        try:
            each = open_contestant(entry, device=settings.processor, threads=threads)
        except DongfengError as error:
            left_out.append({**entry.about(), "reason": str(error)})
            continue
        stack.callback(each.model.close)
        ready.append(each)
    if not ready:
        raise BackendUnavailable(left_out[0]["reason"] if left_out else "df-bench: nothing to measure; name a model")
    return ready, left_out


def _row(each: Contestant, name: str, timed: dict[str, Timed]) -> Row:
    timers = {timer: _timer(timed[timer]) if timer in timed else None for timer in each.runs}
    headline = next(timer for timer in _HEADLINES if timers[timer] is not None)
    return new_row(
        **each.entry.about(),
        device=name,
        processor=each.model.device,
        measured_ms=(timers[headline] or {})["median_ms"],
        measured_timer=headline,
        measured_source="here",
        weights=each.weights,
        weights_sha256=each.weights_sha256,
        model_sha256=hashlib.sha256(each.content()).hexdigest(),
        timers=timers,
    )


def _timer(timed: Timed) -> Row:
    found = summarize(timed.samples_ms)
    return {
        **found._asdict(),
        "is_varied": found.is_varied,
        "is_drifting": found.is_drifting,
        "is_steady": timed.warm_up.is_steady,
        "warm_up_runs": timed.warm_up.runs,
        "warm_up_s": round(timed.warm_up.seconds, 6),
        "samples_ms": [round(ms, 6) for ms in timed.samples_ms],
    }


def noise_of(rows: Sequence[Row], busyness: Busyness) -> dict[str, Any]:
    """Whether another run could well give other medians, and why.

    Args:
        rows: Rows with timers.
        busyness: What others had of the CPUs.
    """
    reasons = []
    others, stolen = busyness
    if others is not None and others > MOST_OTHERS:
        reasons.append(f"other programs used {100 * others:.0f} % of the CPUs; end them")
    if stolen is not None and stolen > MOST_STOLEN:
        reasons.append(f"other virtual machines took {100 * stolen:.0f} % of the CPUs")
    timers = [
        (f"{key_of(row)}, {name}", timer) for row in rows for name, timer in row["timers"].items() if timer is not None
    ]
    drifting = [(timer["drift_fraction"], what) for what, timer in timers if timer["is_drifting"]]
    if drifting:
        worst, what = max(drifting)
        reasons.append(
            f"medians of {len(drifting)} of {len(timers)} timers differed by more than {100 * MOST_DRIFT:.0f} % within "
            f"the run (worst: {what}, {100 * worst:.0f} %)"
        )
    unsettled = [what for what, timer in timers if not timer["is_steady"]]
    if unsettled:
        reasons.append(f"{len(unsettled)} of {len(timers)} timers never settled while warming up ({unsettled[0]})")
    return {"is_noisy": bool(reasons), **busyness._asdict(), "reasons": reasons}


def _layers(ready: Sequence[Contestant], settings: Settings) -> tuple[list[Row], list[str]]:
    """Where the time goes, and what cannot tell."""
    rows, notes = [], []
    for each in ready:
        zeros = each.model.network_input(np.zeros((*each.entry.size_hw, 3), np.uint8))
        found = each.model.runner.profile(zeros, _PROFILED_RUNS)
        if found is None:
            notes.append(f"backend {each.entry.backend} has no layer profile; use onnxruntime or openvino")
            continue
        total = sum(layer.ms for layer in found) or 1.0
        about = {**each.entry.about(), "device": settings.name, "error_ms": None, "basis": "measured"}
        rows += [{**about, **asdict(layer), "share_fraction": layer.ms / total} for layer in found]
    return rows, list(dict.fromkeys(notes))
