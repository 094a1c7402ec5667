"""Two reports side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from dongfeng.benchmark.report import Report, Row, RowKey, key_of, samples_ms
from dongfeng.benchmark.statistics import Ratio, ratio_of_medians


class Compared(NamedTuple):
    """The same thing in both reports: medians in milliseconds, and the second by the first."""

    key: RowKey
    a_ms: float
    b_ms: float
    ratio: Ratio

    def as_row(self) -> Row:
        """As JSON."""
        ratio = {"ratio": self.ratio.ratio, "ratio_low": self.ratio.low, "ratio_high": self.ratio.high}
        return {**self.key._asdict(), "a_ms": self.a_ms, "b_ms": self.b_ms, **ratio, "is_clear": self.ratio.is_clear}


class Unmatched(NamedTuple):
    """What only one report has; `report` is "a" or "b"."""

    key: RowKey
    report: str
    reason: str

    def as_row(self) -> Row:
        """As JSON."""
        return {**self.key._asdict(), "report": self.report, "reason": self.reason}


class Comparison(NamedTuple):
    """What `compare_reports` finds."""

    rows: tuple[Compared, ...]
    unmatched: tuple[Unmatched, ...]
    notes: tuple[str, ...]


def compare_reports(a: Report, b: Report, *, timer: str = "network") -> Comparison:
    """Compare the measurements of two reports, matched by model, size, backend and precision.

    Args:
        a: The report to compare with, from `read_report`.
        b: The other.
        timer: "network", "with_copies" or "image_to_labels".
    """
    of_a, of_b = _measured(a), _measured(b)
    rows, unmatched = [], []
    for key in (*of_a, *(key for key in of_b if key not in of_a)):
        reasons = list(_missing(of_a.get(key), of_b.get(key), timer))
        unmatched += [Unmatched(key, where, reason) for where, reason in reasons]
        if not reasons:
            ours, theirs = (samples_ms(of[key], timer) or [] for of in (of_a, of_b))
            ratio = ratio_of_medians(theirs, ours)
            rows.append(Compared(key, float(np.median(ours)), float(np.median(theirs)), ratio))
    return Comparison(tuple(rows), tuple(unmatched), tuple(_notes(a, b)))


def _measured(report: Report) -> dict[RowKey, Row]:
    return {key_of(row): row for row in report["rows"]}


def _missing(a: Row | None, b: Row | None, timer: str) -> Iterator[tuple[str, str]]:
    """In which report something is that cannot be compared, and why."""
    for name, here, other in (("a", a, b), ("b", b, a)):
        if here is not None and other is None:
            yield name, "the other report has no such row"
        elif here is not None and samples_ms(here, timer) is None:
            yield name, f'holds no samples of the timer "{timer}"'


def _notes(a: Report, b: Report) -> Iterator[str]:
    """Differences that explain ratios, and noise that outdoes them."""
    for name, report in (("A", a), ("B", b)):
        noise = report.get("noise")
        if isinstance(noise, Mapping) and noise.get("is_noisy"):
            yield f"{name} was measured on a machine that was too noisy: ratios near 1 mean nothing"
    for what, of_a, of_b in (
        ("CPU", _at(a, "host", "cpu"), _at(b, "host", "cpu")),
        ("governor", _at(a, "host", "governor"), _at(b, "host", "governor")),
        ("threads", _at(a, "settings", "threads"), _at(b, "settings", "threads")),
    ):
        if of_a != of_b:
            yield f"{what}: {of_a} in A, {of_b} in B"
    versions = [report["versions"] if isinstance(report.get("versions"), Mapping) else {} for report in (a, b)]
    for name in sorted({*versions[0], *versions[1]}):
        of_a, of_b = (found.get(name) for found in versions)
        if of_a != of_b:
            yield f"{name}: {of_a} in A, {of_b} in B"


def _at(report: Report, part: str, key: str) -> Any:
    found = report.get(part)
    return found.get(key) if isinstance(found, Mapping) else None
