"""How published results are shown."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dongfeng.zoo.models import ModelInfo

HEADLINES = (("top1", "val", "top-1"), ("miou", "val", "mIoU val"), ("miou", "test", "mIoU test"))


def accuracies(info: ModelInfo) -> list[float | None]:
    """The published value of each of `HEADLINES`, in percent."""
    results = [info.result(metric, split=split) for metric, split, _ in HEADLINES]
    return [None if result is None else round(100 * result.value, 1) for result in results]


def published_rows(info: ModelInfo) -> list[dict[str, Any]]:
    """Every published result, for JSON: the value under a key that ends in its unit."""
    rows = []
    for result in info.published:
        row = asdict(result) | {"per_class": dict(result.per_class)}
        size_hw = row.pop("size_hw") or (None, None)
        unit = row.pop("unit").replace("frames/s", "frames_per_s").lower()
        row |= {"height": size_hw[0], "width": size_hw[1], f"value_{unit}": row.pop("value")}
        rows.append(row)
    return rows
