"""The speed/accuracy scatter as data: its points, their series, and those that no other point beats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dongfeng.benchmark.report import BenchReport, BenchRow, LeftOut
from dongfeng.support.pareto import frontier

Origin = Literal["measured", "published", "predicted"]
ORIGINS: tuple[Origin, ...] = ("measured", "published", "predicted")  # the first that a row has is its headline
_METRICS = {
    "miou": "published mIoU on Cityscapes {split} (%)",
    "top1": "published top-1 accuracy on ImageNet {split} (%)",
}
_MOST_SHOWN = 40  # characters of a name


@dataclass(frozen=True)
class KnownLatency:
    """A latency of a network by its origin; `error_ms` is its error bar to either side, None where not known."""

    origin: Origin
    ms: float
    error_ms: float | None = None


@dataclass(frozen=True)
class Point:
    """One network at one size: its accuracy, and its latency by every origin, best first."""

    label: str
    accuracy_percent: float
    latencies: tuple[KnownLatency, ...]

    @property
    def ms(self) -> float:
        """The headline latency."""
        return self.latencies[0].ms


@dataclass(frozen=True)
class Series:
    """Points that can be compared: of one size, backend and precision."""

    name: str
    points: tuple[Point, ...]

    @property
    def frontier(self) -> tuple[Point, ...]:
        """The points that no other beats in both speed and accuracy, fastest first."""
        points = self.points
        best = frontier([point.ms for point in points], [point.accuracy_percent for point in points])
        return tuple(points[index] for index in best)


@dataclass(frozen=True)
class Panel:
    """All series of one accuracy metric; `metric` is the label of its axis."""

    metric: str
    series: tuple[Series, ...]

    @property
    def points(self) -> list[Point]:
        """The points of all series."""
        return [point for series in self.series for point in series.points]


def panels_of(report: BenchReport) -> list[Panel]:
    """Return the panels of a report; rows without a published accuracy or any latency are in none."""
    found: dict[str, dict[tuple[str, ...], list[Point]]] = {}
    for row in report.rows:
        point = _point(row)
        if point is not None and row.accuracy_metric in _METRICS:
            label = _METRICS[row.accuracy_metric].format(split=shown(row.accuracy_split))
            key = (size_of(row), *map(shown, (row.backend, row.precision, row.processor)))
            found.setdefault(label, {}).setdefault(key, []).append(point)
    return [Panel(label, tuple(_named(series))) for label, series in found.items()]


def shown(value: str | None) -> str:
    """Shorten a text of a report to one line of printable characters; None becomes an empty text."""
    text = "".join(char if char.isprintable() else " " for char in value or "")
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def size_of(row: BenchRow | LeftOut) -> str:
    """Return height x width."""
    return f"{row.height}×{row.width}"


def _point(row: BenchRow) -> Point | None:
    latencies: tuple[tuple[Origin, float | None, float | None], ...] = (
        ("measured", row.measured_ms, None),
        ("published", row.published_ms, None),
        ("predicted", row.predicted_ms, row.predicted_error_ms),
    )
    found = tuple(KnownLatency(origin, ms, error_ms) for origin, ms, error_ms in latencies if ms is not None)
    if row.accuracy_fraction is None or not found:
        return None
    return Point(shown(row.model), 100 * row.accuracy_fraction, found)


def _named(series: Mapping[tuple[str, ...], Sequence[Point]]) -> Iterable[Series]:
    """Name each series by its size, and by what else differs between them."""
    differing = [len(set(values)) > 1 for values in zip(*series, strict=True)]
    for key, points in series.items():
        more = [part for part, differs in zip(key[1:], differing[1:], strict=True) if differs and part]
        yield Series(" ".join([key[0], *more]), tuple(points))
