from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from scipy.ndimage import map_coordinates

from dongfeng.errors import DongfengError, ShapeError
from dongfeng.runtime.labels import cells as upsample_cells
from dongfeng.runtime.labels import upsample
from dongfeng.runtime.labels.upsample import argmax_last, upsample_labels, upsample_nearest

Float = npt.NDArray[np.float32]


def interpolated(scores: npt.NDArray[np.floating], size_hw: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Half-pixel bilinear interpolation with the border repeated, by SciPy in double precision."""
    axes = [(np.arange(out) + 0.5) * (n / out) - 0.5 for n, out in zip(scores.shape[1:], size_hw, strict=True)]
    grid = np.meshgrid(*axes, indexing="ij")
    return np.stack([map_coordinates(plane.astype(np.float64), grid, order=1, mode="nearest") for plane in scores])


def check_against_interpolation(scores: Float, size_hw: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Every label is the largest class, or one that SciPy's own rounding cannot tell from it."""
    labels = upsample_labels(scores, size_hw)
    values = interpolated(scores, size_hw)
    assert labels.shape == size_hw
    assert labels.dtype == np.uint8
    chosen = np.take_along_axis(values, labels[None].astype(np.int64), axis=0)[0]
    assert (chosen >= values.max(axis=0) - 1e-12 * np.abs(scores).max()).all()
    return labels


def noise(shape: tuple[int, ...], seed: int = 0) -> Float:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def smooth(shape: tuple[int, int, int], seed: int = 0) -> Float:
    """Scores with regions, as a network's are."""
    coarse = noise((shape[0], max(shape[1] // 8, 2), max(shape[2] // 8, 2)), seed)
    return np.stack([cv2.resize(plane, shape[:0:-1], interpolation=cv2.INTER_CUBIC) for plane in coarse])


SIZES = [
    pytest.param((19, 1, 1), (1, 1), id="one score, one pixel"),
    pytest.param((19, 1, 1), (7, 5), id="one score"),
    pytest.param((3, 1, 6), (4, 48), id="one row"),
    pytest.param((19, 16, 32), (128, 256), id="x8"),
    pytest.param((19, 16, 32), (123, 259), id="no whole ratio"),
    pytest.param((19, 16, 32), (17, 33), id="hardly larger"),
    pytest.param((19, 16, 32), (16, 32), id="same size"),
    pytest.param((19, 40, 40), (9, 7), id="smaller"),
    pytest.param((19, 40, 6), (9, 100), id="smaller and larger"),
    pytest.param((19, 6, 9), (6, 900), id="rows kept"),
    pytest.param((1, 8, 8), (64, 64), id="one class"),
    pytest.param((256, 4, 4), (30, 30), id="256 classes"),
    pytest.param((5, 2, 3), (300, 500), id="few large cells"),
    pytest.param((19, 16, 16), (48, 80), id="x3, x5"),
    pytest.param((19, 16, 16), (112, 192), id="x7, x12"),
    pytest.param((19, 16, 16), (160, 250), id="whole in one direction"),
    pytest.param((19, 300, 3), (300, 90), id="many cells"),
]


@pytest.mark.parametrize("make", [noise, smooth])
@pytest.mark.parametrize(("shape", "size_hw"), SIZES)
def test_labels_are_those_of_interpolation_and_argmax(make, shape, size_hw):
    check_against_interpolation(make(shape), size_hw)


def exact_labels(scores: npt.NDArray[np.integer], size_hw: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Labels of whole scores, in whole numbers."""

    def axis(n: int, out: int) -> tuple[npt.NDArray[np.int64], ...]:
        below, part = np.divmod((2 * np.arange(out) + 1) * n - out, 2 * out)
        return np.clip(below, 0, n - 1), np.clip(below + 1, 0, n - 1), part

    (top, bottom, y), (left, right, x) = (axis(n, out) for n, out in zip(scores.shape[1:], size_hw, strict=True))
    height, width = (2 * out for out in size_hw)
    rows = scores[:, top] * (height - y)[:, None] + scores[:, bottom] * y[:, None]
    values = rows[:, :, left] * (width - x) + rows[:, :, right] * x
    return len(scores) - 1 - np.argmax(values[::-1], axis=0)


def every_way(scores: Float, size_hw: tuple[int, int]) -> list[npt.NDArray[np.uint8]]:
    """Labels by strips, by cells, and by cells in small blocks."""
    labels = []
    for is_dense, at_once in ((True, {}), (False, {}), (False, {"_SCORES_AT_ONCE": 20, "_VALUES_AT_ONCE": 50})):
        with (
            patch.multiple(upsample, _strips_are_cheaper=lambda *args, path=is_dense: path, _FEW_PIXELS=0),
            patch.multiple(upsample_cells, **at_once) if at_once else nullcontext(),
        ):
            labels.append(upsample_labels(scores, size_hw))
    return labels


SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 12), st.integers(1, 12))
FACTORS = st.tuples(st.integers(1, 12), st.integers(1, 12))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    shape=SHAPES,
    size_hw=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    levels=st.sampled_from([1, 2, 5, 1000]),
    seed=st.integers(0, 2**16),
)
def test_ties_go_to_the_largest_class_at_any_ratio(shape, size_hw, levels, seed):
    """Small whole scores, so that classes are often equal, compared in whole numbers."""
    scores = np.random.default_rng(seed).integers(0, levels, shape)
    expected = exact_labels(scores, size_hw)
    for labels in every_way(scores.astype(np.float32), size_hw):
        np.testing.assert_array_equal(labels, expected)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(shape=SHAPES, factors=FACTORS, levels=st.sampled_from([2, 5, 1000]), seed=st.integers(0, 2**16))
def test_ties_go_to_the_largest_class_at_whole_ratios(shape, factors, levels, seed):
    scores = np.random.default_rng(seed).integers(0, levels, shape)
    size_hw = (shape[1] * factors[0], shape[2] * factors[1])
    expected = exact_labels(scores, size_hw)
    for labels in every_way(scores.astype(np.float32), size_hw):
        np.testing.assert_array_equal(labels, expected)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    n_out=st.integers(3, 200),
    pixel=st.integers(0, 199),
    margin=st.integers(-1, 1),
    order=st.permutations(range(3)),
    height=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**16),
)
def test_single_precision_decides_nothing_that_it_cannot_tell(n_out, pixel, margin, order, height, seed):
    """Differences that cancel at one pixel but for one part in 2^24: exact in float64, lost in float32."""
    pixel %= n_out
    below, part = divmod((2 * pixel + 1) * 2 - n_out, 2 * n_out)
    if below != 0:
        return  # a border pixel, where nothing cancels
    large = 2**23 // (2 * n_out)
    scores = np.random.default_rng(seed).integers(0, 2, (3, 2, 2))
    scores[order[0], :, 0] += part * large
    scores[order[1], :, 1] += (2 * n_out - part) * large + margin
    expected = exact_labels(scores, (height, n_out))
    for labels in every_way(scores.astype(np.float32), (height, n_out)):
        np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("exponent", [-149, -140, -126, -100, 0, 100, 124, 125])
@pytest.mark.parametrize("size_hw", [(48, 64), (50, 60)])
def test_labels_do_not_depend_on_the_magnitude_of_the_scores(exponent, size_hw):
    scores = np.random.default_rng(1).integers(-4, 5, (4, 6, 8))
    expected = exact_labels(scores, size_hw)
    with np.errstate(over="raise", invalid="raise"):
        for labels in every_way(np.ldexp(scores, exponent).astype(np.float32), size_hw):
            np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("make", [noise, smooth])
@pytest.mark.parametrize("path", ["sparse", "dense"])
def test_both_paths_give_the_same_labels(make, path, monkeypatch):
    scores, size_hw = make((19, 24, 40)), (190, 321)
    expected = upsample_labels(scores, size_hw)
    monkeypatch.setattr(upsample, "_strips_are_cheaper", lambda *args: path == "dense")
    np.testing.assert_array_equal(upsample_labels(scores, size_hw), expected)


def test_noise_takes_the_dense_path_and_regions_do_not(monkeypatch):
    taken = []
    dense = upsample.fill_strips
    monkeypatch.setattr(upsample, "fill_strips", lambda *args: taken.append(True) or dense(*args))
    upsample_labels(smooth((19, 64, 128)), (512, 1024))
    assert not taken
    upsample_labels(noise((19, 64, 128)), (512, 1024))
    assert taken


def test_a_class_that_wins_only_between_scores_is_found():
    scores = np.zeros((3, 1, 2), np.float32)
    scores[0, 0], scores[1, 0], scores[2, 0] = (10, 0), (0, 10), (6, 6)
    assert upsample_labels(scores, (1, 16)).tolist() == [[0] * 7 + [2] * 2 + [1] * 7]


def deconvolution_softmax_argmax(scores: Float, factor: int = 8) -> npt.NDArray[np.int64]:
    """What the released networks end with, on ONNX Runtime: fixed bilinear deconvolution, softmax, argmax."""
    classes, height, width = scores.shape
    taps = 1 - np.abs((np.arange(2 * factor) + 0.5) / factor - 1)
    kernel = np.broadcast_to(np.outer(taps, taps), (classes, 1, 2 * factor, 2 * factor)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node(
                "ConvTranspose", ["x", "w"], ["up"], strides=[factor] * 2, pads=[factor // 2] * 4, group=classes
            ),
            helper.make_node("Softmax", ["up"], ["prob"], axis=1),
            helper.make_node("ArgMax", ["prob"], ["pred"], axis=1, keepdims=0, select_last_index=1),
        ],
        "head",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, classes, height, width))],
        [helper.make_tensor_value_info("pred", TensorProto.INT64, (1, height * factor, width * factor))],
        [numpy_helper.from_array(kernel, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": scores[None]})[0][0]


def check_against_deconvolution(scores: Float) -> float:
    """Labels differ only where the two largest scores are as near as single precision; the share that does."""
    size_hw = (scores.shape[1] * 8, scores.shape[2] * 8)
    labels, released = upsample_labels(scores, size_hw), deconvolution_softmax_argmax(scores)
    y, x = np.nonzero(labels != released)
    if len(y):
        values = interpolated(scores, size_hw)[:, y, x]
        first, second = np.sort(values, axis=0)[[-1, -2]]
        # Softmax in single precision makes 1 of what differs by less than about 6e-8 of the largest probability.
        assert (first - second < 1e-5).all()
    return len(y) / labels.size


@pytest.mark.parametrize("make", [noise, smooth])
def test_labels_are_those_of_the_released_deconvolution_softmax_and_argmax(make):
    assert check_against_deconvolution(make((19, 32, 64))) < 1e-4


def test_labels_of_real_scores_are_those_of_the_deconvolution(shared: Path):
    for path in sorted((shared / "pl1a").glob("*_score.npz")):
        assert check_against_deconvolution(np.load(path)["score"]) == 0


def test_labels_of_real_scores_at_the_published_size(shared: Path):
    small = np.load(shared / "pl1a" / "demo33_score.npz")["score"]
    scores = np.stack([cv2.resize(plane, (256, 128), interpolation=cv2.INTER_LINEAR) for plane in small])
    labels = upsample_labels(scores, (1024, 2048))
    top, left = 480, 900  # one part of it, where there is much to see, with whole cells around it
    part = interpolated(scores[:, top // 8 - 1 : top // 8 + 21, left // 8 - 1 :][:, :, :42], (22 * 8, 42 * 8))
    expected = np.argmax(part, axis=0)[8:-8, 8:-8]
    assert len(np.unique(expected)) > 3
    start = left // 8 * 8
    np.testing.assert_array_equal(labels[top : top + 160, start : start + 320], expected)


def test_scores_of_any_layout_and_float_type_are_taken():
    scores = noise((6, 9, 7))
    expected = upsample_labels(scores, (40, 50))
    strided = np.asfortranarray(scores)[:, ::1]
    np.testing.assert_array_equal(upsample_labels(strided, (40, 50)), expected)
    np.testing.assert_array_equal(upsample_labels(scores.tolist(), (40, 50)), expected)
    np.testing.assert_array_equal(upsample_labels(scores.astype(np.float64), (40, 50)), expected)


def test_scores_as_large_as_single_precision_allows():
    scores = np.sign(noise((4, 5, 5))) * np.float32(3.4e38)
    with np.errstate(over="raise"):
        check_against_interpolation(scores, (41, 37))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_refused(value):
    scores = noise((3, 4, 4))
    scores[1, 2, 2] = value
    with pytest.raises(DongfengError, match="1 of 48 scores are NaN or infinite.*weights and input"):
        upsample_labels(scores, (32, 32))


@pytest.mark.parametrize("shape", [(), (4, 4), (0, 4, 4), (3, 0, 4), (257, 2, 2), (1, 3, 4, 4)])
def test_scores_of_another_shape_are_refused(shape):
    with pytest.raises(ShapeError, match=r"expected \(C, h, w\)"):
        upsample_labels(np.zeros(shape, np.float32), (8, 8))


@pytest.mark.parametrize("size_hw", [(0, 4), (4, -1), (4,), (4, 4, 4)])
def test_sizes_that_are_none_are_refused(size_hw):
    with pytest.raises(ShapeError, match=r"expected \(height, width\)"):
        upsample_labels(noise((3, 4, 4)), size_hw)


def test_argmax_last_takes_the_last_of_equal_scores():
    scores = np.float32([[1, 1, 0, -1], [1, 0, 0, -2], [0, 1, 0, -1]])
    assert argmax_last(scores).tolist() == [1, 2, 2, 2]


@pytest.mark.parametrize("size_hw", [(3, 2), (24, 16), (7, 5), (2, 1), (100, 3)])
def test_nearest_takes_the_pixel_whose_centre_is_nearest(size_hw):
    labels = np.arange(6, dtype=np.uint8).reshape(3, 2)
    result = upsample_nearest(labels, size_hw)
    for y in range(size_hw[0]):
        for x in range(size_hw[1]):
            source = int((y + 0.5) * 3 / size_hw[0]), int((x + 0.5) * 2 / size_hw[1])
            assert result[y, x] == labels[source]


def test_nearest_by_a_whole_ratio_repeats_each_label():
    labels = np.random.default_rng(0).integers(0, 19, (16, 32)).astype(np.uint8)
    np.testing.assert_array_equal(upsample_nearest(labels, (128, 256)), labels.repeat(8, 0).repeat(8, 1))
