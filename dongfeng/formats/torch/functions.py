"""Caffe's layers without weights or state, as functions of tensors that can be pickled."""

# ruff: noqa: D102  the docstring of a class says what its call computes

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Function = Callable[..., Any]


@dataclass(frozen=True)
class TorchEltwise:
    """PROD, SUM with coefficients, or MAX."""

    operation: str
    coeff: tuple[float, ...]

    def __call__(self, *inputs: Tensor) -> Tensor:
        values = [
            value * factor if factor != 1 else value
            for value, factor in zip(inputs, self.coeff or (1.0,) * len(inputs), strict=True)
        ]
        result = values[0]
        for value in values[1:]:
            if self.operation == "SUM":
                result = result + value
            elif self.operation == "PROD":
                result = result * value
            else:
                result = torch.maximum(result, value)
        return result


@dataclass(frozen=True)
class TorchConcat:
    """Inputs joined along an axis."""

    axis: int

    def __call__(self, *inputs: Tensor) -> Tensor:
        return torch.cat(inputs, self.axis)


@dataclass(frozen=True)
class TorchSlice:
    """Parts of an axis, cut at points or equal."""

    axis: int
    points: tuple[int, ...]
    n_parts: int

    def __call__(self, input: Tensor) -> Any:
        if self.n_parts == 1:
            return input
        if self.points:
            return torch.tensor_split(input, self.points, self.axis)
        return torch.chunk(input, self.n_parts, self.axis)


@dataclass(frozen=True)
class Copies:
    """The input, `count` times: Split, and layers that do nothing."""

    count: int = 1

    def __call__(self, input: Tensor) -> Any:
        return input if self.count == 1 else (input,) * self.count


@dataclass(frozen=True)
class TorchFlatten:
    """Axes from the first to the last, joined."""

    first: int
    last: int

    def __call__(self, input: Tensor) -> Tensor:
        return input.flatten(self.first, self.last)


@dataclass(frozen=True)
class TorchReshape:
    """Axes from `first` to before `last`, reshaped to `dims`: 0 copies a dimension, -1 takes the rest."""

    first: int
    last: int
    dims: tuple[int, ...]

    def __call__(self, input: Tensor) -> Tensor:
        shape = input.shape
        before = [shape[axis] for axis in range(self.first)]
        middle = [shape[self.first + place] if dim == 0 else dim for place, dim in enumerate(self.dims)]
        after = [shape[axis] for axis in range(self.last, input.dim())]
        return input.reshape([*before, *middle, *after])


@dataclass(frozen=True)
class TorchCrop:
    """The first input cut to the second's size, by an offset for each axis."""

    offsets: tuple[tuple[int, int], ...]

    def __call__(self, input: Tensor, reference: Tensor) -> Tensor:
        for axis, offset in self.offsets:
            input = input.narrow(axis, offset, reference.shape[axis])
        return input


@dataclass(frozen=True)
class TorchTile:
    """The input repeated along an axis."""

    axis: int
    tiles: int

    def __call__(self, input: Tensor) -> Tensor:
        return torch.cat([input] * self.tiles, self.axis)


@dataclass(frozen=True)
class TorchPermute:
    """Axes in another order."""

    order: tuple[int, ...]

    def __call__(self, input: Tensor) -> Tensor:
        return input.permute(self.order)


@dataclass(frozen=True)
class TorchAxpy:
    """a * x + y, one a per sample and channel, for x of `rank` axes."""

    rank: int

    def __call__(self, a: Tensor, x: Tensor, y: Tensor) -> Tensor:
        while a.dim() < self.rank:
            a = a.unsqueeze(-1)
        return a * x + y


@dataclass(frozen=True)
class TorchReduction:
    """Sum, mean, or sum of absolute values or squares over some axes, times `coeff`."""

    operation: str
    axes: tuple[int, ...]
    coeff: float

    def __call__(self, input: Tensor) -> Tensor:
        if self.operation == "MEAN":
            return input.mean(self.axes) * self.coeff
        values = {"SUM": input, "ASUM": input.abs(), "SUMSQ": input.square()}[self.operation]
        return values.sum(self.axes) * self.coeff


@dataclass(frozen=True)
class TorchMVN:
    """(x - mean) / (sqrt(variance) + eps) over some axes; without axes every value is its own mean."""

    axes: tuple[int, ...]
    normalize_variance: bool
    eps: float

    def __call__(self, input: Tensor) -> Tensor:
        if not self.axes:
            return input - input
        centred = input - input.mean(self.axes, keepdim=True)
        if not self.normalize_variance:
            return centred
        return centred / (centred.square().mean(self.axes, keepdim=True).sqrt() + self.eps)


@dataclass(frozen=True)
class LRNWithin:
    """Local response normalisation within a channel: `k` is 1, the mean divides by the whole window."""

    size: int
    alpha: float
    beta: float

    def __call__(self, input: Tensor) -> Tensor:
        mean = functional.avg_pool2d(input.square(), self.size, 1, (self.size - 1) // 2)
        return input * (mean * self.alpha + 1.0) ** -self.beta


@dataclass(frozen=True)
class TorchExp:
    """e ^ (shift + scale * x)."""

    scale: float
    shift: float

    def __call__(self, input: Tensor) -> Tensor:
        return torch.exp(input * self.scale + self.shift)


@dataclass(frozen=True)
class TorchLog:
    """factor * log(shift + scale * x)."""

    scale: float
    shift: float
    factor: float

    def __call__(self, input: Tensor) -> Tensor:
        return torch.log(input * self.scale + self.shift) * self.factor


@dataclass(frozen=True)
class TorchPower:
    """(shift + scale * x) ^ power."""

    power: float
    scale: float
    shift: float

    def __call__(self, input: Tensor) -> Tensor:
        if self.power * self.scale == 0:
            return input * 0.0 + (1.0 if self.power == 0 else self.shift**self.power)
        linear = input * self.scale + self.shift
        return linear if self.power == 1 else linear**self.power


@dataclass(frozen=True)
class TorchSwish:
    """x * sigmoid(beta * x)."""

    beta: float

    def __call__(self, input: Tensor) -> Tensor:
        return input * torch.sigmoid(input * self.beta)


@dataclass(frozen=True)
class TorchHardSigmoid:
    """min(max(alpha * x + beta, 0), 1)."""

    alpha: float
    beta: float

    def __call__(self, input: Tensor) -> Tensor:
        return torch.clamp(input * self.alpha + self.beta, 0.0, 1.0)


@dataclass(frozen=True)
class TorchThreshold:
    """1 where x is greater, else 0."""

    threshold: float

    def __call__(self, input: Tensor) -> Tensor:
        return (input > self.threshold).to(input.dtype)
