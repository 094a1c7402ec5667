"""The speed/accuracy scatter as data: which points, in which series, and which of them no other beats."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from dongfeng.errors import DeviceError

Kind = Literal["measured", "published", "predicted"]
KINDS: tuple[Kind, ...] = ("measured", "published", "predicted")  # the first that a row has is the one to go by
_METRICS = {
    "miou": "published mIoU on Cityscapes {split} (%)",
    "top1": "published top-1 accuracy on ImageNet {split} (%)",
}
_MOST_SHOWN = 40  # characters of a name


class Place(NamedTuple):
    """Where a network stands by one way of knowing its latency; `error_ms` to either side, where it is known."""

    kind: Kind
    ms: float
    error_ms: float | None = None


@dataclass(frozen=True)
class Point:
    """One network at one size: its accuracy, and its latency by every way of knowing it, best first."""

    label: str
    accuracy_percent: float
    places: tuple[Place, ...]

    @property
    def ms(self) -> float:
        """The latency to go by."""
        return self.places[0].ms


@dataclass(frozen=True)
class Series:
    """Points that can be compared: of one size, backend and precision."""

    name: str
    points: tuple[Point, ...]

    @property
    def frontier(self) -> tuple[Point, ...]:
        """The points that no other beats in both speed and accuracy, fastest first."""
        kept: list[Point] = []
        for point in sorted(self.points, key=lambda point: (point.ms, -point.accuracy_percent)):
            if not kept or point.accuracy_percent > kept[-1].accuracy_percent:
                kept.append(point)
        return tuple(kept)


@dataclass(frozen=True)
class Panel:
    """All series of one accuracy metric; `metric` is the label of its axis."""

    metric: str
    series: tuple[Series, ...]


def panels_of(report: Mapping[str, Any]) -> list[Panel]:
    """The panels of a report; rows without a published accuracy or any latency are in none.

    Raises:
        DeviceError: the report holds no rows.
    """
    found: dict[str, dict[tuple[str, ...], list[Point]]] = {}
    for row in rows_of(report):
        point, metric = _point(row), row.get("accuracy_metric")
        if point is not None and metric in _METRICS:
            label = _METRICS[metric].format(split=shown(row.get("accuracy_split")))
            found.setdefault(label, {}).setdefault(_series(row), []).append(point)
    return [Panel(label, tuple(_named(series))) for label, series in found.items()]


def rows_of(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rows of a report.

    Raises:
        DeviceError: it holds none.
    """
    rows = report.get("rows")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
        raise DeviceError("this report holds no rows: give one that df-bench has written, with at least one model")
    return rows


def number(value: object) -> float | None:
    """A value of the report if it is a number above 0, as all those are that are drawn; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value > 0 else None


def shown(value: object) -> str:
    """A text of the report, short and of one line; nothing for None."""
    said = "" if value is None else str(value)
    text = "".join(char if char.isprintable() else " " for char in said)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def size_of(row: Mapping[str, Any]) -> str:
    """Height x width."""
    return f"{shown(row.get('height'))}×{shown(row.get('width'))}"


def _point(row: Mapping[str, Any]) -> Point | None:
    accuracy = number(row.get("accuracy_fraction"))
    places = []
    for kind in KINDS:
        ms = number(row.get(f"{kind}_ms"))
        if ms is not None:
            error_ms = number(row.get("predicted_error_ms")) if kind == "predicted" else None
            places.append(Place(kind, ms, error_ms))
    if accuracy is None or not places:
        return None
    return Point(shown(row.get("model")), 100 * accuracy, tuple(places))


def _series(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (size_of(row), *(shown(row.get(key)) for key in ("backend", "precision", "processor")))


def _named(series: Mapping[tuple[str, ...], Sequence[Point]]) -> Iterable[Series]:
    """Each series by its size and by what else differs between them."""
    differing = [len(set(values)) > 1 for values in zip(*series, strict=True)]
    for key, points in series.items():
        more = [part for part, differs in zip(key[1:], differing[1:], strict=True) if differs and part]
        yield Series(" ".join([key[0], *more]), tuple(points))
