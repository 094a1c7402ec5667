"""Interp against OpenCV and SciPy, Upsample against poolings."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from dongfeng.errors import ShapeError
from tests.reference.make import noise, run_all, run_one

SIZES = [((5, 7), (12, 9)), ((9, 8), (4, 3)), ((1, 6), (3, 6)), ((6, 1), (1, 5)), ((4, 5), (4, 5)), ((3, 3), (1, 1))]


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_half_pixel_resizing_is_that_of_opencv(before: tuple[int, int], after: tuple[int, int]) -> None:
    x = noise(2, 3, *before)
    param = {"height": after[0], "width": after[1], "align_corners": False}
    got = run_one("Interp", x, interp_param=param)
    for plane, result in zip(x.reshape(6, *before), got.reshape(6, *after), strict=True):
        expected = cv2.resize(plane, after[::-1], interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_aligned_corners_interpolate_between_grid_points(before: tuple[int, int], after: tuple[int, int]) -> None:
    x = noise(1, 1, *before)
    got = run_one("Interp", x, interp_param={"height": after[0], "width": after[1]})[0, 0]
    # A lone row or column is doubled, for a grid needs two points.
    grid = x[0, 0].repeat(1 + (before[0] == 1), 0).repeat(1 + (before[1] == 1), 1)
    lookup = RegularGridInterpolator([np.arange(n) for n in grid.shape], grid)
    at = [np.linspace(0, n - 1, m) if m > 1 else np.zeros(1) for n, m in zip(before, after, strict=True)]
    expected = lookup(np.stack(np.meshgrid(*at, indexing="ij"), -1))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("param", "size"),
    [
        ({"zoom_factor": 3}, (13, 19)),
        ({"shrink_factor": 2}, (3, 4)),
        ({"shrink_factor": 2, "zoom_factor": 2}, (5, 7)),
        ({"zoom_factor": 2, "height": 3, "width": 3}, (9, 13)),
        ({"shrink_factor": 2, "zoom_factor": 2, "height": 3, "width": 4}, (3, 4)),
        ({"zoom_factor": 2, "pad_beg": -1, "pad_end": -2}, (3, 7)),
    ],
)
def test_output_sizes(param: dict, size: tuple[int, int]) -> None:
    assert run_one("Interp", noise(1, 1, 5, 7), interp_param=param).shape[2:] == size


def test_size_of_a_second_bottom() -> None:
    x, like = noise(1, 2, 3, 4), noise(1, 1, 6, 5)
    got = run_one("Interp", x, like)
    np.testing.assert_array_equal(got, run_one("Interp", x, interp_param={"height": 6, "width": 5}))


def test_sizes_that_cannot_be() -> None:
    for param, problem in (
        ({}, "no output size: give height and width"),
        ({"height": 3}, "no output size: give height and width"),
        ({"pad_beg": 1, "zoom_factor": 2}, "pad_beg 1 and pad_end 0 can only crop"),
        ({"pad_beg": -3, "pad_end": -2, "zoom_factor": 2}, "pad_beg -3 and pad_end -2 crop everything of 1x1x5x5"),
    ):
        with pytest.raises(ShapeError, match=problem):
            run_one("Interp", noise(1, 1, 5, 5), interp_param=param)


def test_unpooling_puts_the_largest_values_back() -> None:
    x = noise(2, 3, 6, 8)
    pooled, mask = run_all("Pooling", x, tops=2, pooling_param={"kernel_size": 2, "stride": 2})
    got = run_one("Upsample", pooled, mask, upsample_param={"scale": 2})
    assert got.shape == x.shape
    cells = x.reshape(2, 3, 3, 2, 4, 2)
    is_largest = (cells == cells.max((3, 5), keepdims=True)).reshape(x.shape)
    np.testing.assert_array_equal(got, np.where(is_largest, x, 0))


@pytest.mark.parametrize(
    ("param", "size"),
    [
        ({}, (4, 6)),
        ({"scale_h": 3, "scale_w": 4}, (6, 12)),
        ({"scale": 2, "pad_out_h": True, "pad_out_w": True}, (3, 5)),
        ({"upsample_h": 5, "upsample_w": 4}, (5, 4)),
    ],
)
def test_unpooled_sizes(param: dict, size: tuple[int, int]) -> None:
    mask = np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)
    got = run_one("Upsample", mask + 1, mask, upsample_param=param)
    assert got.shape == (1, 1, *size)
    np.testing.assert_array_equal(got.ravel()[:6], np.arange(1, 7))


def test_a_place_named_twice_keeps_the_later_value() -> None:
    got = run_one("Upsample", np.array([[[[1.0, 2.0]]]]), np.zeros((1, 1, 1, 2)), upsample_param={"scale": 2})
    assert got.ravel()[0] == 2


def test_masks_that_point_outside_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"points at 9\.\.9, outside a plane of 2x2"):
        run_one("Upsample", np.ones((1, 1, 1, 1)), np.full((1, 1, 1, 1), 9.0), upsample_param={"scale": 2})


def test_upsampling_without_a_mask_repeats_pixels() -> None:
    x = noise(2, 3, 4, 5)
    got = run_one("Upsample", x, upsample_param={"scale": 3})
    np.testing.assert_array_equal(got, np.kron(x, np.ones((3, 3), np.float32)))
