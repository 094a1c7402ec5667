"""Activation functions: one value in, one value out."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError
from dongfeng.layers.base import LayerType, constant_filler, register
from dongfeng.layers.elementwise import SameShape
from dongfeng.layers.layer import Layer, Shape
from dongfeng.layers.onnx_graph import FLOAT, OnnxGraph


class Neuron(SameShape):
    """A layer that maps every value by one formula."""

    def emit(self, graph: OnnxGraph) -> None:
        self.formula(graph, self.layer.bottoms[0], list(self.layer.tops))

    @abstractmethod
    def formula(self, graph: OnnxGraph, x: str, tops: list[str]) -> None:
        """Add the nodes; the last one writes `tops`."""


def _affine(graph: OnnxGraph, x: str, scale: float, shift: float, tops: list[str] | None = None) -> str:
    """Add the nodes of `scale * x + shift`, without those that change nothing."""
    if scale != 1:
        x = graph.node("Mul", [x, graph.floats(scale)], None if shift else tops)
    if shift:
        x = graph.node("Add", [x, graph.floats(shift)], tops)
    return x


class _Unary(Neuron):
    """A layer that is one ONNX operator; of its parameters only the engine could be set."""

    onnx_op: ClassVar[str]

    def formula(self, graph: OnnxGraph, x: str, tops: list[str]) -> None:
        graph.node(self.onnx_op, [x], tops)


@register("AbsVal")
class AbsVal(_Unary):
    """Source: Caffe, AbsValLayer: the magnitude of x."""

    onnx_op = "Abs"


@register("BNLL")
class BNLL(_Unary):
    """Source: Caffe, BNLLLayer: log(1 + exp(x))."""

    onnx_op = "Softplus"


@register("Sigmoid")
class Sigmoid(_Unary):
    """Source: Caffe, SigmoidLayer: 1 / (1 + exp(-x))."""

    params_field: ClassVar[str | None] = "sigmoid_param"
    onnx_op = "Sigmoid"


@register("TanH")
class TanH(_Unary):
    """Source: Caffe, TanHLayer: tanh(x)."""

    params_field: ClassVar[str | None] = "tanh_param"
    onnx_op = "Tanh"


@register("ReLU")
class ReLU(Neuron):
    """Source: Caffe, ReLULayer: max(x, 0); `negative_slope` makes it leaky."""

    params_field: ClassVar[str | None] = "relu_param"

    def formula(self, graph: OnnxGraph, x: str, tops: list[str]) -> None:
        if self.param.negative_slope == 0:
            graph.node("Relu", [x], tops)
        else:
            graph.node("LeakyRelu", [x], tops, alpha=self.param.negative_slope)


@register("ReLU6")
class ReLU6(Neuron):
    """Source: MobileNetV2's Caffe, ReLU6Layer: min(max(x, 0), 6)."""

    def formula(self, graph: OnnxGraph, x: str, tops: list[str]) -> None:
        graph.node("Clip", [x, graph.floats(0.0), graph.floats(6.0)], tops)


@register("Clip")
class Clip(Neuron):
    """Source: Caffe, ClipLayer: x limited to `min` and `max`, both of which must be given."""

    params_field: ClassVar[str | None] = "clip_param"

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        if not (self.param.has("min") and self.param.has("max")):
            raise ShapeError("expected clip_param with min and max")

    def formula(self, graph: OnnxGraph, x: str, tops: list[str]) -> None:
        graph.node("Clip", [x, graph.floats(self.param.min), graph.floats(self.param.max)], tops)


@register("ELU")
class ELU(Neuron):
    """Source: Caffe, ELULayer: alpha * (exp(x) - 1) below zero."""

    params_field: ClassVar[str | None] = "elu_param"

    def formula(self, graph: OnnxGraph, x: str, tops: list[str]) -> None:
        graph.node("Elu", [x], tops, alpha=self.param.alpha)


@register("Exp")
class Exp(Neuron):
    """Source: Caffe, ExpLayer: base ^ (shift + scale * x); base -1 stands for e."""

    params_field: ClassVar[str | None] = "exp_param"

    def formula(self, graph: OnnxGraph, x: str, tops: list[str]) -> None:
        param = self.param
        log_base = 1.0 if param.base == -1 else math.log(_positive_base(param.base))
        graph.node("Exp", [_affine(graph, x, param.scale * log_base, param.shift * log_base)], tops)


@register("Log")
class Log(Neuron):
    """Source: Caffe, LogLayer: log_base(shift + scale * x); base -1 stands for e."""

    params_field: ClassVar[str | None] = "log_param"

    def formula(self, graph: OnnxGraph, x: str, tops: list[str]) -> None:
        param = self.param
        inner = _affine(graph, x, param.scale, param.shift)
        if param.base == -1:
            graph.node("Log", [inner], tops)
        else:
            factor = 1.0 / math.log(_positive_base(param.base))
            graph.node("Mul", [graph.node("Log", [inner]), graph.floats(factor)], tops)


def _positive_base(base: float) -> float:
    if base <= 0:
        raise ShapeError(f"base must be positive, or -1 for e, got {base}")
    return base


@register("Power")
class Power(Neuron):
    """Source: Caffe, PowerLayer: (shift + scale * x) ^ power; power 0 gives ones, scale 0 a constant."""

    params_field: ClassVar[str | None] = "power_param"

    def formula(self, graph: OnnxGraph, x: str, tops: list[str]) -> None:
        param = self.param
        if param.power * param.scale == 0:
            value = 1.0 if param.power == 0 else param.shift**param.power
            zero = graph.node("Mul", [x, graph.floats(0.0)])
            graph.node("Add", [zero, graph.floats(value)], tops)
        elif param.power != 1:
            graph.node("Pow", [_affine(graph, x, param.scale, param.shift), graph.floats(param.power)], tops)
        elif param.scale == 1 and param.shift == 0:
            graph.node("Identity", [x], tops)
        else:
            _affine(graph, x, param.scale, param.shift, tops)


@register("Threshold")
class Threshold(Neuron):
    """Source: Caffe, ThresholdLayer: 1 where x is greater than the threshold, else 0."""

    params_field: ClassVar[str | None] = "threshold_param"

    def formula(self, graph: OnnxGraph, x: str, tops: list[str]) -> None:
        is_above = graph.node("Greater", [x, graph.floats(self.param.threshold)])
        graph.node("Cast", [is_above], tops, to=FLOAT)


@register("Swish")
class Swish(Neuron):
    """Source: Caffe, SwishLayer: x * sigmoid(beta * x)."""

    params_field: ClassVar[str | None] = "swish_param"

    def formula(self, graph: OnnxGraph, x: str, tops: list[str]) -> None:
        gate = graph.node("Sigmoid", [_affine(graph, x, self.param.beta, 0.0)])
        graph.node("Mul", [x, gate], tops)


@register("HSwish", "HardSwish")
class HardSwish(Neuron):
    """Source: MobileNetV3's Caffe ports: x * min(max(x + 3, 0), 6) / 6."""

    def formula(self, graph: OnnxGraph, x: str, tops: list[str]) -> None:
        gate = graph.node("HardSigmoid", [x], alpha=1 / 6, beta=0.5)
        graph.node("Mul", [x, gate], tops)


@register("HardSigmoid")
class HardSigmoid(Neuron):
    """Source: MobileNetV3's Caffe ports: min(max(alpha * x + beta, 0), 1)."""

    params_field: ClassVar[str | None] = "hardsigmoid_param"

    def formula(self, graph: OnnxGraph, x: str, tops: list[str]) -> None:
        graph.node("HardSigmoid", [x], tops, alpha=self.param.alpha, beta=self.param.beta)


@register("Mish")
class Mish(Neuron):
    """Source: YOLOv4's Caffe ports: x * tanh(log(1 + exp(x)))."""

    def formula(self, graph: OnnxGraph, x: str, tops: list[str]) -> None:
        graph.node("Mul", [x, graph.node("Tanh", [graph.node("Softplus", [x])])], tops)


@register("PReLU")
class PReLU(LayerType):
    """Source: Caffe, PReLULayer: a learned slope below zero, per channel or one for all; 0.25 unless learned."""

    params_field: ClassVar[str | None] = "prelu_param"

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms[0]) < 2:
            raise ShapeError("the bottom must have a channel axis")
        return [bottoms[0]]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [() if self.param.channel_shared else (bottoms[0][1],)]

    def fillers(self) -> list[Message]:
        return [self.param.filler if self.param.has("filler") else constant_filler(0.25)]

    def emit(self, graph: OnnxGraph) -> None:
        slope = self.blobs[0]
        trailing = len(graph.shapes[self.layer.bottoms[0]]) - 2
        slope = slope.reshape(1) if self.param.channel_shared else slope.reshape(-1, *(1,) * trailing)
        graph.node("PRelu", [self.layer.bottoms[0], graph.weight(slope, "slope")], self.layer.tops)
