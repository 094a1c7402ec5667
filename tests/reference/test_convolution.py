"""Convolutions against sums written out one by one."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from dongfeng.errors import ShapeError
from dongfeng.reference import convolution, run_layer
from tests.reference.make import layer, noise, run_all, run_one

CASES: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((2, 3, 6, 5), {"kernel_size": 3}),
    "1d": ((2, 2, 9), {"kernel_size": 3, "stride": 2, "pad": 1}),
    "3d": ((1, 2, 4, 5, 3), {"kernel_size": (2, 3, 1), "pad": (1, 0, 2)}),
    "groups_dilation": ((1, 4, 9, 8), {"kernel_size": 3, "group": 2, "dilation": 2, "pad": 2}),
    "rectangles": ((1, 2, 7, 9), {"kernel_h": 2, "kernel_w": 3, "stride_h": 2, "stride_w": 1, "pad_h": 1, "pad_w": 0}),
    "batch_axes": ((2, 3, 2, 5, 4), {"kernel_size": 3, "pad": 1, "axis": 2}),
    "negative_axis": ((2, 2, 5, 4), {"kernel_size": 2, "axis": -3}),
    "kernel_reaches_out": ((1, 1, 2, 4), {"kernel_size": 3, "stride": 2}),
}


def geometry(shape: tuple[int, ...], param: dict[str, Any]) -> tuple[int, list[list[int]]]:
    """Axis, and [kernel, stride, pad, dilation] for each spatial axis, read the plain way."""
    axis = param.get("axis", 1) % len(shape)
    n = len(shape) - axis - 1

    def each(name: str, default: int) -> list[int]:
        if f"{name}_h" in param:
            return [param[f"{name}_h"], param[f"{name}_w"]]
        value = param.get("kernel_size" if name == "kernel" else name, default)
        return list(value) if isinstance(value, tuple) else [value] * n

    return axis, [
        list(values)
        for values in zip(each("kernel", 1), each("stride", 1), each("pad", 0), each("dilation", 1), strict=True)
    ]


def slow_convolution(x: np.ndarray, kernels: np.ndarray, param: dict[str, Any], size: tuple[int, ...]) -> np.ndarray:
    """One sample (C, *size) with kernels (O, C/G, *kernel); output sizes are given, values outside are 0."""
    groups = param.get("group", 1)
    _, axes = geometry((1, *x.shape), {**param, "axis": 1})
    n_output, n_input = kernels.shape[:2]
    result = np.zeros((n_output, *size))
    for out in range(n_output):
        first = out // (n_output // groups) * n_input
        for at in product(*map(range, size)):
            for tap in product(*map(range, kernels.shape[2:])):
                place = [a * s - p + t * d for a, t, (_, s, p, d) in zip(at, tap, axes, strict=True)]
                if all(0 <= i < n for i, n in zip(place, x.shape[1:], strict=True)):
                    for channel in range(n_input):
                        result[(out, *at)] += float(kernels[(out, channel, *tap)]) * float(x[(first + channel, *place)])
    return result


@pytest.mark.parametrize(("shape", "param"), CASES.values(), ids=CASES)
def test_convolution_is_the_sum_of_its_definition(shape: tuple[int, ...], param: dict[str, Any]) -> None:
    axis, axes = geometry(shape, param)
    x = noise(*shape)
    kernels = noise(4, shape[axis] // param.get("group", 1), *(k for k, *_ in axes), seed=1)
    bias = noise(4, seed=2)
    got = run_one("Convolution", x, blobs=(kernels, bias), convolution_param={**param, "num_output": 4})
    size = got.shape[axis + 1 :]
    # C++ divides towards zero.
    assert size == tuple(
        int((n + 2 * p - d * (k - 1) - 1) / s) + 1 for n, (k, s, p, d) in zip(shape[axis + 1 :], axes, strict=True)
    )
    for image, result in zip(x.reshape(-1, *shape[axis:]), got.reshape(-1, 4, *size), strict=True):
        expected = slow_convolution(image, kernels, param, size) + bias.reshape(-1, *(1,) * len(size))
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_rows_computed_in_pieces_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x, blobs = noise(2, 4, 9, 8), (noise(6, 2, 3, 3, seed=1), noise(6, seed=2))
    param = {"num_output": 6, "kernel_size": 3, "group": 2, "stride": 2, "pad": 1}
    whole = run_one("Convolution", x, blobs=blobs, convolution_param=param)
    monkeypatch.setattr(convolution, "COLUMN_VALUES", 1)
    np.testing.assert_allclose(run_one("Convolution", x, blobs=blobs, convolution_param=param), whole, atol=1e-5)


@pytest.mark.parametrize(
    "param",
    [
        {"kernel_size": 3},
        {"kernel_size": 4, "stride": 2, "pad": 1},
        {"kernel_size": 2, "stride": 3, "dilation": 2, "group": 2},
    ],
)
def test_deconvolution_is_the_transpose_of_convolution(param: dict[str, Any]) -> None:
    # <deconvolution(y), x> = <y, convolution(x)> for all x and y with the same kernels.
    y, kernels = (
        noise(2, 4, 5, 4),
        noise(4, 6 // param.get("group", 1), param["kernel_size"], param["kernel_size"], seed=1),
    )
    up = run_one("Deconvolution", y, blobs=(kernels,), convolution_param={**param, "num_output": 6, "bias_term": False})
    x = noise(*up.shape, seed=3)
    down = run_one("Convolution", x, blobs=(kernels,), convolution_param={**param, "num_output": 4, "bias_term": False})
    assert down.shape == y.shape
    np.testing.assert_allclose(np.vdot(up, x), np.vdot(y, down), rtol=1e-4)


def test_deconvolution_in_one_and_three_axes() -> None:
    got = run_one(
        "Deconvolution",
        np.array([[[1.0, 2.0]]]),
        blobs=([[[1.0, 10.0, 100.0]]], [5.0]),
        convolution_param={"num_output": 1, "kernel_size": 3, "stride": 2},
    )
    np.testing.assert_array_equal(got, [[[6, 15, 107, 25, 205]]])
    got = run_one(
        "Deconvolution",
        noise(1, 1, 1, 1, 1),
        blobs=(np.ones((1, 1, 2, 3, 4)),),
        convolution_param={"num_output": 1, "kernel_size": (2, 3, 4), "bias_term": False},
    )
    np.testing.assert_array_equal(got, np.broadcast_to(noise(1, 1, 1, 1, 1), (1, 1, 2, 3, 4)))


@pytest.mark.parametrize("kind", ["DepthwiseConvolution", "ConvolutionDepthwise"])
@pytest.mark.parametrize("extra", [{}, {"num_output": 3}, {"num_output": 3, "group": 3}])
def test_depthwise_spellings(kind: str, extra: dict[str, Any]) -> None:
    x, blobs = noise(2, 3, 6, 6), (noise(3, 1, 3, 3, seed=1), noise(3, seed=2))
    shared = {"kernel_size": 3, "stride": 2, "pad": 1}
    expected = run_one("Convolution", x, blobs=blobs, convolution_param={**shared, "num_output": 3, "group": 3})
    np.testing.assert_array_equal(run_one(kind, x, blobs=blobs, convolution_param={**shared, **extra}), expected)


def test_depthwise_convolution_with_several_outputs_a_channel() -> None:
    x, blobs = noise(1, 2, 5, 5), (noise(4, 1, 3, 3, seed=1), noise(4, seed=2))
    got = run_one("DepthwiseConvolution", x, blobs=blobs, convolution_param={"num_output": 4, "kernel_size": 3})
    expected = slow_convolution(x[0], blobs[0], {"kernel_size": 3, "group": 2}, (3, 3)) + blobs[1].reshape(4, 1, 1)
    np.testing.assert_allclose(got[0], expected, rtol=1e-5, atol=1e-5)


def test_depthwise_convolution_obeys_a_group_that_is_given() -> None:
    x, param = noise(1, 4, 5, 5), {"num_output": 4, "kernel_size": 3, "group": 2, "bias_term": False}
    kernels = noise(4, 2, 3, 3, seed=1)
    expected = run_one("Convolution", x, blobs=(kernels,), convolution_param=param)
    np.testing.assert_array_equal(
        run_one("DepthwiseConvolution", x, blobs=(kernels,), convolution_param=param), expected
    )


def test_several_bottoms_share_the_kernels() -> None:
    x, y, kernels = noise(1, 2, 4, 4), noise(1, 2, 4, 4, seed=5), noise(3, 2, 1, 1, seed=1)
    param = {"num_output": 3, "kernel_size": 1, "bias_term": False}
    tops = run_all("Convolution", x, y, tops=2, blobs=(kernels,), convolution_param=param)
    for bottom, top in zip((x, y), tops, strict=True):
        np.testing.assert_array_equal(top, run_one("Convolution", bottom, blobs=(kernels,), convolution_param=param))
    with pytest.raises(ShapeError, match="2 bottoms and 1 tops"):
        run_layer(layer("Convolution", bottoms=2, convolution_param=param), [x, y])


def test_im2col_rows_times_kernels_are_a_convolution() -> None:
    x, kernels = noise(2, 3, 7, 6), noise(4, 3, 3, 2, seed=1)
    param = {"kernel_size": (3, 2), "stride": 2, "pad": 1, "dilation": 2}
    columns = run_one("Im2col", x, convolution_param=param)
    expected = run_one(
        "Convolution", x, blobs=(kernels,), convolution_param={**param, "num_output": 4, "bias_term": False}
    )
    np.testing.assert_allclose(np.einsum("ok,nkhw->nohw", kernels.reshape(4, -1), columns), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("param", "problem"),
    [
        ({"kernel_size": 9}, "output of a 5x5 input would be -3x-3"),
        ({"kernel_size": (1, 2, 3)}, "3 values, expected one, or one for each of 2"),
        ({"kernel_size": 1, "kernel_h": 1, "kernel_w": 1}, "instead of kernel_size"),
        ({"kernel_size": 1, "group": 2}, "2 groups do not divide 3"),
        ({}, "0 values"),
        ({"kernel_size": 1, "axis": 4}, "axis 4 is outside a blob of 4 axes"),
        ({"kernel_size": 1, "axis": 3}, "no axes behind axis 3 of 1x3x5x5"),
    ],
)
def test_parameters_that_do_not_fit(param: dict[str, Any], problem: str) -> None:
    with pytest.raises(ShapeError, match=problem):
        run_one("Convolution", noise(1, 3, 5, 5), convolution_param={**param, "num_output": 4})
