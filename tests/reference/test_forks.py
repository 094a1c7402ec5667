"""Layer types of Caffe's forks, and the evaluation layers, against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, log_softmax

from dongfeng.caffe.schema import message_type
from dongfeng.errors import ShapeError, WeightsMismatch
from tests.reference.make import noise, run_all, run_one

SPREAD = np.linspace(-8, 8, 161, dtype=np.float32).reshape(1, 1, 7, 23)
# Names of the published forks differ; the schema decides which this project reads.
HARD_SIGMOID = "hardsigmoid_param" in message_type("LayerParameter").fields


@pytest.mark.parametrize(
    ("kind", "formula"),
    [
        ("ReLU6", lambda x: np.minimum(np.maximum(x, 0), 6)),
        ("HSwish", lambda x: np.where(x < -3, 0, np.where(x > 3, x, x * (x + 3) / 6))),
        ("HardSwish", lambda x: np.where(x < -3, 0, np.where(x > 3, x, x * (x + 3) / 6))),
        ("Mish", lambda x: x * np.tanh(np.log1p(np.exp(x)))),
        ("Swish", lambda x: x * expit(x)),
    ],
)
def test_activations(kind: str, formula) -> None:
    np.testing.assert_allclose(run_one(kind, SPREAD), formula(SPREAD.astype(np.float64)), rtol=1e-6, atol=1e-7)


@pytest.mark.skipif(not HARD_SIGMOID, reason="the schema has no hardsigmoid_param")
def test_hard_sigmoid() -> None:
    expected = np.clip(0.2 * SPREAD.astype(np.float64) + 0.5, 0, 1)
    np.testing.assert_allclose(run_one("HardSigmoid", SPREAD), expected, rtol=1e-6, atol=1e-7)
    got = run_one("HardSigmoid", SPREAD, hardsigmoid_param={"alpha": 1 / 6, "beta": 0.25})
    np.testing.assert_allclose(got, np.clip(SPREAD / 6 + 0.25, 0, 1), rtol=1e-6, atol=1e-6)


def test_activations_survive_large_values() -> None:
    x = np.array([-1000.0, 1000.0], np.float32)
    for kind, expected in {"Mish": [0, 1000], "BNLL": [0, 1000], "Sigmoid": [0, 1], "Swish": [0, 1000]}.items():
        np.testing.assert_allclose(run_one(kind, x), expected, atol=1e-6)


@pytest.mark.parametrize(("order", "full"), [((0, 2, 3, 1), (0, 2, 3, 1)), ((2,), (2, 0, 1, 3)), ((), (0, 1, 2, 3))])
def test_permute(order: tuple[int, ...], full: tuple[int, ...]) -> None:
    x = noise(2, 3, 4, 5)
    np.testing.assert_array_equal(run_one("Permute", x, permute_param={"order": order}), x.transpose(full))


def test_permute_refuses_axes_that_are_none() -> None:
    for order in ((0, 0), (4,)):
        with pytest.raises(ShapeError, match="order"):
            run_one("Permute", noise(1, 2, 3, 4), permute_param={"order": order})


def test_shuffle_channel_deals_from_piles() -> None:
    x = np.arange(6, dtype=np.float32).reshape(1, 6, 1, 1)
    got = run_one("ShuffleChannel", x, shuffle_channel_param={"group": 3})
    np.testing.assert_array_equal(got.ravel(), [0, 2, 4, 1, 3, 5])


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_normalize(across: bool, shared: bool) -> None:
    x, scale = noise(2, 3, 4, 5), noise(*([] if shared else [3]), seed=1)
    param = {"across_spatial": across, "channel_shared": shared, "eps": 0.5}
    got = run_one("Normalize", x, blobs=(scale,), norm_param=param)
    squares = np.square(x.astype(np.float64))
    norm = np.sqrt((squares.sum((1, 2, 3), keepdims=True) if across else squares.sum(1, keepdims=True)) + 0.5)
    np.testing.assert_allclose(got, x / norm * np.reshape(scale, (-1, 1, 1)), rtol=1e-6, atol=1e-7)
    filled = run_one("Normalize", x, norm_param={**param, "scale_filler": {"value": 20}})
    np.testing.assert_allclose(filled, x / norm * 20, rtol=1e-6, atol=1e-6)


def test_bn_of_pspnet() -> None:
    x = noise(2, 3, 4, 5)
    slope, bias, mean, variance = (noise(1, 3, 1, 1, seed=s) for s in range(1, 5))
    variance = variance**2
    got = run_one("BN", x, blobs=(slope, bias, mean, variance), bn_param={"eps": 1e-3})
    np.testing.assert_allclose(got, (x - mean) / np.sqrt(variance + 1e-3) * slope + bias, rtol=1e-5, atol=1e-5)


def test_bn_of_segnet() -> None:
    x, scale, shift = noise(2, 3, 4, 5), noise(1, 3, 1, 1, seed=1), noise(1, 3, 1, 1, seed=2)
    got = run_one("BN", x, blobs=(scale, shift), bn_param={"bn_mode": "INFERENCE"})
    np.testing.assert_allclose(got, x * scale + shift, rtol=1e-5, atol=1e-6)
    learning = run_one("BN", x, blobs=(scale, shift))
    normal = (x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(learning, normal * scale + shift, rtol=1e-4, atol=1e-5)
    with pytest.raises(WeightsMismatch, match="3 weight blobs"):
        run_one("BN", x, blobs=(scale, shift, shift))


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1, 1)])
def test_axpy(shape: tuple[int, ...]) -> None:
    factor, x, y = noise(*shape), noise(2, 3, 4, 5, seed=1), noise(2, 3, 4, 5, seed=2)
    expected = factor.reshape(2, 3, 1, 1) * x + y
    np.testing.assert_allclose(run_one("Axpy", factor, x, y), expected, rtol=1e-6, atol=1e-7)
    with pytest.raises(ShapeError, match="one a sample and channel"):
        run_one("Axpy", noise(2, 4), x, y)


def test_batch_norm_by_the_batch_in_training() -> None:
    x = noise(4, 3, 2, 2)
    got = run_one("BatchNorm", x, phase="TRAIN")
    np.testing.assert_allclose(got.mean((0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(got.var((0, 2, 3)), 1, atol=1e-3)


def test_accuracy_by_class_and_with_an_ignored_label() -> None:
    scores = np.array([[3, 2, 1], [1, 2, 3], [1, 3, 2], [9, 0, 0], [2, 2, 1]], np.float32)
    labels = np.array([0, 1, 1, 2, 1], np.float32)  # the last: a tie, which does not count as a hit
    overall, by_class = run_all("Accuracy", scores, labels, tops=2)
    np.testing.assert_allclose(overall, 2 / 5)
    np.testing.assert_allclose(by_class, [1, 1 / 3, 0], rtol=1e-6)
    got = run_one("Accuracy", scores, labels, accuracy_param={"ignore_label": 1})
    np.testing.assert_allclose(got, 1 / 2)
    np.testing.assert_allclose(run_one("Accuracy", scores, labels, accuracy_param={"top_k": 2}), 4 / 5)


@pytest.mark.parametrize(
    ("param", "divisor"),
    [
        ({}, 18),
        ({"normalization": "FULL"}, 24),
        ({"normalization": "BATCH_SIZE"}, 2),
        ({"normalization": "NONE"}, 1),
        ({"normalize": False}, 2),
        ({"normalize": True}, 18),
    ],
)
def test_softmax_loss_is_divided_as_told(param: dict, divisor: int) -> None:
    x = noise(2, 5, 3, 4)
    labels = np.arange(24).reshape(2, 3, 4) % 4  # label 3 six times
    loss, probabilities = run_all("SoftmaxWithLoss", x, labels, tops=2, loss_param={**param, "ignore_label": 3})
    chosen = np.take_along_axis(log_softmax(x.astype(np.float64), 1), labels[:, None], 1)[:, 0]
    np.testing.assert_allclose(loss, -chosen[labels != 3].sum() / divisor, rtol=1e-6)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)


def test_clip_and_threshold_keep_their_borders() -> None:
    x = np.array([-2.0, -1.0, 0.5, 2.0, 3.0], np.float32)
    np.testing.assert_array_equal(run_one("Clip", x, clip_param={"min": -1, "max": 2}), [-1, -1, 0.5, 2, 2])
    np.testing.assert_array_equal(run_one("Threshold", x, threshold_param={"threshold": 0.5}), [0, 0, 0, 1, 1])


@pytest.mark.parametrize(
    ("kind", "params", "problem"),
    [
        ("Reshape", {"reshape_param": {"shape": {"dim": (5, -1)}}}, "cannot become 5x-1"),
        ("Reshape", {"reshape_param": {"shape": {"dim": (-1, -1)}}}, "cannot become"),
        ("Reshape", {"reshape_param": {"shape": {"dim": (2, 3, 4, 0)}}}, "dim: 0"),
        ("Flatten", {"flatten_param": {"axis": 2, "end_axis": 1}}, "behind end_axis"),
        ("Tile", {"tile_param": {"axis": 0}}, "tiles must be positive"),
        ("Softmax", {"softmax_param": {"axis": 3}}, "axis 3 is outside a blob of 3 axes"),
        ("Scale", {"scale_param": {"axis": 2, "num_axes": 2}}, "reach outside"),
        ("ArgMax", {"argmax_param": {"top_k": 13}}, "top_k 13 of 12"),
        ("LRN", {"lrn_param": {"local_size": 4}}, "4 axes"),
        ("Log", {"log_param": {"base": -2}}, "base must be positive"),
    ],
)
def test_parameters_that_do_not_fit(kind: str, params: dict, problem: str) -> None:
    with pytest.raises(ShapeError, match=problem):
        run_one(kind, noise(2, 3, 4), **params)


def test_slices_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match="equal parts"):
        run_all("Slice", noise(2, 5), tops=2)
    with pytest.raises(ShapeError, match="slice points"):
        run_all("Slice", noise(2, 5), tops=3, slice_param={"slice_point": (3, 2)})


def test_indices_outside_a_table_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"indices 0\.\.2 reach outside 0\.\.1"):
        run_one("Embed", np.array([0.0, 2.0]), embed_param={"num_output": 3, "input_dim": 2})
    with pytest.raises(ShapeError, match="reach outside"):
        run_one("BatchReindex", noise(2, 3), np.array([-1.0]))
