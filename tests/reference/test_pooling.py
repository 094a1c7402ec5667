"""Poolings against Caffe's own loops over windows, for many geometries."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dongfeng.errors import ShapeError
from tests.reference.make import noise, run_all, run_one

FLT_MAX = np.finfo(np.float32).max


def windows(n: int, kernel: int, stride: int, pad: int, padded: bool, floor: bool) -> list[tuple[int, int]]:
    """Begin and end of each window, unclipped at the front and clipped to n + pad at the back."""
    steps = (n + 2 * pad - kernel) / stride
    count = (math.floor(steps) if floor else math.ceil(steps)) + 1
    if padded and (count - 1) * stride >= n + pad:
        count -= 1
    return [(i * stride - pad, min(i * stride - pad + kernel, n + pad)) for i in range(count)]


def slow_pooling(x: np.ndarray, rows: list, columns: list) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maximum, its place and average of each window of one plane."""
    largest = np.full((len(rows), len(columns)), -FLT_MAX)
    place = np.full(largest.shape, -1.0)
    average = np.zeros(largest.shape)
    for i, (top, bottom) in enumerate(rows):
        for j, (left, right) in enumerate(columns):
            total = 0.0
            for h in range(max(top, 0), min(bottom, x.shape[0])):
                for w in range(max(left, 0), min(right, x.shape[1])):
                    total += float(x[h, w])
                    if x[h, w] > largest[i, j]:
                        largest[i, j], place[i, j] = x[h, w], h * x.shape[1] + w
            area = (bottom - top) * (right - left)
            average[i, j] = total / area if area else math.nan
    return largest, place, average


@pytest.mark.parametrize("seed", range(60))
def test_pooling_is_that_of_the_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 12, 2)
    kernel = rng.integers(1, 5, 2)
    stride = rng.integers(1, 5, 2)
    pad = [int(rng.integers(0, k)) for k in kernel] if seed % 2 else [0, 0]
    floor = bool(seed % 3 == 0)
    spans = [windows(*map(int, axis), any(pad), floor) for axis in zip(size, kernel, stride, pad, strict=True)]
    x = np.round(noise(2, 2, *size, seed=seed), 1)  # with ties
    param = {
        name: int(value)
        for name, values in (("kernel", kernel), ("stride", stride), ("pad", pad))
        for name, value in ((f"{name}_h", values[0]), (f"{name}_w", values[1]))
    }
    param["round_mode"] = "FLOOR" if floor else "CEIL"
    if not all(spans):
        with pytest.raises(ShapeError, match="would be"):
            run_one("Pooling", x, pooling_param=param)
        return
    largest, places = run_all("Pooling", x, tops=2, pooling_param=param)
    average = run_one("Pooling", x, pooling_param={**param, "pool": "AVE"})
    for n in range(2):
        for c in range(2):
            expected = slow_pooling(x[n, c], *spans)
            np.testing.assert_array_equal(largest[n, c], expected[0].astype(np.float32))
            np.testing.assert_array_equal(places[n, c], expected[1])
            np.testing.assert_allclose(average[n, c], expected[2], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_pyramid_levels_are_poolings_of_the_whole_plane(pool: str) -> None:
    x = noise(2, 3, 8, 8)
    got = run_one("SPP", x, spp_param={"pyramid_height": 3, "pool": pool})
    parts = []
    for bins in (1, 2, 4):
        cells = x.reshape(2, 3, bins, 8 // bins, bins, 8 // bins)
        parts.append((cells.max((3, 5)) if pool == "MAX" else cells.mean((3, 5))).reshape(2, -1))
    np.testing.assert_allclose(got, np.concatenate(parts, 1), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("param", "problem"),
    [
        ({"kernel_size": 2, "pad": 2}, "pad must be below kernel"),
        ({"kernel_size": 2, "global_pooling": True}, "takes no kernel"),
        ({"kernel_size": 2, "kernel_h": 2, "kernel_w": 2}, "both given"),
        ({"stride": 1}, "do not fit"),
    ],
)
def test_parameters_that_contradict_each_other(param: dict, problem: str) -> None:
    with pytest.raises(ShapeError, match=problem):
        run_one("Pooling", noise(1, 1, 4, 4), pooling_param=param)


def test_blobs_of_other_than_four_axes_are_refused() -> None:
    with pytest.raises(ShapeError, match="4 axes, its shape is 1x4x4"):
        run_one("Pooling", noise(1, 4, 4), pooling_param={"kernel_size": 2})
