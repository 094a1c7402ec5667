"""Parts of reports to test with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dongfeng.benchmark.report import BenchReport, BenchRow, Combination, TimerResult, Timers, new_row
from dongfeng.benchmark.statistics import summarize


def combination(model: str, size_hw: tuple[int, int], backend: str, precision: str) -> Combination:
    return Combination(model=model, height=size_hw[0], width=size_hw[1], backend=backend, precision=precision)


def a_timer(samples_ms: Sequence[float], **more: Any) -> TimerResult:
    found = {**vars(summarize(samples_ms)), "samples_ms": tuple(samples_ms)}
    return TimerResult(**{**found, "is_steady": True, "warm_up_runs": 6, "warm_up_s": 0.5, **more})


def a_row(model: str = "df1", size_hw: tuple[int, int] = (224, 224)) -> BenchRow:
    return new_row(combination(model, size_hw, "ncnn", "fp32"), "this-machine")


def a_report(**of_row: Any) -> BenchReport:
    """One row of two timers."""
    timer = a_timer([1.0, 2.0, 3.0])
    timers = Timers(network=timer, with_copies=timer)
    row = BenchRow(**{**vars(a_row()), "measured_ms": 2.0, "timers": timers, **of_row})
    return BenchReport(kind="run", rows=(row,))
