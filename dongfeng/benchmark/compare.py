"""Two reports side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal

import numpy as np

from dongfeng.benchmark.report import BenchReport, BenchRow, Combination, TimerName
from dongfeng.benchmark.report_file import read_report
from dongfeng.benchmark.statistics import ratio_of_medians
from dongfeng.support.json_dataclass import as_json

Side = Literal["a", "b"]


@dataclass(frozen=True, kw_only=True)
class ComparedRow(Combination):
    """A row that both reports have.

    Attributes:
        a_ms: Median in the first report.
        b_ms: Median in the second.
        ratio: The second divided by the first.
        ratio_low: Lower end of the 95 % interval of the ratio.
        ratio_high: Upper end.
        is_clear: Whether the medians differ beyond their noise.
    """

    a_ms: float
    b_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    is_clear: bool


@dataclass(frozen=True, kw_only=True)
class UnmatchedRow(Combination):
    """A row of one report that cannot be compared, and why."""

    report: Side
    reason: str


@dataclass(frozen=True)
class ReportComparison:
    """Two reports compared.

    Attributes:
        timer: The timer whose medians were compared.
        rows: What both reports have.
        unmatched: What only one has.
        notes: Differences between the machines and programs that may explain the ratios.
    """

    timer: TimerName
    rows: tuple[ComparedRow, ...]
    unmatched: tuple[UnmatchedRow, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        found: dict[str, Any] = as_json(self)
        return found


def compare_reports(
    a: BenchReport | str | PathLike[str], b: BenchReport | str | PathLike[str], *, timer: TimerName = "network"
) -> ReportComparison:
    """Compare the measurements of two reports, matched by model, size, backend and precision.

    Args:
        a: The report to compare with, or its file.
        b: The other.
        timer: The timer to compare.

    Raises:
        DeviceError: a file cannot be read or is no report.
    """
    a, b = (found if isinstance(found, BenchReport) else read_report(found) for found in (a, b))
    of_a, of_b = ({row.key: row for row in report.rows} for report in (a, b))
    rows: list[ComparedRow] = []
    unmatched: list[UnmatchedRow] = []
    for key in (*of_a, *(key for key in of_b if key not in of_a)):
        ours, theirs = (None if row is None else row.timer(timer) for row in (of_a.get(key), of_b.get(key)))
        if ours is not None and theirs is not None:
            rows.append(_compared(key, ours.samples_ms, theirs.samples_ms))
        else:
            unmatched += _unmatched(key, of_a.get(key), of_b.get(key), timer)
    return ReportComparison(timer, tuple(rows), tuple(unmatched), tuple(_notes(a, b)))


def _compared(key: Combination, a_ms: Sequence[float], b_ms: Sequence[float]) -> ComparedRow:
    ratio = ratio_of_medians(b_ms, a_ms)
    return ComparedRow(
        **vars(key),
        a_ms=float(np.median(a_ms)),
        b_ms=float(np.median(b_ms)),
        ratio=ratio.ratio,
        ratio_low=ratio.low,
        ratio_high=ratio.high,
        is_clear=ratio.is_clear,
    )


def _unmatched(key: Combination, a: BenchRow | None, b: BenchRow | None, timer: TimerName) -> Iterator[UnmatchedRow]:
    sides: tuple[tuple[Side, BenchRow | None, BenchRow | None], ...] = (("a", a, b), ("b", b, a))
    for side, row, other in sides:
        if row is not None and other is None:
            yield UnmatchedRow(**vars(key), report=side, reason="the other report has no such row")
        elif row is not None and row.timer(timer) is None:
            yield UnmatchedRow(**vars(key), report=side, reason=f'holds no samples of the timer "{timer}"')


def _notes(a: BenchReport, b: BenchReport) -> Iterator[str]:
    """Yield the differences that explain ratios, and the noise that exceeds them."""
    for name, report in (("A", a), ("B", b)):
        if report.noise is not None and report.noise.is_noisy:
            yield f"{name} was measured on a machine that was too noisy: ratios near 1 mean nothing"
    threads = [report.settings and report.settings.threads for report in (a, b)]
    facts = [
        ("CPU", a.host.cpu, b.host.cpu),
        ("governor", a.host.governor, b.host.governor),
        ("threads", *threads),
        *((name, a.versions.get(name), b.versions.get(name)) for name in sorted({*a.versions, *b.versions})),
    ]
    for what, of_a, of_b in facts:
        if of_a != of_b:
            yield f"{what}: {of_a} in A, {of_b} in B"
