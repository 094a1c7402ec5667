"""Cityscapes scores beside the published ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dongfeng.datasets.cityscapes_metrics import Scores
from dongfeng.datasets.confusion import average
from dongfeng.zoo.models import ModelInfo

AVERAGE = "average"
Group = Literal["class", "category"]


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """The scores of one class or category, or their average, 0..1; None where there is no such score.

    Attributes:
        group: What is scored.
        name: Name of the class or category, or "average".
        iou_fraction: Its IoU.
        published_iou_fraction: The IoU that the model's authors published.
        instance_iou_fraction: Its instance-level IoU.
        published_instance_iou_fraction: The instance-level IoU that they published.
    """

    group: Group
    name: str
    iou_fraction: float | None
    published_iou_fraction: float | None
    instance_iou_fraction: float | None
    published_instance_iou_fraction: float | None


def score_rows(scores: Scores, info: ModelInfo | None, split: str) -> tuple[ScoreRow, ...]:
    """Set the scores of all classes, then of all categories, each with their average, beside the published ones.

    Args:
        scores: The scores; NaN becomes None.
        info: The model; None for one of which nothing was published.
        split: Such as "val".
    """
    classes = _rows("class", scores.iou, scores.instance_iou, info, split)
    return classes + _rows("category", scores.category_iou, scores.category_instance_iou, info, split)


def _rows(
    group: Group, iou: Mapping[str, float], instance_iou: Mapping[str, float], info: ModelInfo | None, split: str
) -> tuple[ScoreRow, ...]:
    ours, ours_of_instances = _with_average(iou), _with_average(instance_iou)
    theirs, theirs_of_instances = (_published(info, metric, group, split) for metric in ("miou", "mniou"))
    return tuple(
        ScoreRow(
            group=group,
            name=name,
            iou_fraction=ours[name],
            published_iou_fraction=theirs.get(name),
            instance_iou_fraction=ours_of_instances[name],
            published_instance_iou_fraction=theirs_of_instances.get(name),
        )
        for name in (*iou, AVERAGE)
    )


def _with_average(scores: Mapping[str, float]) -> dict[str, float | None]:
    every = {**scores, AVERAGE: average(scores.values())}
    return {name: None if math.isnan(score) else score for name, score in every.items()}


def _published(info: ModelInfo | None, metric: str, group: Group, split: str) -> dict[str, float]:
    """Return published values by name; those with single classes rather than those without."""
    results = () if info is None else info.published
    found = [result for result in results if (result.metric, result.group, result.split) == (metric, group, split)]
    best = max(found, key=lambda result: len(result.per_class), default=None)
    return {} if best is None else {**best.per_class, AVERAGE: best.value}
