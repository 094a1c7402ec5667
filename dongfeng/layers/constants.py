"""DummyData: a source of constants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from dongfeng.errors import ShapeError, UnsupportedLayer
from dongfeng.layers.base import LayerType, constant_filler, register
from dongfeng.layers.layer import Layer, Shape
from dongfeng.layers.onnx_graph import OnnxGraph


@register("DummyData")
class DummyData(LayerType):
    """Source: Caffe, DummyDataLayer: one shape and one constant for all tops, or one each."""

    params_field: ClassVar[str | None] = "dummy_data_param"
    min_bottoms: ClassVar[int] = 0
    max_bottoms: ClassVar[int | None] = 0
    max_tops: ClassVar[int | None] = None
    refused: ClassVar[str] = "random fillers"

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        param = self.param
        n_tops = len(layer.tops)
        shapes = [tuple(shape.dim) for shape in param.shape] or list(
            zip(param.num, param.channels, param.height, param.width, strict=False)
        )
        fillers = [*param.data_filler] or [constant_filler(0.0)]
        if len(shapes) not in (1, n_tops) or len(fillers) not in (1, n_tops):
            raise ShapeError(f"has {n_tops} tops, {len(shapes)} shapes and {len(fillers)} fillers: one, or one each")
        if any(filler.type != "constant" for filler in fillers):
            raise UnsupportedLayer(["data_filler is random; only constant can be converted"])
        self.shapes = shapes * (n_tops // len(shapes))
        self.values: list[float] = [filler.value for filler in fillers] * (n_tops // len(fillers))

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return list(self.shapes)

    def emit(self, graph: OnnxGraph) -> None:
        for top, shape, value in zip(self.layer.tops, self.shapes, self.values, strict=True):
            filled = graph.weight(np.full(math.prod(shape), value, np.float32).reshape(shape), "value")
            graph.node("Identity", [filled], [top])
