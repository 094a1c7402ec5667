"""ImageNet's metrics: top-1 and top-5."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dongfeng.errors import DongfengError


class TopK:
    """Counts how often the true class is the most probable one, and how often among the five most probable.

    Of equal scores the largest index is first, as in Caffe.

    Attributes:
        images: Number of images added.
        top1: Number of those whose true class came first.
        top5: Number of those whose true class came among the first five.

    Example:
        >>> metric = TopK()
        >>> metric.add(np.array([0.1, 0.7, 0.2]), 2)
        2
        >>> metric.top1, metric.top5, metric.images
        (0, 1, 1)
    """

    def __init__(self) -> None:
        self.images = self.top1 = self.top5 = 0

    def add(self, scores: npt.NDArray[np.floating], label: int) -> int:
        """Count one image.

        Args:
            scores: (C,) float of any scale.
            label: Index of the true class.

        Returns:
            Rank of the true class, 1 for the most probable.

        Raises:
            DongfengError: a score is NaN.
        """
        if np.isnan(scores).any():
            raise DongfengError("the scores hold NaN; check the network's weights and input")
        mine = scores[label]
        place = 1 + int((scores > mine).sum()) + int((scores[label + 1 :] == mine).sum())
        self.images += 1
        self.top1 += place == 1
        self.top5 += place <= 5
        return place
