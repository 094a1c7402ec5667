"""Cityscapes scores beside the published ones, as JSON and as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dongfeng.cli.output import print_table
from dongfeng.errors import UnknownModel

if TYPE_CHECKING:
    from dongfeng.datasets.cityscapes_metrics import Scores
    from dongfeng.zoo.manifest import Published
    from dongfeng.zoo.models import ModelInfo

Row = dict[str, Any]
AVERAGE = "average"
_VALUES = ("iou_fraction", "published_iou_fraction", "instance_iou_fraction", "published_instance_iou_fraction")


def as_json(model: str, split: str, scores: Scores) -> dict[str, Any]:
    """The scores of each class and category and their averages, 0..1, with what was published of that model and split.

    Args:
        model: A zoo name; of any other model nothing was published.
        split: Such as "val".
        scores: The scores; NaN becomes None.
    """
    from dongfeng.zoo.models import model_info

    try:
        info = model_info(model)
    except UnknownModel:
        info = None
    rows = _rows("class", scores.iou, scores.instance_iou, info, split)
    rows += _rows("category", scores.category_iou, scores.category_instance_iou, info, split)
    (miou,) = (row["iou_fraction"] for row in rows if (row["group"], row["name"]) == ("class", AVERAGE))
    return {"miou": miou, "rows": rows}


def _rows(
    group: str, iou: Mapping[str, float], instance_iou: Mapping[str, float], info: ModelInfo | None, split: str
) -> list[Row]:
    columns: tuple[Mapping[str, float | None], ...] = (
        _with_average(iou),
        _published(info, "miou", group, split),
        _with_average(instance_iou),
        _published(info, "mniou", group, split),
    )
    return [
        {"group": group, "name": name} | {key: values.get(name) for key, values in zip(_VALUES, columns, strict=True)}
        for name in (*iou, AVERAGE)
    ]


def _with_average(scores: Mapping[str, float]) -> dict[str, float | None]:
    from dongfeng.datasets.confusion import average

    every = {**scores, AVERAGE: average(scores.values())}
    return {name: None if math.isnan(score) else score for name, score in every.items()}


def _published(info: ModelInfo | None, metric: str, group: str, split: str) -> dict[str, float]:
    """Published values by name; those with single classes rather than those without."""
    found: list[Published] = (
        []
        if info is None
        else [
            result for result in info.published if (result.metric, result.group, result.split) == (metric, group, split)
        ]
    )
    best = max(found, key=lambda result: len(result.per_class), default=None)
    return {} if best is None else {**best.per_class, AVERAGE: best.value}


def print_scores(rows: Sequence[Row]) -> None:
    """One table of the classes and one of the categories, in percent."""
    for group in ("class", "category"):
        print_table(
            (group, "IoU %", "published %", "iIoU %", "published %"),
            [(row["name"], *(_percent(row[key]) for key in _VALUES)) for row in rows if row["group"] == group],
        )


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction
