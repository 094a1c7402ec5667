"""Layers that add and multiply blobs: Eltwise, Scale, Bias, Axpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError
from dongfeng.net.graph import Layer
from dongfeng.reference.axes import canonical, require_same_shapes, show, spread
from dongfeng.reference.registry import AnyArray, Array, forward_of
from dongfeng.reference.weights import weights

FLT_MAX = np.finfo(np.float32).max


@forward_of("Eltwise", bottoms=(2, None))
def eltwise(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Product, weighted sum or maximum of blobs of one shape."""
    require_same_shapes(bottoms)
    param = layer.params.eltwise_param
    coeffs = param.coeff or (1.0,) * len(bottoms)
    if len(coeffs) != len(bottoms) or (param.operation == "PROD" and param.coeff):
        raise ShapeError(f"{param.operation} of {len(bottoms)} bottoms cannot take {len(coeffs)} coeff")
    if param.operation == "SUM":
        result = np.float32(coeffs[0]) * bottoms[0]
        for coeff, bottom in zip(coeffs[1:], bottoms[1:], strict=True):
            result += bottom if coeff == 1 else np.float32(coeff) * bottom
        return [result]
    result = bottoms[0]
    for bottom in bottoms[1:]:
        result = result * bottom if param.operation == "PROD" else np.where(result > bottom, result, bottom)
    return [result]


def overwritten_first(layer: Layer, bottoms: Sequence[Array]) -> list[Array]:
    """Return the bottoms that an in-place Eltwise reads: SUM and MAX set their top before they read bottom 0."""
    start = {"SUM": 0.0, "MAX": -FLT_MAX}.get(layer.params.eltwise_param.operation)
    return list(bottoms) if start is None else [np.full_like(bottoms[0], start), *bottoms[1:]]


@forward_of("Scale", bottoms=(1, 2))
def scale(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Product with a blob that spans some of the axes, plus a bias of the same span."""
    x, param = bottoms[0], layer.params.scale_param
    shape = bottoms[1].shape if len(bottoms) == 2 else _span(x, param)
    fillers = [] if len(bottoms) == 2 else [param.filler if param.has("filler") else 1.0]
    if param.bias_term:
        fillers.append(param.bias_filler)
    blobs = weights(layer, [shape] * len(fillers), fillers) if fillers else []
    factor, *shift = (*bottoms[1:], *blobs)
    result = x * _spread(factor, x, param)
    return [result + _spread(shift[0], x, param) if shift else result]


@forward_of("Bias", bottoms=(1, 2))
def bias(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Sum with a blob that spans some of the axes."""
    x, param = bottoms[0], layer.params.bias_param
    added = bottoms[1] if len(bottoms) == 2 else weights(layer, [_span(x, param)], [param.filler])[0]
    return [x + _spread(added, x, param)]


def _span(x: Array, param: Message) -> tuple[int, ...]:
    """Return the shape of the learned blob of a Scale or Bias layer."""
    axis = canonical(param.axis, x.ndim)
    if param.num_axes == -1:
        return x.shape[axis:]
    if param.num_axes < 0 or axis + param.num_axes > x.ndim:
        raise ShapeError(f"axis {param.axis} and num_axes {param.num_axes} reach outside a blob of {x.ndim} axes")
    return x.shape[axis : axis + param.num_axes]


def _spread(values: Array, x: Array, param: Message) -> AnyArray:
    axis = canonical(param.axis, x.ndim) if values.ndim else 0
    if values.shape != x.shape[axis : axis + values.ndim]:
        raise ShapeError(f"a blob of {show(values.shape)} does not fit {show(x.shape)} from axis {axis} on")
    return spread(values, axis, x.ndim)


@forward_of("Axpy", bottoms=(3, 3))
def axpy(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """One factor per sample and channel, times the second bottom, plus the third."""
    factor, x, y = bottoms
    require_same_shapes([x, y])
    if factor.shape[:2] != x.shape[:2] or factor.size != factor.shape[0] * factor.shape[1]:
        raise ShapeError(f"factors of {show(factor.shape)} do not fit {show(x.shape)}: one a sample and channel")
    return [spread(factor.reshape(factor.shape[:2]), 0, x.ndim) * x + y]
