"""Eltwise, and layers that copy or swallow their bottoms: Split, Dropout, Silence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from dongfeng.errors import ShapeError, UnsupportedLayer
from dongfeng.layers.base import LayerType, register, same_shapes
from dongfeng.layers.layer import Layer, Shape
from dongfeng.layers.onnx_graph import OnnxGraph


class SameShape(LayerType):
    """A layer whose top has its bottom's shape."""

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [bottoms[0]] * len(self.layer.tops)


@register("Dropout")
class Dropout(SameShape):
    """Source: Caffe, DropoutLayer: a copy in phase TEST; what phase TRAIN does is random."""

    params_field: ClassVar[str | None] = "dropout_param"
    refused: ClassVar[str] = "phase TRAIN, which is random"

    def emit(self, graph: OnnxGraph) -> None:
        if self.trains:
            raise UnsupportedLayer(["drops values at random in phase TRAIN; read the net in phase TEST"])
        graph.node("Identity", self.layer.bottoms, self.layer.tops)


@register("Split")
class Split(SameShape):
    """Source: Caffe, SplitLayer: one copy per top."""

    max_tops: ClassVar[int | None] = None

    def emit(self, graph: OnnxGraph) -> None:
        for top in self.layer.tops:
            graph.node("Identity", self.layer.bottoms, [top])


@register("Eltwise")
class Eltwise(LayerType):
    """Source: Caffe, EltwiseLayer: PROD, SUM with coefficients, or MAX; no broadcasting."""

    params_field: ClassVar[str | None] = "eltwise_param"
    min_bottoms: ClassVar[int] = 2
    max_bottoms: ClassVar[int | None] = None
    refused: ClassVar[str] = "SUM or MAX in place, where Caffe loses its first bottom"

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.operation: str = self.param.operation
        self.coeff: tuple[float, ...] = self.param.coeff
        if self.coeff and self.operation != "SUM":
            raise ShapeError(f"coeff belongs to operation SUM, not {self.operation}")
        if self.coeff and len(self.coeff) != len(layer.bottoms):
            raise ShapeError(f"has {len(layer.bottoms)} bottoms but {len(self.coeff)} coefficients")

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [same_shapes(bottoms)]

    def emit(self, graph: OnnxGraph) -> None:
        values = [
            graph.node("Mul", [bottom, graph.floats(factor)]) if factor != 1 else bottom
            for bottom, factor in zip(self.layer.bottoms, self.coeff or (1.0,) * len(self.layer.bottoms), strict=True)
        ]
        if self.operation == "MAX":
            graph.node("Max", values, self.layer.tops)
            return
        op = "Add" if self.operation == "SUM" else "Mul"
        result = values[0]
        for value in values[1:-1]:
            result = graph.node(op, [result, value])
        graph.node(op, [result, values[-1]], self.layer.tops)


@register("Silence")
class Silence(LayerType):
    """Source: Caffe, SilenceLayer: reads its bottoms, so that they are no outputs."""

    max_bottoms: ClassVar[int | None] = None
    min_tops: ClassVar[int] = 0
    max_tops: ClassVar[int | None] = 0

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return []

    def emit(self, graph: OnnxGraph) -> None:
        """Add nothing: no output depends on the layer."""
