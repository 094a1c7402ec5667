"""Caffe's layers without weights or state, as functions of tensors; `functools.partial` of one can be pickled."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def eltwise(*inputs: Tensor, operation: str, coeff: tuple[float, ...]) -> Tensor:
    """Compute PROD, SUM with coefficients, or MAX."""
    values = [
        value * factor if factor != 1 else value
        for value, factor in zip(inputs, coeff or (1.0,) * len(inputs), strict=True)
    ]
    result = values[0]
    for value in values[1:]:
        if operation == "SUM":
            result = result + value
        elif operation == "PROD":
            result = result * value
        else:
            result = torch.maximum(result, value)
    return result


def concat(*inputs: Tensor, axis: int) -> Tensor:
    """Join the inputs along an axis."""
    return torch.cat(inputs, axis)


def slices(input: Tensor, *, axis: int, points: tuple[int, ...], n_parts: int) -> Any:
    """Cut an axis into parts, at points or equal."""
    if n_parts == 1:
        return input
    return torch.tensor_split(input, points, axis) if points else torch.chunk(input, n_parts, axis)


def copies(input: Tensor, *, count: int) -> Any:
    """Return the input `count` times."""
    return input if count == 1 else (input,) * count


def reshape(input: Tensor, *, first: int, last: int, dims: tuple[int, ...]) -> Tensor:
    """Reshape the axes from `first` to before `last` to `dims`: 0 copies a dimension, -1 takes the rest."""
    shape = input.shape
    before = [shape[axis] for axis in range(first)]
    middle = [shape[first + place] if dim == 0 else dim for place, dim in enumerate(dims)]
    after = [shape[axis] for axis in range(last, input.dim())]
    return input.reshape([*before, *middle, *after])


def crop(input: Tensor, reference: Tensor, *, offsets: tuple[tuple[int, int], ...]) -> Tensor:
    """Cut the first input to the second's size, by an offset for each axis."""
    for axis, offset in offsets:
        input = input.narrow(axis, offset, reference.shape[axis])
    return input


def tile(input: Tensor, *, axis: int, tiles: int) -> Tensor:
    """Repeat the input along an axis."""
    return torch.cat([input] * tiles, axis)


def axpy(a: Tensor, x: Tensor, y: Tensor, *, rank: int) -> Tensor:
    """Compute a * x + y, one a per sample and channel, for x of `rank` axes."""
    while a.dim() < rank:
        a = a.unsqueeze(-1)
    return a * x + y


def reduction(input: Tensor, *, operation: str, axes: tuple[int, ...], coeff: float) -> Tensor:
    """Compute the sum, the mean, or the sum of absolute values or squares over some axes, times `coeff`."""
    if operation == "MEAN":
        return input.mean(axes) * coeff
    values = {"SUM": input, "ASUM": input.abs(), "SUMSQ": input.square()}[operation]
    return values.sum(axes) * coeff


def mvn(input: Tensor, *, axes: tuple[int, ...], normalize_variance: bool, eps: float) -> Tensor:
    """Compute (x - mean) / (sqrt(variance) + eps) over some axes; without axes every value is its own mean."""
    if not axes:
        return input - input
    centred = input - input.mean(axes, keepdim=True)
    if not normalize_variance:
        return centred
    return centred / (centred.square().mean(axes, keepdim=True).sqrt() + eps)


def lrn_within(input: Tensor, *, size: int, alpha: float, beta: float) -> Tensor:
    """Normalise local responses within a channel: `k` is 1, the mean divides by the whole window."""
    mean = functional.avg_pool2d(input.square(), size, 1, (size - 1) // 2)
    return input * (mean * alpha + 1.0) ** -beta


def exp(input: Tensor, *, scale: float, shift: float) -> Tensor:
    """Compute e ^ (shift + scale * x)."""
    return torch.exp(input * scale + shift)


def log(input: Tensor, *, scale: float, shift: float, factor: float) -> Tensor:
    """Compute the logarithm of shift + scale * x, times `factor`."""
    return torch.log(input * scale + shift) * factor


def power(input: Tensor, *, power: float, scale: float, shift: float) -> Tensor:
    """Compute (shift + scale * x) ^ power."""
    if power * scale == 0:
        return input * 0.0 + (1.0 if power == 0 else shift**power)
    linear = input * scale + shift
    return linear if power == 1 else linear**power


def swish(input: Tensor, *, beta: float) -> Tensor:
    """Compute x * sigmoid(beta * x)."""
    return input * torch.sigmoid(input * beta)


def hard_sigmoid(input: Tensor, *, alpha: float, beta: float) -> Tensor:
    """Compute min(max(alpha * x + beta, 0), 1)."""
    return torch.clamp(input * alpha + beta, 0.0, 1.0)


def exceeds(input: Tensor, *, threshold: float) -> Tensor:
    """Return 1 where x is greater, else 0."""
    return (input > threshold).to(input.dtype)
