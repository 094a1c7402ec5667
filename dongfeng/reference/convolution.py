"""Layers of matrix products: Convolution, its depthwise forks, Deconvolution, Im2col, InnerProduct.

The products run in single precision, as in Caffe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod

import numpy as np

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError
from dongfeng.net.graph import Layer
from dongfeng.reference.axes import canonical, require_same_shapes, show, spread
from dongfeng.reference.registry import AnyArray, Array, forward_of
from dongfeng.reference.weights import weight_and_bias
from dongfeng.reference.window import Window, patches, read_window

COLUMN_VALUES = 1 << 23  # im2col values held at once; a high-resolution net would need gigabytes otherwise


@forward_of("Convolution", "DepthwiseConvolution", "ConvolutionDepthwise", bottoms=(1, None), tops=(1, None))
def convolution(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Sums of products with kernels; every bottom meets the same kernels."""
    axis, window = _geometry(layer, bottoms)
    channels, groups, n_output = _channels(layer, bottoms[0].shape[axis])
    shape = (n_output, channels // groups, *window.kernel)
    kernels, *biases = weight_and_bias(layer, layer.params.convolution_param, shape, n_output)
    kernels = kernels.reshape(groups, n_output // groups, -1)
    map_shape = (n_output, *window.convolved(bottoms[0].shape[axis + 1 :]))
    return [_maps(bottom, axis, map_shape, partial(_convolve, kernels, window), biases) for bottom in bottoms]


def _maps(
    bottom: Array, axis: int, shape: tuple[int, ...], fill: Callable[[Array, Array], None], biases: Sequence[Array]
) -> AnyArray:
    """Return the top of a bottom: `fill` computes the map (O, *out) of an image (C, *size); the bias is added."""
    images = bottom.reshape(-1, *bottom.shape[axis:])
    top = np.empty((len(images), *shape), np.float32)
    for image, result in zip(images, top, strict=True):
        fill(image, result)
    if biases:
        top += spread(biases[0], 1, top.ndim)
    return top.reshape(*bottom.shape[:axis], *shape)


def _convolve(kernels: Array, window: Window, image: Array, result: Array) -> None:
    """Fill `result` (O, *out) from `image` (C, *size) and `kernels` (G, O/G, C/G * taps), some rows at a time."""
    groups, _, n_weights = kernels.shape
    seen = patches(image, window)
    rows_axis = 1 + len(window.kernel)
    n_rows, row_size = result.shape[1], prod(result.shape[2:])
    step = max(1, COLUMN_VALUES // (groups * n_weights * row_size))
    for start in range(0, n_rows, step):
        rows = slice(start, min(start + step, n_rows))
        columns = seen[(slice(None),) * rows_axis + (rows,)].reshape(groups, n_weights, -1)
        result[:, rows] = np.matmul(kernels, columns).reshape(result[:, rows].shape)


@forward_of("Deconvolution", bottoms=(1, None), tops=(1, None))
def deconvolution(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The transpose of a convolution: every value adds a multiple of the kernels to the output."""
    axis, window = _geometry(layer, bottoms)
    channels, groups, n_output = _channels(layer, bottoms[0].shape[axis])
    shape = (channels, n_output // groups, *window.kernel)
    kernels, *biases = weight_and_bias(layer, layer.params.convolution_param, shape, n_output)
    kernels = kernels.reshape(groups, channels // groups, n_output // groups, *window.kernel)
    map_shape = (n_output, *window.deconvolved(bottoms[0].shape[axis + 1 :]))
    return [_maps(bottom, axis, map_shape, partial(_deconvolve, kernels, window), biases) for bottom in bottoms]


def _deconvolve(kernels: Array, window: Window, image: Array, result: Array) -> None:
    """Fill `result` (O, *out) from `image` (C, *size) and `kernels` (G, C/G, O/G, *kernel)."""
    groups, size, out = len(kernels), image.shape[1:], result.shape[1:]
    values = image.reshape(groups, image.shape[0] // groups, -1)
    canvas = np.zeros((len(result), *(n + 2 * pad for n, pad in zip(out, window.pad, strict=True))), np.float32)
    for tap in np.ndindex(*window.kernel):
        matrix = kernels[(slice(None), slice(None), slice(None), *tap)].transpose(0, 2, 1)
        product = np.matmul(matrix, values).reshape(-1, *size)
        at = [
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, s, n in zip(tap, window.dilation, window.stride, size, strict=True)
        ]
        canvas[(slice(None), *at)] += product
    inner = tuple(slice(pad, pad + n) for n, pad in zip(out, window.pad, strict=True))
    result[...] = canvas[(slice(None), *inner)]


def _geometry(layer: Layer, bottoms: Sequence[Array]) -> tuple[int, Window]:
    """Return channel axis and window of a convolution."""
    require_same_shapes(bottoms)
    if len(layer.tops) != len(bottoms):
        raise ShapeError(f"has {len(bottoms)} bottoms and {len(layer.tops)} tops, expected as many")
    param = layer.params.convolution_param
    axis = canonical(param.axis, bottoms[0].ndim)
    if axis == bottoms[0].ndim - 1:
        raise ShapeError(f"no axes behind axis {axis} of {show(bottoms[0].shape)} for a kernel to move over")
    return axis, read_window(param, bottoms[0].ndim - axis - 1)


def _channels(layer: Layer, channels: int) -> tuple[int, int, int]:
    """Return the numbers of input channels, groups and output channels."""
    param: Message = layer.params.convolution_param
    groups, n_output = param.group, param.num_output
    if layer.type == "ConvolutionDepthwise":  # reads neither field
        groups = n_output = channels
    elif layer.type == "DepthwiseConvolution":
        groups = groups if param.has("group") else channels
        n_output = n_output or channels
    if n_output < 1 or groups < 1 or channels % groups or n_output % groups:
        raise ShapeError(f"{groups} groups do not divide {channels} input and {n_output} output channels")
    return channels, groups, n_output


@forward_of("Im2col", bottoms=(1, None), tops=(1, None))
def im2col(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The values under a kernel at each position, as channels."""
    axis, window = _geometry(layer, bottoms)
    tops = []
    for bottom in bottoms:
        columns = np.stack([patches(image, window) for image in bottom.reshape(-1, *bottom.shape[axis:])])
        out = columns.shape[2 + len(window.kernel) :]
        tops.append(columns.reshape(*bottom.shape[:axis], bottom.shape[axis] * prod(window.kernel), *out))
    return tops


@forward_of("InnerProduct")
def inner_product(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The product of a matrix and all axes from `axis` on."""
    (x,), param = bottoms, layer.params.inner_product_param
    axis = canonical(param.axis, x.ndim)
    n_input, n_output = prod(x.shape[axis:]), param.num_output
    if n_output < 1:
        raise ShapeError(f"num_output must be positive for a bottom of {show(x.shape)}")
    shape = (n_input, n_output) if param.transpose else (n_output, n_input)
    matrix, *biases = weight_and_bias(layer, param, shape, n_output)
    top = x.reshape(-1, n_input) @ (matrix if param.transpose else matrix.T)
    return [(top + biases[0] if biases else top).reshape(*x.shape[:axis], n_output)]
