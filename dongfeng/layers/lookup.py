"""Layers that hold or look up values: Parameter, Embed, BatchReindex, Im2col."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError
from dongfeng.layers.base import LayerType, constant_filler, register
from dongfeng.layers.convolution import WeightAndBias
from dongfeng.layers.layer import Layer, Shape, show
from dongfeng.layers.onnx_graph import INT64, OnnxGraph
from dongfeng.layers.shapes import canonical_axis, convolved, product, read_window


@register("Parameter")
class Parameter(LayerType):
    """Source: Caffe, ParameterLayer: a learned blob as a top."""

    params_field: ClassVar[str | None] = "parameter_param"
    min_bottoms: ClassVar[int] = 0
    max_bottoms: ClassVar[int | None] = 0

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [tuple(self.param.shape.dim)]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return self.output_shapes(bottoms)

    def fillers(self) -> list[Message]:
        return [constant_filler(0.0)]

    def emit(self, graph: OnnxGraph) -> None:
        graph.node("Identity", [graph.weight(self.blobs[0], "value")], self.layer.tops)


@register("Embed")
class Embed(WeightAndBias):
    """Source: Caffe, EmbedLayer: float indices into a table of vectors, which become a last axis."""

    params_field: ClassVar[str | None] = "embed_param"

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        if self.param.num_output < 1 or self.param.input_dim < 1:
            raise ShapeError("num_output and input_dim must be positive")

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [(*bottoms[0], self.param.num_output)]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        table: Shape = (self.param.input_dim, self.param.num_output)
        return [table, *([(self.param.num_output,)] if self.has_bias else [])]

    def emit(self, graph: OnnxGraph) -> None:
        tops, (weight, *bias) = self.layer.tops, self.weights(graph)
        indices = graph.node("Cast", self.layer.bottoms, to=INT64)
        rows = graph.node("Gather", [weight, indices], None if bias else tops)
        if bias:
            graph.node("Add", [rows, *bias], tops)


@register("BatchReindex")
class BatchReindex(LayerType):
    """Source: Caffe, BatchReindexLayer: samples picked by the float indices of the second bottom."""

    min_bottoms: ClassVar[int] = 2
    max_bottoms: ClassVar[int | None] = 2

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms[1]) != 1:
            raise ShapeError(f"the second bottom must be a list of indices, its shape is {show(bottoms[1])}")
        return [(bottoms[1][0], *bottoms[0][1:])]

    def emit(self, graph: OnnxGraph) -> None:
        values, indices = self.layer.bottoms
        graph.node("Gather", [values, graph.node("Cast", [indices], to=INT64)], self.layer.tops, axis=0)


@register("Im2col")
class Im2col(LayerType):
    """Source: Caffe, Im2colLayer: the pixels under a kernel as channels."""

    params_field: ClassVar[str | None] = "convolution_param"
    refused: ClassVar[str] = "an `axis` other than 1"

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        (bottom,), param = bottoms, self.param
        axis = canonical_axis(param.axis, bottom)
        window = read_window(param, len(bottom) - axis - 1)
        axes = zip(bottom[axis + 1 :], window.extent, window.stride, window.pad, strict=True)
        return [(*bottom[:axis], product([bottom[axis], *window.kernel]), *(convolved(*args) for args in axes))]

    def emit(self, graph: OnnxGraph) -> None:
        (bottom,), param = self.layer.bottoms, self.param
        shape = graph.shapes[bottom]
        channels = shape[1]
        if canonical_axis(param.axis, shape) != 1 or channels is None:
            raise ShapeError(f"axis must be 1, got {param.axis}")
        window = read_window(param, len(shape) - 2)
        # Each tap is a depthwise convolution with a kernel of one 1.
        taps = math.prod(window.kernel)
        picks = np.tile(
            np.eye(taps, dtype=np.float32).reshape(taps, 1, *window.kernel), (channels, *(1,) * (len(shape) - 1))
        )
        inputs, attrs = [bottom, graph.weight(picks, "taps")], window.onnx_attributes()
        graph.node("Conv", inputs, self.layer.tops, **attrs, dilations=list(window.dilation), group=channels)
