"""How good a network is on held-out images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dongfeng.net.preprocessing import Preprocessing, prepare
from dongfeng.training.batches import check_labels
from dongfeng.training.samples import IGNORE, Image, Samples

if TYPE_CHECKING:
    import torch

Scores = Callable[[Image], "torch.Tensor"]  # of one image, as `Evaluator` makes it


class Confusion:
    """Pixels by class, truth down and prediction across.

    Attributes:
        pixels: (C, C) int64.
    """

    def __init__(self, classes: int) -> None:
        self.pixels: npt.NDArray[np.int64] = np.zeros((classes, classes), np.int64)

    def add(self, prediction: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> None:
        """Count one image; both are (H, W) uint8, labels of 255 count for nothing."""
        classes = len(self.pixels)
        counted = labels != IGNORE
        pairs = labels[counted].astype(np.int64) * classes + prediction[counted]
        self.pixels += np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)

    def iou(self) -> list[float | None]:
        """TP / (TP + FP + FN) of each class; None where no pixel is of the class or taken for it."""
        right = np.diag(self.pixels)
        union = self.pixels.sum(0) + self.pixels.sum(1) - right
        return [float(part / whole) if whole else None for part, whole in zip(right, union, strict=True)]


def evaluate(
    module: torch.nn.Module, samples: Samples, preprocessing: Preprocessing, size_hw: tuple[int, int], device: str
) -> dict[str, Any]:
    """Metrics of a network on all samples, in single precision, images resized whole as `dongfeng.load` does.

    Returns:
        "miou" (0..1) and "iou", class -> its own or None, over all pixels of all images; or "top1" (0..1).

    Raises:
        ImageError: an image cannot be read, or has labels outside of the classes.
    """
    import torch

    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode():

            def scores(image: Image) -> torch.Tensor:
                blob = torch.from_numpy(prepare(image, preprocessing, size_hw)).to(device)
                return module(blob.contiguous(memory_format=torch.channels_last)).float()  # type: ignore[no-any-return]

            return _miou(scores, samples) if samples.task == "segmentation" else _top1(scores, samples)
    finally:
        module.train(was_training)


def _miou(scores: Scores, samples: Samples) -> dict[str, Any]:
    from torch.nn import functional

    confusion = Confusion(len(samples.class_names))
    for index in range(len(samples)):
        image, labels = samples.sample(index)
        check_labels(labels, len(samples.class_names), index)
        truth = np.asarray(labels, np.uint8)
        enlarged = functional.interpolate(scores(image), size=truth.shape, mode="bilinear", align_corners=False)
        confusion.add(enlarged.argmax(1)[0].byte().cpu().numpy(), truth)
    iou = confusion.iou()
    known = [value for value in iou if value is not None]
    return {"miou": _mean(known), "iou": dict(zip(samples.class_names, iou, strict=True))}


def _top1(scores: Scores, samples: Samples) -> dict[str, Any]:
    hits = []
    for index in range(len(samples)):
        image, label = samples.sample(index)
        hits.append(float(int(scores(image).flatten().argmax()) == label))
    return {"top1": _mean(hits)}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
