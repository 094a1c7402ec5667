"""Activation functions: layers that map each value by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from dongfeng.errors import ShapeError, UnsupportedLayer
from dongfeng.net.graph import Layer
from dongfeng.reference.axes import spread
from dongfeng.reference.registry import AnyArray, Array, forward_of
from dongfeng.reference.weights import weights


def sigmoid(x: AnyArray) -> AnyArray:
    """Compute 1 / (1 + exp(-x)) without overflow."""
    result: AnyArray = 0.5 * np.tanh(0.5 * x) + 0.5
    return result


def softplus(x: AnyArray) -> AnyArray:
    """Compute log(1 + exp(x)) without overflow."""
    result: AnyArray = np.logaddexp(0, x)
    return result


# In double precision: the result is rounded once.
_PLAIN: dict[str, Callable[[AnyArray], AnyArray]] = {
    "AbsVal": np.abs,
    "BNLL": softplus,
    "Sigmoid": sigmoid,
    "TanH": np.tanh,
    "ReLU6": lambda x: np.clip(x, 0, 6),
    "HSwish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "HardSwish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "Mish": lambda x: x * np.tanh(softplus(x)),
}


@forward_of(*_PLAIN)
def plain(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Functions without parameters."""
    return [_PLAIN[layer.type](bottoms[0].astype(np.float64))]


@forward_of("ReLU")
def relu(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The sum max(x, 0) + negative_slope * min(x, 0)."""
    (x,), slope = bottoms, np.float32(layer.params.relu_param.negative_slope)
    positive = np.maximum(x, 0)
    return [positive + slope * np.minimum(x, 0) if slope else positive]


@forward_of("PReLU")
def prelu(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The sum max(x, 0) + slope * min(x, 0), with one slope per channel or one for all."""
    (x,), param = bottoms, layer.params.prelu_param
    if x.ndim < 2:
        raise ShapeError("the bottom must have at least two axes")
    filler = param.filler if param.has("filler") else 0.25
    (slope,) = weights(layer, [() if param.channel_shared else (x.shape[1],)], [filler])
    return [np.maximum(x, 0) + spread(slope, 1 if slope.ndim else 0, x.ndim) * np.minimum(x, 0)]


@forward_of("ELU")
def elu(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The value itself above zero, alpha * (exp(x) - 1) below."""
    x = bottoms[0].astype(np.float64)
    return [np.maximum(x, 0) + layer.params.elu_param.alpha * np.expm1(np.minimum(x, 0))]


@forward_of("Swish")
def swish(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Product of x and sigmoid(beta * x)."""
    x = bottoms[0].astype(np.float64)
    return [x * sigmoid(layer.params.swish_param.beta * x)]


@forward_of("HardSigmoid")
def hard_sigmoid(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Clip of alpha * x + beta to 0..1."""
    param = layer.params.hardsigmoid_param
    return [np.clip(param.alpha * bottoms[0].astype(np.float64) + param.beta, 0, 1)]


@forward_of("Clip")
def clip(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Values limited to min..max."""
    param = layer.params.clip_param
    return [np.maximum(np.float32(param.min), np.minimum(bottoms[0], np.float32(param.max)))]


@forward_of("Threshold")
def threshold(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Ones above the threshold, else zeros."""
    return [bottoms[0] > np.float32(layer.params.threshold_param.threshold)]


@forward_of("Power")
def power(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The power (shift + scale * x) ^ power."""
    param = layer.params.power_param
    if param.scale == 0 or param.power == 0:  # a constant, whatever x is
        value = 1.0 if param.power == 0 else np.power(param.shift, param.power)
        return [np.full(bottoms[0].shape, value)]
    inner = param.shift + param.scale * bottoms[0].astype(np.float64)
    return [inner if param.power == 1 else np.power(inner, param.power)]


def _log_base(base: float) -> float:
    """Return the natural logarithm of the parameter `base`, where -1 stands for e."""
    if base == -1:
        return 1.0
    if base <= 0:
        raise ShapeError(f"base must be positive, or -1 for e, got {base:g}")
    return math.log(base)


@forward_of("Exp")
def exp(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The power base ^ (shift + scale * x)."""
    param = layer.params.exp_param
    return [np.exp(_log_base(param.base) * (param.shift + param.scale * bottoms[0].astype(np.float64)))]


@forward_of("Log")
def log(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Logarithm of shift + scale * x to a base."""
    param = layer.params.log_param
    return [np.log(param.shift + param.scale * bottoms[0].astype(np.float64)) / _log_base(param.base)]


@forward_of("Dropout")
def dropout(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The bottom itself: Caffe scales while training."""
    if is_training(layer):
        raise UnsupportedLayer(["Dropout in phase TRAIN is random; remove its `phase`"])
    return [bottoms[0]]


def is_training(layer: Layer) -> bool:
    """Return whether the layer's own `phase` makes it run as in training."""
    return bool(layer.params.has("phase") and layer.params.phase == "TRAIN")
