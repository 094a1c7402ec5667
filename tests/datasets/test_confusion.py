from __future__ import annotations

import math

import numpy as np
import pytest

from dongfeng.datasets.confusion import Confusion, average


@pytest.fixture
def labels() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 5, (20, 30)).astype(np.uint8), rng.integers(0, 5, (20, 30)).astype(np.uint8)


def test_scores_are_those_of_their_sets_of_pixels(labels: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, truth = labels
    confusion = Confusion(6)
    confusion.add(predicted[:9], truth[:9])
    confusion.add(predicted[9:], truth[9:])
    expected = [((predicted == c) & (truth == c)).sum() / ((predicted == c) | (truth == c)).sum() for c in range(5)]
    assert confusion.iou()[:5] == expected
    assert math.isnan(confusion.iou()[5])
    assert confusion.mean_iou() == pytest.approx(np.mean(expected))
    assert confusion.accuracy() == (predicted == truth).mean()
    ours, true = np.isin(predicted, (1, 3)), np.isin(truth, (1, 3))
    assert confusion.joint_iou(1, 3) == (ours & true).sum() / (ours | true).sum()
    assert confusion.false_positives(1, 3) == (ours & ~true).sum()
    assert confusion.joint_iou(2) == confusion.iou()[2]


def test_ignored_pixels_count_for_nothing(labels: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, truth = labels
    holes, plain = Confusion(5), Confusion(5)
    holes.add(predicted, np.where(truth == 4, 255, truth), ignore=255)
    plain.add(predicted[truth != 4], truth[truth != 4])
    assert np.array_equal(holes.counts, plain.counts)


def test_the_matrix_grows_with_its_labels() -> None:
    confusion = Confusion()
    assert (confusion.iou(), confusion.accuracy()) == ([], 0)
    confusion.add(np.array(7), np.array(2))
    confusion.add(np.array([], int), np.array([], int))
    assert confusion.counts.shape == (8, 8)
    assert confusion.counts[2, 7] == confusion.counts.sum() == 1
    assert math.isnan(average([math.nan]))
