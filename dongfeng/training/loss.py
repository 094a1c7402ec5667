"""The loss: cross-entropy of the scores, enlarged to the labels' size where they are a map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dongfeng.training.batches import Pixels
from dongfeng.training.samples import IGNORE

if TYPE_CHECKING:
    import torch


def cross_entropy(
    scores: torch.Tensor, targets: torch.Tensor, label_smoothing: float = 0.0, pixels: Pixels | None = None
) -> torch.Tensor:
    """Compute the mean cross-entropy in single precision.

    Scores of a map are enlarged by half-pixel bilinear interpolation: but for the outermost pixels that is what the
    nets' fixed deconvolution does, at a fraction of its cost, and only where labels are looked at.

    Args:
        scores: (N, C, h, w), or (N, C) or (N, C, 1, 1) of a classification.
        targets: (N, H, W) labels, of which 255 counts for nothing; or (N,) classes.
        label_smoothing: Probability spread over all classes.
        pixels: Pixels of the image that have labels; None: all, the image has the size of the labels.

    Returns:
        A scalar; 0 where all labels are 255.
    """
    from torch.nn import functional

    scores = scores.float()
    if targets.dim() == 1:
        return functional.cross_entropy(scores.flatten(1), targets.long(), label_smoothing=label_smoothing)
    if pixels is None:
        pixels = Pixels((targets.shape[1], targets.shape[2]), slice(None), slice(None))
    total = functional.cross_entropy(
        _at(scores, pixels),
        targets.reshape(-1).long(),
        ignore_index=IGNORE,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    counted: torch.Tensor = (targets != IGNORE).sum().clamp(min=1)
    return total / counted


def _at(scores: torch.Tensor, pixels: Pixels) -> torch.Tensor:
    """(pixels, C) scores of some pixels: interpolation along each axis is a product with a matrix."""
    height, width = scores.shape[2:]
    down = scores.new_tensor(_interpolation(pixels.size_hw[0], height)[pixels.rows])
    across = scores.new_tensor(_interpolation(pixels.size_hw[1], width)[pixels.columns])
    # The classes are last, which makes the loss twice as quick.
    wide = across @ scores.permute(0, 2, 3, 1)
    return (down @ wide.flatten(2)).reshape(-1, scores.shape[1])


def _interpolation(pixels: int, scores: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """(pixels, scores) float32: the share of each score in each pixel along one axis."""
    at = ((np.arange(pixels) + 0.5) * (scores / pixels) - 0.5).clip(0, scores - 1)
    return (1 - abs(at[:, None] - np.arange(scores))).clip(0).astype(np.float32)
