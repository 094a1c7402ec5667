"""The confusion matrix of labels, and the IoU and accuracy that follow from it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.integer]


class Confusion:
    """Counts of pixels, or of whole images, by true and predicted class.

    Args:
        classes: Number of classes; it grows with the labels that are added.

    Attributes:
        counts: (C, C) int64, the true class down and the predicted one across.

    Example:
        >>> confusion = Confusion(2)
        >>> confusion.add(predicted=np.array([0, 1, 1, 1]), truth=np.array([0, 0, 1, 1]))
        >>> confusion.iou()
        [0.5, 0.6666666666666666]
    """

    def __init__(self, classes: int = 0) -> None:
        self.counts: npt.NDArray[np.int64] = np.zeros((classes, classes), np.int64)

    def add(self, predicted: Labels, truth: Labels, *, ignore: int | None = None) -> None:
        """Count the labels of one image.

        Args:
            predicted: Integers of at least 0, any shape.
            truth: The true ones, the same shape.
            ignore: True label that counts for nothing.
        """
        predicted, truth = np.ravel(predicted), np.ravel(truth)
        if ignore is not None:
            predicted, truth = predicted[truth != ignore], truth[truth != ignore]
        known = len(self.counts)
        classes = max(known, *(int(labels.max(initial=0)) + 1 for labels in (predicted, truth) if labels.size), 0)
        pairs = truth.astype(np.int64) * classes + predicted
        counts = np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
        counts[:known, :known] += self.counts
        self.counts = counts

    def false_positives(self, *classes: int) -> int:
        """Number of labels that were taken for one of these classes, and are of none of them."""
        wrong = np.delete(self.counts, classes, axis=0)
        return int(wrong[:, classes].sum())

    def joint_iou(self, *classes: int) -> float:
        """IoU of some classes taken as one, 0..1; NaN where they are neither true nor predicted anywhere."""
        rows = self.counts[list(classes)]
        union = int(rows.sum()) + self.false_positives(*classes)
        return int(rows[:, classes].sum()) / union if union else math.nan

    def iou(self) -> list[float]:
        """TP / (TP + FP + FN) of each class; NaN where it is neither true nor predicted anywhere."""
        right = self.counts.diagonal()
        union = self.counts.sum(axis=0) + self.counts.sum(axis=1) - right
        return [part / whole if whole else math.nan for part, whole in zip(right.tolist(), union.tolist(), strict=True)]

    def mean_iou(self) -> float:
        """Mean IoU of the classes that have one."""
        return average(self.iou())

    def accuracy(self) -> float:
        """Share of the labels that are right, 0..1; 0 where none was counted."""
        return int(self.counts.trace()) / max(int(self.counts.sum()), 1)


def average(scores: Iterable[float]) -> float:
    """Mean of the scores that are not NaN; NaN where there is none.

    Example:
        >>> average([0.5, float("nan"), 1.0])
        0.75
    """
    valid = [score for score in scores if not math.isnan(score)]
    return sum(valid) / len(valid) if valid else math.nan
