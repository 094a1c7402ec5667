"""Evaluation of a network on held-out images."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from dongfeng.datasets.confusion import Confusion
from dongfeng.net.preprocessing import Preprocessing, prepare
from dongfeng.training.metrics import Metrics
from dongfeng.training.samples import IGNORE, Image, Samples, check_labels

if TYPE_CHECKING:
    import torch


def evaluate(
    module: torch.nn.Module, samples: Samples, preprocessing: Preprocessing, size_hw: tuple[int, int], device: str
) -> Metrics:
    """Measure a network on all samples, in single precision, images resized whole as `dongfeng.load` does.

    Raises:
        ImageError: an image cannot be read, or has labels outside of the classes.
    """
    import torch

    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            measure = _segmentation if samples.task == "segmentation" else _classification
            return measure(partial(_scores, module, preprocessing, size_hw, device), samples)
    finally:
        module.train(was_training)


def _scores(
    module: torch.nn.Module, preprocessing: Preprocessing, size_hw: tuple[int, int], device: str, image: Image
) -> torch.Tensor:
    """Compute the (1, C, ...) float32 scores of one image."""
    import torch

    blob = torch.from_numpy(prepare(image, preprocessing, size_hw)).to(device)
    scores: torch.Tensor = module(blob.contiguous(memory_format=torch.channels_last))
    return scores.float()


def _segmentation(score: Callable[[Image], torch.Tensor], samples: Samples) -> Metrics:
    from torch.nn import functional

    confusion = Confusion(len(samples.class_names))
    for index in range(len(samples)):
        image, labels = samples.sample(index)
        check_labels(labels, len(samples.class_names), index)
        truth = np.asarray(labels, np.uint8)
        enlarged = functional.interpolate(score(image), size=truth.shape, mode="bilinear", align_corners=False)
        confusion.add(enlarged.argmax(1)[0].byte().cpu().numpy(), truth, ignore=IGNORE)
    iou = dict(zip(samples.class_names, map(_known, confusion.iou()), strict=True))
    return Metrics(miou=_known(confusion.mean_iou()), iou=iou)


def _classification(score: Callable[[Image], torch.Tensor], samples: Samples) -> Metrics:
    labelled = map(samples.sample, range(len(samples)))
    right = sum(int(score(image).flatten().argmax()) == label for image, label in labelled)
    return Metrics(top1=right / len(samples) if len(samples) else None)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
