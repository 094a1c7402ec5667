"""IoU and iIoU: the official script is the oracle, on random label maps and made-up instances."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from dongfeng.datasets.cityscapes import LABEL_IDS
from dongfeng.datasets.cityscapes_metrics import CityscapesMetrics
from dongfeng.datasets.confusion import average
from dongfeng.errors import ImageError

WITH_INSTANCES = np.arange(24, 34)  # caravan (29) and trailer (30) too, which are not evaluated
Case = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = pytest.importorskip(
        "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling",
        reason="needs cityscapesScripts (pip install --no-deps cityscapesscripts pyquaternion)",
    )
    # The script still calls what NumPy 2 deprecates and 2.4 has dropped.
    monkeypatch.setattr(np, "in1d", lambda a, b, invert=False: np.isin(a, b, invert=invert).ravel(), raising=False)
    return module


def officially(module: ModuleType, cases: list[Case], folder: Path) -> dict[str, object]:
    predictions, labels = [], []
    for index, (prediction, label, instance) in enumerate(cases):
        names = [folder / f"{index}_{kind}.png" for kind in ("prediction", "labelIds", "instanceIds")]
        for name, image in zip(names, (prediction, label, instance), strict=True):
            assert cv2.imwrite(str(name), image)
        predictions.append(str(names[0]))
        labels.append(str(names[1]))
    args = copy.copy(module.args)
    args.quiet, args.JSONOutput = True, False
    return module.evaluateImgLists(predictions, labels, args)


def case(rng: np.random.Generator, shape: tuple[int, int], label_ids: np.ndarray, share_right: float) -> Case:
    """Labels in patches, instances that need not agree with them, groups, and a prediction with mistakes."""
    height, width = shape
    coarse = rng.choice(label_ids, (height // 4, width // 4))
    labels = np.kron(coarse, np.ones((4, 4))).astype(np.uint8)
    prediction = np.where(rng.random(shape) < share_right, labels, rng.integers(0, 34, shape)).astype(np.uint8)
    instances = labels.astype(np.uint16)  # as the data set has it: a class's own number, or that of a group
    for number in range(40):
        top, left = rng.integers(0, height), rng.integers(0, width)
        block = np.s_[top : top + rng.integers(1, 9), left : left + rng.integers(1, 15)]
        instances[block] = 1000 * rng.choice(WITH_INSTANCES) + number % 5
    instances[0, :3] = 5001, 1000, 24  # void has instances that count for nothing; up to 1000 there are none
    return prediction, labels, instances


@pytest.mark.parametrize(
    ("seed", "label_ids", "share_right"),
    [
        (0, np.arange(34), 0.0),
        (1, np.arange(34), 0.7),
        (2, LABEL_IDS, 0.95),
        (3, np.array([7, 24, 29]), 0.98),
        (4, np.array([0, 5, 23]), 1.0),
    ],
    ids=["noise", "all ids", "classes", "few classes", "hardly any class"],
)
def test_scores_equal_the_official_scripts(
    seed: int, label_ids: np.ndarray, share_right: float, official: ModuleType, tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    cases = [case(rng, shape, label_ids, share_right) for shape in ((48, 96), (40, 40), (4, 4))]
    expected = officially(official, cases, tmp_path)
    metrics = CityscapesMetrics()
    for one in cases:
        metrics.add(*one)
    assert metrics.confusion_pixels.tolist() == expected["confMatrix"]
    scores = metrics.scores()
    evaluated = {"classScores": 19, "classInstScores": 19, "categoryScores": 7, "categoryInstScores": 7}
    ours = (scores.iou, scores.instance_iou, scores.category_iou, scores.category_instance_iou)
    averages = (
        "averageScoreClasses",
        "averageScoreInstClasses",
        "averageScoreCategories",
        "averageScoreInstCategories",
    )
    for (key, count), got, mean in zip(evaluated.items(), ours, averages, strict=True):
        assert len(got) == count
        assert got == pytest.approx({name: expected[key][name] for name in got}, rel=1e-9, nan_ok=True)
        assert all(math.isnan(score) for name, score in expected[key].items() if name not in got)
        assert average(got.values()) == pytest.approx(expected[mean], rel=1e-9, nan_ok=True)


def test_cases_have_scores_and_gaps() -> None:
    """What the comparison above would not show if all its scores were NaN, or none."""
    metrics = CityscapesMetrics()
    metrics.add(*case(np.random.default_rng(3), (48, 96), np.array([7, 24, 29]), 1.0))
    scores = metrics.scores()
    assert scores.iou["road"] == scores.iou["person"] == 1
    assert math.isnan(scores.iou["car"])
    assert 0 < scores.instance_iou["person"] < 1
    assert math.isnan(scores.instance_iou["road"])
    assert 0 < scores.category_instance_iou["vehicle"] < 1


def test_without_instances_there_is_iou_only() -> None:
    prediction, labels, _ = case(np.random.default_rng(5), (48, 96), LABEL_IDS, 1.0)
    metrics = CityscapesMetrics()
    metrics.add(prediction, labels)
    scores = metrics.scores()
    assert set(scores.iou.values()) == {1.0}
    assert all(math.isnan(score) for score in scores.instance_iou.values())


def test_an_instance_weighs_by_the_average_size_of_its_class() -> None:
    """One rider of 4 pixels, 3 of them right, and one pixel of road taken for a rider."""
    labels = np.array([[25, 25, 25, 25, 7, 7]], np.uint8)
    prediction = np.array([[25, 25, 25, 7, 25, 7]], np.uint8)
    instances = np.array([[25001] * 4 + [7] * 2], np.uint16)
    metrics = CityscapesMetrics()
    metrics.add(prediction, labels, instances)
    scores = metrics.scores()
    assert scores.iou["rider"] == 3 / 5
    size = 3930.4788056518
    assert scores.instance_iou["rider"] == pytest.approx((size * 3 / 4) / (size + 1), rel=1e-12)


@pytest.mark.parametrize(
    ("prediction", "labels", "instances", "message"),
    [
        ((0, (2, 3)), (0, (3, 2)), None, "the labels are 3x2 pixels, the prediction is 2x3"),
        ((0, (2, 3)), (0, (2, 3)), (0, (2, 4)), "the instances are 2x4 pixels, the prediction is 2x3"),
        ((0, (2, 3)), (255, (2, 3)), None, "the labels hold 255; expected Cityscapes' label ids, 0 to 33"),
        ((34, (2, 3)), (7, (2, 3)), None, "the prediction holds 34; expected Cityscapes' label ids, 0 to 33"),
        ((7, (2, 3)), (7, (2, 3)), (7001, (2, 3)), "the instances hold 7001; expected 1000 [*] label id"),
        ((7, (2, 3)), (7, (2, 3)), (34000, (2, 3)), "the instances hold 34000; expected 1000 [*] label id"),
    ],
    ids=["size", "instances' size", "labels", "prediction", "no instances", "no class"],
)
def test_what_does_not_fit_is_an_error_and_counts_for_nothing(
    prediction: tuple[int, tuple[int, int]],
    labels: tuple[int, tuple[int, int]],
    instances: tuple[int, tuple[int, int]] | None,
    message: str,
) -> None:
    metrics = CityscapesMetrics()
    given = [np.full(shape, value, np.uint8) for value, shape in (prediction, labels)]
    if instances is not None:
        given.append(np.full(instances[1], instances[0], np.uint16))
    with pytest.raises(ImageError, match=message):
        metrics.add(*given)
    assert metrics.images == 0
    assert not metrics.confusion_pixels.any()


def test_the_average_of_nothing_is_nan() -> None:
    assert math.isnan(average([float("nan")]))
    assert math.isnan(average([]))
