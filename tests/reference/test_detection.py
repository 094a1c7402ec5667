"""SSD's layers against boxes worked out by hand, and suppression against a plain quadratic one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dongfeng.errors import ShapeError
from tests.reference.make import noise, run_one

VARIANCES = (0.1, 0.1, 0.2, 0.2)


def priors(boxes: list[list[float]], variances: tuple[float, ...] = VARIANCES) -> np.ndarray:
    return np.stack([np.ravel(boxes), np.tile(variances, len(boxes))])[None].astype(np.float32)


def detect(loc: np.ndarray, conf: np.ndarray, prior: np.ndarray, **param: Any) -> np.ndarray:
    return run_one("DetectionOutput", loc, conf, prior, detection_output_param=param)


def test_prior_boxes_by_hand() -> None:
    param = {"min_size": 4, "max_size": 9, "aspect_ratio": (4, 1), "variance": VARIANCES}
    got = run_one("PriorBox", np.zeros((1, 8, 2, 2)), np.zeros((1, 3, 20, 40)), prior_box_param=param)
    # A cell is 10 high and 20 wide; the first centre is (x 10, y 5). Sizes: 4, 6 = sqrt(4 * 9), 8 x 2 and 2 x 8.
    assert got.shape == (1, 2, 2 * 2 * 4 * 4)
    boxes = got[0, 0].reshape(2, 2, 4, 4)
    by_hand = [[8, 3, 12, 7], [7, 2, 13, 8], [6, 4, 14, 6], [9, 1, 11, 9]]
    np.testing.assert_allclose(boxes[0, 0], np.array(by_hand) / [40, 20, 40, 20], atol=1e-7)
    np.testing.assert_allclose(boxes[1, 0] - boxes[0, 0], np.tile([0, 0.5, 0, 0.5], (4, 1)), atol=1e-7)
    np.testing.assert_allclose(boxes[0, 1] - boxes[0, 0], np.tile([0.5, 0, 0.5, 0], (4, 1)), atol=1e-7)
    np.testing.assert_allclose(got[0, 1].reshape(-1, 4), np.tile(np.float32(VARIANCES), (16, 1)))


@pytest.mark.parametrize(
    ("param", "first"),
    [
        ({}, [3, 3, 7, 7]),  # a cell is 10 x 10, its centre (5, 5)
        ({"offset": 0}, [-2, -2, 2, 2]),
        ({"step": 4, "offset": 1}, [2, 2, 6, 6]),
        ({"step_h": 4, "step_w": 8, "offset": 1}, [6, 2, 10, 6]),
        ({"min_size": 4.9}, [3, 3, 7, 7]),  # SSD cuts sizes to whole pixels
        ({"min_size": 12}, [-1, -1, 11, 11]),
        ({"min_size": 12, "clip": True}, [0, 0, 11, 10]),
    ],
)
def test_first_prior_box(param: dict[str, Any], first: list[float]) -> None:
    got = run_one(
        "PriorBox", np.zeros((1, 1, 1, 2)), np.zeros((1, 3, 10, 20)), prior_box_param={"min_size": 4, **param}
    )
    assert got.shape == (1, 2, 8)
    np.testing.assert_allclose(got[0, 0, :4] * [20, 10, 20, 10], first, atol=1e-5)
    np.testing.assert_allclose(got[0, 1], np.float32(0.1))


@pytest.mark.parametrize(
    ("param", "n_boxes"),
    [
        ({"aspect_ratio": 2, "flip": False}, 2),
        ({"aspect_ratio": 2}, 3),
        ({"aspect_ratio": (2, 1, 0.5, 2)}, 3),
        ({"max_size": 5}, 2),
        ({"min_size": (4, 6), "aspect_ratio": 3}, 6),
    ],
)
def test_number_of_prior_boxes(param: dict[str, Any], n_boxes: int) -> None:
    got = run_one(
        "PriorBox", np.zeros((1, 1, 2, 3)), np.zeros((1, 3, 10, 20)), prior_box_param={"min_size": 4, **param}
    )
    assert got.shape == (1, 2, 2 * 3 * n_boxes * 4)


@pytest.mark.parametrize("param", [{"img_size": 100}, {"img_h": 100, "img_w": 100}])
def test_prior_boxes_of_a_given_image_size(param: dict[str, Any]) -> None:
    got = run_one("PriorBox", np.zeros((1, 1, 1, 1)), np.zeros((1, 3, 7, 7)), prior_box_param={"min_size": 20, **param})
    np.testing.assert_allclose(got[0, 0], [0.4, 0.4, 0.6, 0.6], atol=1e-6)


def test_prior_boxes_without_sizes_are_refused() -> None:
    for param, problem in (
        ({}, "0 min_size and 0 max_size: as many, at least one"),
        ({"min_size": (1, 2), "max_size": 3}, "2 min_size and 1 max_size: as many, at least one"),
        ({"min_size": 1, "variance": (1, 2)}, "2 variances, expected one or four"),
    ):
        with pytest.raises(ShapeError, match=problem):
            run_one("PriorBox", np.zeros((1, 1, 1, 1)), np.zeros((1, 3, 7, 7)), prior_box_param=param)


PRIOR = [0.2, 0.2, 0.6, 0.4]  # 0.4 wide, 0.2 high, centre (0.4, 0.3)


@pytest.mark.parametrize(
    ("code", "encoded", "box"),
    [
        ("CORNER", False, [0.3, 0.4, 1.2, 1.2]),  # + variance * offset
        ("CORNER", True, [1.2, 2.2, 3.6, 4.4]),
        ("CORNER_SIZE", False, [0.24, 0.24, 0.84, 0.56]),  # + variance * offset * size
        ("CORNER_SIZE", True, [0.6, 0.6, 1.8, 1.2]),
        # Centre (0.4 + 0.1 * 0.4, 0.3 + 0.2 * 0.2), size 0.4 * exp(0.6) x 0.2 * exp(0.8).
        (
            "CENTER_SIZE",
            False,
            [0.44 - 0.2 * np.exp(0.6), 0.34 - 0.1 * np.exp(0.8), 0.44 + 0.2 * np.exp(0.6), 0.34 + 0.1 * np.exp(0.8)],
        ),
        (
            "CENTER_SIZE",
            True,
            [0.8 - 0.2 * np.exp(3), 0.7 - 0.1 * np.exp(4), 0.8 + 0.2 * np.exp(3), 0.7 + 0.1 * np.exp(4)],
        ),
    ],
)
def test_boxes_are_decoded(code: str, encoded: bool, box: list[float]) -> None:
    loc, conf = np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([[0.1, 0.9]])
    got = detect(loc, conf, priors([PRIOR]), num_classes=2, code_type=code, variance_encoded_in_target=encoded)
    assert got.shape == (1, 1, 1, 7)
    np.testing.assert_allclose(got[0, 0, 0], [0, 1, 0.9, *box], rtol=1e-5)


# Overlaps with the first: 0.875, 1/3, none; of the second and third: 1/4.
BOXES = [[0, 0, 1, 1], [0, 0, 1, 0.875], [0, 0.5, 1, 1.5], [2, 2, 3, 3]]
SCORES = np.array([[0.5, 0.4, 0.45, 0.1], [0.05, 0.2, 0.1, 0.3]], np.float32)  # of labels 1 and 2


def rows(**param: Any) -> list[list[float]]:
    """(label, box) of the rows found among BOXES."""
    conf = np.stack([np.zeros(4), *SCORES], 1).reshape(1, -1)
    got = detect(np.zeros((1, 16)), conf, priors(BOXES), num_classes=3, **param)[0, 0]
    found = []
    for image, label, score, *box in got.tolist():
        index = BOXES.index(box)
        assert image == 0
        assert score == SCORES[int(label) - 1, index]
        found.append([int(label), index])
    return found


def test_suppression_keeps_the_best_of_each_label() -> None:
    everything = [[1, 0], [1, 2], [1, 1], [1, 3], [2, 3], [2, 1], [2, 2], [2, 0]]
    assert rows(nms_param={"nms_threshold": 0.95}) == everything
    assert rows(nms_param={"nms_threshold": 0.5}) == [[1, 0], [1, 2], [1, 3], [2, 3], [2, 1], [2, 2]]
    assert rows() == [[1, 0], [1, 3], [2, 3], [2, 1], [2, 2]]  # 0.3 by default
    assert rows(confidence_threshold=0.1) == [[1, 0], [2, 3], [2, 1]]  # above, not at, the threshold
    assert rows(nms_param={"nms_threshold": 0.95, "top_k": 2}) == [[1, 0], [1, 2], [2, 3], [2, 1]]
    assert rows(nms_param={"nms_threshold": 0.95}, keep_top_k=4) == [[1, 0], [1, 2], [1, 1], [2, 3]]


def test_an_overlap_at_the_threshold_is_kept() -> None:
    # Label 2: box 2 overlaps box 1 by exactly a quarter.
    assert [2, 2] in rows(nms_param={"nms_threshold": 0.25})
    assert [2, 2] not in rows(nms_param={"nms_threshold": 0.2499})


def test_adaptive_threshold_falls_after_each_kept_box() -> None:
    # 0.95 after the first kept box becomes 0.57, below the overlap of 0.875, and then 0.34, above 1/3.
    kept = rows(nms_param={"nms_threshold": 0.95, "eta": 0.6}, confidence_threshold=0.3)
    assert kept == [[1, 0], [1, 2]]
    # It never falls from 0.5 or less.
    kept = rows(nms_param={"nms_threshold": 0.4, "eta": 0.5}, confidence_threshold=0.3)
    assert kept == [[1, 0], [1, 2]]


def test_background_label_may_be_another_or_none() -> None:
    conf = np.array([[0.9, 0.2, 0.8]])
    for background, labels in ((0, [1, 2]), (1, [0, 2]), (-1, [0, 1, 2])):
        got = detect(np.zeros((1, 4)), conf, priors([PRIOR]), num_classes=3, background_label_id=background)
        assert got[0, 0, :, 1].tolist() == labels


def test_no_detection_is_a_row_for_each_image() -> None:
    got = detect(np.zeros((2, 4)), np.zeros((2, 2)), priors([PRIOR]), num_classes=2, confidence_threshold=0.5)
    np.testing.assert_array_equal(got, [[[[0, *[-1] * 6], [1, *[-1] * 6]]]])
    got = detect(np.zeros((1, 4)), np.ones((1, 2)), priors([PRIOR]), num_classes=2, keep_top_k=0)
    np.testing.assert_array_equal(got, [[[[0, *[-1] * 6]]]])


def test_locations_may_differ_between_labels() -> None:
    loc = np.arange(12, dtype=np.float32).reshape(1, 12)  # one prior, three labels
    got = detect(loc, np.array([[0.1, 0.2, 0.3]]), priors([PRIOR], (1, 1, 1, 1)), num_classes=3, share_location=False)
    np.testing.assert_allclose(got[0, 0, :, 3:], np.array(PRIOR) + loc.reshape(3, 4)[1:], rtol=1e-6)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes, counted on intervals."""
    sides = [min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1)]
    if min(sides) <= 0:
        return 0.0
    shared = sides[0] * sides[1]
    return shared / (sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - shared)


def test_random_detections_are_those_of_a_plain_suppression() -> None:
    n, n_classes, n_images = 40, 4, 2
    corners = np.random.default_rng(1).uniform(0, 0.7, (n, 2))
    boxes = np.concatenate([corners, corners + 0.3], 1).astype(np.float32)
    loc, conf = (
        noise(n_images, n * 4),
        np.random.default_rng(2).uniform(0, 1, (n_images, n * n_classes)).astype(np.float32),
    )
    got = detect(
        loc,
        conf,
        priors(boxes.tolist()),
        num_classes=n_classes,
        code_type="CENTER_SIZE",
        keep_top_k=25,
        confidence_threshold=0.2,
        nms_param={"nms_threshold": 0.45, "top_k": 20},
    )[0, 0]
    expected = []
    for image in range(n_images):
        offsets = loc[image].reshape(n, 4).astype(np.float64) * VARIANCES
        size, centre = boxes[:, 2:] - boxes[:, :2], (boxes[:, 2:] + boxes[:, :2]) / 2
        middle, half = offsets[:, :2] * size + centre, np.exp(offsets[:, 2:]) * size / 2
        decoded = np.concatenate([middle - half, middle + half], 1)
        found = []
        for label in range(1, n_classes):
            scores = conf[image].reshape(n, n_classes)[:, label]
            kept: list[int] = []
            for index in [i for i in np.argsort(-scores) if scores[i] > 0.2][:20]:
                if all(overlap(decoded[index], decoded[other]) <= 0.45 for other in kept):
                    kept.append(int(index))
            found += [(image, label, scores[index], *decoded[index]) for index in kept]
        best = sorted(found, key=lambda row: -row[2])[:25]
        expected += sorted(best, key=lambda row: (row[1], -row[2]))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_bottoms_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match="do not fit 1 priors and 3 classes"):
        detect(np.zeros((1, 4)), np.zeros((1, 2)), priors([PRIOR]), num_classes=3)
