"""`Metrics`: the quality of a network on held-out images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dongfeng.support.strict_json import Node


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Quality of a network on held-out images, 0..1; None where there is nothing to measure it on.

    Attributes:
        miou: Mean IoU of the classes, over all pixels of all images; of a segmentation.
        iou: IoU of each class; None for a classification.
        top1: Share of the images whose class is right; of a classification.
    """

    miou: float | None = None
    iou: Mapping[str, float | None] | None = None
    top1: float | None = None

    @property
    def accuracy(self) -> float | None:
        """The one number of the task: mIoU of a segmentation, top-1 of a classification."""
        return self.top1 if self.iou is None else self.miou

    def to_json(self) -> dict[str, object]:
        """The values of the task as JSON has them."""
        return {"top1": self.top1} if self.iou is None else {"miou": self.miou, "iou": dict(self.iou)}

    @classmethod
    def from_json(cls, node: Node) -> Metrics | None:
        """Read what `to_json` has written among other members; None where there is none of it."""
        members = node.members()
        if "top1" in members:
            return cls(top1=members["top1"].number_or_none())
        if "miou" not in members or "iou" not in members:
            return None
        iou = {name: value.number_or_none() for name, value in members["iou"].members().items()}
        return cls(miou=members["miou"].number_or_none(), iou=iou)
