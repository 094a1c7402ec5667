"""Cityscapes' metrics: IoU and instance-level IoU, summed up image by image.

IoU is TP / (TP + FP + FN) in pixels, over all images. Ground truth outside the 19 classes counts for nothing, while a
prediction outside them is wrong. Instance-level IoU (iIoU), for classes that have instances, weights each pixel of an
instance with the class's average instance size over the instance's own; false positives belong to no instance and keep
their weight. For a category, its classes are one. NaN where nothing counts; averages leave NaN out.

Source: Cordts et al., The Cityscapes Dataset, CVPR 2016, section 4.1; constants and the treatment of caravans and
trailers as in cityscapesScripts 2.3, evalPixelLevelSemanticLabeling.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dongfeng.datasets.cityscapes import CATEGORIES, CLASS_CATEGORIES, CLASSES, LABEL_IDS
from dongfeng.datasets.confusion import Confusion
from dongfeng.errors import ImageError

NUM_LABELS = 34  # label ids are 0..33
INSTANCES_FROM = 1000  # an instance's id is 1000 * label id + its number; up to 1000 it is a label id or a group's

# Average pixels of an instance in the training set.
_AVERAGE_SIZE_PX = {
    "person": 3462.4756337644,
    "rider": 3930.4788056518,
    "car": 12794.0202738185,
    "truck": 27855.1264367816,
    "bus": 35732.1511111111,
    "train": 67583.7075812274,
    "motorcycle": 6298.7200839748,
    "bicycle": 4672.3249222261,
}
# Categories in which every class has instances, with all their label ids: caravan (29) and trailer (30) as well, which
# are not evaluated as classes, but are no mistake within a vehicle.
_INSTANCE_CATEGORIES = {"human": (24, 25), "vehicle": tuple(range(26, 34))}

EVALUATED_CATEGORIES = CATEGORIES[1:]  # all but void
_IDS: dict[str, int] = dict(zip(CLASSES, LABEL_IDS.tolist(), strict=True))
_CATEGORY_IDS = {
    category: [_IDS[name] for name, of in zip(CLASSES, CLASS_CATEGORIES, strict=True) if of == category]
    for category in EVALUATED_CATEGORIES
}

Labels = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def _by_label(values: Mapping[int, float]) -> Floats:
    return np.array([values.get(label, 0.0) for label in range(NUM_LABELS)])


_SIZES_PX = _by_label({_IDS[name]: size for name, size in _AVERAGE_SIZE_PX.items()})
_GROUP = _by_label({label: 1 + at for at, ids in enumerate(_INSTANCE_CATEGORIES.values()) for label in ids}).astype(int)


@dataclass(frozen=True)
class Scores:
    """IoU of every evaluated class and category, 0..1 or NaN.

    Attributes:
        iou: Of each of the 19 classes.
        instance_iou: The same with instances; NaN for classes that have none.
        category_iou: Of each of the 7 categories.
        category_instance_iou: The same with instances.
    """

    iou: dict[str, float]
    instance_iou: dict[str, float]
    category_iou: dict[str, float]
    category_instance_iou: dict[str, float]


class CityscapesMetrics:
    """Sums over images, and the scores that follow from them.

    Attributes:
        confusion_pixels: (34, 34) int64: pixels by label id, ground truth down and prediction across.
        images: Number of images added.
    """

    def __init__(self) -> None:
        self.confusion_pixels: Counts = np.zeros((NUM_LABELS, NUM_LABELS), np.int64)
        self.images = 0
        # Weighted pixels of instances by label id: all of them, those whose class and whose category is right.
        self._all, self._right, self._right_category = (np.zeros(NUM_LABELS) for _ in range(3))

    def add(self, prediction: Labels, labels: Labels, instances: npt.NDArray[np.uint16] | None = None) -> None:
        """Count one image.

        Args:
            prediction: (H, W) uint8 label ids.
            labels: (H, W) uint8 label ids of the ground truth.
            instances: (H, W) uint16 instance ids of the ground truth; None: this image has no instances.

        Raises:
            ImageError: sizes differ, or an id is none of Cityscapes; nothing is counted then.
        """
        for name, given in (("labels", labels), ("instances", instances)):
            if given is not None and given.shape != prediction.shape:
                raise ImageError(f"the {name} are {_size(given)} pixels, the prediction is {_size(prediction)}")
        image = Confusion(NUM_LABELS)
        image.add(prediction, labels)
        counts = image.counts
        for holder, of_each in (("labels hold", counts.sum(1)), ("prediction holds", counts.sum(0))):
            if of_each[NUM_LABELS:].any():
                wrong = np.flatnonzero(of_each)[-1]
                raise ImageError(f"the {holder} {wrong}; expected Cityscapes' label ids, 0 to 33")
        if instances is not None:
            self._add_instances(prediction, instances)
        self.confusion_pixels += counts
        self.images += 1

    def _add_instances(self, prediction: Labels, instances: npt.NDArray[np.uint16]) -> None:
        where = instances > INSTANCES_FROM
        ids, predicted = instances[where], prediction[where]
        true = ids // 1000
        counted = np.isin(true, LABEL_IDS)
        if (true >= NUM_LABELS).any() or not _SIZES_PX[true[counted]].all():
            wrong = ids[(true >= NUM_LABELS) | (counted & (_SIZES_PX[np.minimum(true, NUM_LABELS - 1)] == 0))]
            raise ImageError(
                f"the instances hold {wrong[0]}; expected 1000 * label id + number, of a class with instances"
            )
        ids, predicted, true = ids[counted], predicted[counted], true[counted]
        if not ids.size:
            return
        size_px = np.bincount(ids)
        right = np.bincount(ids[predicted == true], minlength=size_px.size)
        right_category = np.bincount(ids[_GROUP[predicted] == _GROUP[true]], minlength=size_px.size)
        present = np.flatnonzero(size_px)
        label = present // 1000
        weight = _SIZES_PX[label] / size_px[present]
        sums = ((self._all, size_px), (self._right, right), (self._right_category, right_category))
        for weighted, pixels in sums:
            weighted[:] += np.bincount(label, weight * pixels[present], NUM_LABELS)

    def scores(self) -> Scores:
        """Compute the scores of all images added so far."""
        evaluated = Confusion(NUM_LABELS)
        evaluated.counts[LABEL_IDS] = self.confusion_pixels[LABEL_IDS]
        class_ids = {name: [_IDS[name]] for name in _AVERAGE_SIZE_PX}
        return Scores(
            iou={name: evaluated.joint_iou(label) for name, label in _IDS.items()},
            instance_iou=dict.fromkeys(CLASSES, math.nan) | self._instance_iou(evaluated, class_ids, self._right),
            category_iou={name: evaluated.joint_iou(*ids) for name, ids in _CATEGORY_IDS.items()},
            category_instance_iou=dict.fromkeys(EVALUATED_CATEGORIES, math.nan)
            | self._instance_iou(evaluated, _INSTANCE_CATEGORIES, self._right_category),
        )

    def _instance_iou(
        self, evaluated: Confusion, groups: Mapping[str, Sequence[int]], right: Floats
    ) -> dict[str, float]:
        """Instance-level IoU of each group of label ids; NaN where nothing counts."""
        scores = {}
        for name, ids in groups.items():
            mine = list(ids)
            whole = float(self._all[mine].sum()) + evaluated.false_positives(*mine)
            scores[name] = float(right[mine].sum()) / whole if whole else math.nan
        return scores


def _size(image: npt.NDArray[np.generic]) -> str:
    return "x".join(str(side) for side in image.shape)
