"""Activation functions: layers that map each value by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from dongfeng.caffe.message import Message
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


# Of the values, in double precision, and the layer's parameters; the result is rounded once.
_FORMULAS: dict[str, Callable[[AnyArray, Message], AnyArray]] = {
    "AbsVal": lambda x, _: np.abs(x),
    "BNLL": lambda x, _: softplus(x),
    "ELU": lambda x, params: np.maximum(x, 0) + params.elu_param.alpha * np.expm1(np.minimum(x, 0)),
    "Exp": lambda x, params: np.exp(_log_base(params.exp_param.base) * _affine(params.exp_param, x)),
    "HSwish": lambda x, _: x * np.clip(x + 3, 0, 6) / 6,
    "HardSigmoid": lambda x, params: np.clip(params.hardsigmoid_param.alpha * x + params.hardsigmoid_param.beta, 0, 1),
    "HardSwish": lambda x, _: x * np.clip(x + 3, 0, 6) / 6,
    "Log": lambda x, params: np.log(_affine(params.log_param, x)) / _log_base(params.log_param.base),
    "Mish": lambda x, _: x * np.tanh(softplus(x)),
    "ReLU6": lambda x, _: np.clip(x, 0, 6),
    "Sigmoid": lambda x, _: sigmoid(x),
    "Swish": lambda x, params: x * sigmoid(params.swish_param.beta * x),
    "TanH": lambda x, _: np.tanh(x),
}


@forward_of(*_FORMULAS)
def formula(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Functions of one formula."""
    return [_FORMULAS[layer.type](bottoms[0].astype(np.float64), layer.params)]


def _affine(param: Message, x: AnyArray) -> AnyArray:
    result: AnyArray = param.shift + param.scale * x
    return result


def _log_base(base: float) -> float:
    """Return the natural logarithm of the parameter `base`, where -1 stands for e."""
    if base == -1:
        return 1.0
    if base <= 0:
        raise ShapeError(f"base must be positive, or -1 for e, got {base:g}")
    return math.log(base)


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
    inner = _affine(param, bottoms[0].astype(np.float64))
    return [inner if param.power == 1 else np.power(inner, param.power)]


@forward_of("Dropout")
def dropout(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The bottom itself: Caffe scales while training."""
    if is_training(layer):
        raise UnsupportedLayer(["Dropout in phase TRAIN is random; remove its `phase`"])
    return [bottoms[0]]


def is_training(layer: Layer) -> bool:
    """Return whether the layer's own `phase` makes it run as in training."""
    return bool(layer.params.has("phase") and layer.params.phase == "TRAIN")
