"""Layers that end a network: Softmax and ArgMax."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from dongfeng.errors import ShapeError
from dongfeng.layers.base import LayerType, register
from dongfeng.layers.elementwise import SameShape
from dongfeng.layers.layer import Layer, Shape
from dongfeng.layers.onnx_graph import FLOAT, OnnxGraph
from dongfeng.layers.shapes import canonical_axis, product


@register("Softmax")
class Softmax(SameShape):
    """Source: Caffe, SoftmaxLayer: along any axis."""

    params_field: ClassVar[str | None] = "softmax_param"

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        canonical_axis(self.param.axis, bottoms[0])
        return super().output_shapes(bottoms)

    def emit(self, graph: OnnxGraph) -> None:
        (bottom,), tops = self.layer.bottoms, self.layer.tops
        rank = len(graph.shapes[bottom])
        axis = canonical_axis(self.param.axis, graph.shapes[bottom])
        if graph.opset >= 13 or axis == rank - 1:
            graph.node("Softmax", [bottom], tops, axis=axis)
            return
        # Before opset 13 Softmax runs over everything from `axis` on, so the axis has to be the last one.
        order = [*range(axis), *range(axis + 1, rank), axis]
        last = graph.node("Softmax", [graph.node("Transpose", [bottom], perm=order)], axis=rank - 1)
        back = [order.index(position) for position in range(rank)]
        graph.node("Transpose", [last], tops, perm=back)


@register("ArgMax")
class ArgMax(LayerType):
    """Source: Caffe, ArgMaxLayer: ties go to the largest index.

    With an axis the top keeps it, `top_k` long, and holds indices or (out_max_val) values. Without one it runs over
    everything but the batch, and the top is N x 1 x k, or N x 2 x k with indices and values.
    """

    params_field: ClassVar[str | None] = "argmax_param"
    refused: ClassVar[str] = "without `axis` and with dynamic sizes, `top_k` above 1, and opset 11"

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.axis: int | None = self.param.axis if self.param.has("axis") else None
        self.top_k: int = self.param.top_k
        self.values: bool = self.param.out_max_val
        if self.top_k < 1:
            raise ShapeError(f"top_k must be positive, got {self.top_k}")

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        (bottom,) = bottoms
        if self.axis is None:
            searched, shape = product(bottom[1:]), [bottom[0], 2 if self.values else 1, self.top_k]
            tops = (*shape, *(1,) * (len(bottom) - 3))
        else:
            axis = canonical_axis(self.axis, bottom)
            searched, tops = bottom[axis], (*bottom[:axis], self.top_k, *bottom[axis + 1 :])
        if searched is not None and self.top_k > searched:
            raise ShapeError(f"top_k {self.top_k} is more than the {searched} values to choose from")
        return [tops]

    def emit(self, graph: OnnxGraph) -> None:
        (bottom,), (top,) = self.layer.bottoms, self.layer.tops
        if not self.values:
            graph.integer_blobs.add(top)
        if self.axis is not None:
            find = self._largest if self.values else self._indices
            find(graph, bottom, canonical_axis(self.axis, graph.shapes[bottom]), top)
            return
        flat = graph.node("Flatten", [bottom], axis=1)
        found = self._indices(graph, flat, 1)
        if self.values:
            as_float = graph.node("Cast", [found], to=FLOAT)
            found = graph.node("Concat", [as_float, self._largest(graph, flat, 1)], axis=1)
        graph.reshape(found, graph.shapes[top], [top])

    def _indices(self, graph: OnnxGraph, value: str, axis: int, top: str | None = None) -> str:
        """Return the indices (int64) of the `top_k` largest along `axis`, the larger index first among equals."""
        tops = [top] if top else None
        if self.top_k == 1 and graph.opset >= 12:
            return graph.node("ArgMax", [value], tops, axis=axis, keepdims=1, select_last_index=1)
        # Older operators, and TopK, prefer the smaller index: search the reversed axis and count from its end.
        backward = graph.reverse(value, axis)
        if self.top_k == 1:
            found = graph.node("ArgMax", [backward], axis=axis, keepdims=1)
        else:
            _, found = graph.top_k(backward, graph.ints([self.top_k]), axis)
        length = self._length(graph, axis)
        return graph.node("Sub", [graph.ints([length - 1]), found], tops)

    def _length(self, graph: OnnxGraph, axis: int) -> int:
        (bottom,) = self.layer.bottoms
        shape = graph.shapes[bottom]
        length = product(shape[1:]) if self.axis is None else shape[axis]
        return math.prod(graph.static(bottom)[1:]) if length is None else length

    def _largest(self, graph: OnnxGraph, value: str, axis: int, top: str | None = None) -> str:
        """Return the `top_k` largest values along `axis`."""
        return graph.top_k(value, graph.ints([self.top_k]), axis, top)[0]
