"""Layers that normalise or reduce over axes: LRN, MVN, Reduction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from dongfeng.errors import ShapeError
from dongfeng.layers.base import LayerType, register
from dongfeng.layers.elementwise import SameShape
from dongfeng.layers.layer import Layer, Shape, show
from dongfeng.layers.onnx_graph import OnnxGraph
from dongfeng.layers.shapes import canonical_axis, require_image


@register("LRN")
class LRN(SameShape):
    """Source: Caffe, LRNLayer. Within a channel `k` is ignored, and the mean divides by the whole window."""

    params_field: ClassVar[str | None] = "lrn_param"

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        if self.param.local_size % 2 == 0:
            raise ShapeError(f"local_size must be odd, got {self.param.local_size}")

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        require_image(bottoms[0])
        return super().output_shapes(bottoms)

    def emit(self, graph: OnnxGraph) -> None:
        (x,), tops, p = self.layer.bottoms, self.layer.tops, self.param
        if p.norm_region == "ACROSS_CHANNELS":
            graph.node("LRN", [x], tops, size=p.local_size, alpha=p.alpha, beta=p.beta, bias=p.k)
            return
        pad = (p.local_size - 1) // 2
        mean = graph.node(
            "AveragePool",
            [graph.node("Mul", [x, x])],
            kernel_shape=[p.local_size] * 2,
            pads=[pad] * 4,
            count_include_pad=1,
        )
        base = graph.node("Add", [graph.node("Mul", [mean, graph.floats(p.alpha)]), graph.floats(1.0)])
        graph.node("Mul", [x, graph.node("Pow", [base, graph.floats(-p.beta)])], tops)


@register("MVN")
class MVN(SameShape):
    """Source: Caffe, MVNLayer: (x - mean) / (sqrt(variance) + eps), eps outside the root."""

    params_field: ClassVar[str | None] = "mvn_param"

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if not 1 <= len(bottoms[0]) <= 4:
            raise ShapeError(f"the bottom must have 1 to 4 axes, its shape is {show(bottoms[0])}")
        return super().output_shapes(bottoms)

    def emit(self, graph: OnnxGraph) -> None:
        (x,), tops, param = self.layer.bottoms, self.layer.tops, self.param
        rank = len(graph.shapes[x])
        axes = list(range(1 if param.across_channels else 2, rank))
        if not axes:  # one value for each mean
            axes, x = [rank], graph.unsqueeze(x, [rank])
        mean = graph.reduce("ReduceMean", x, axes, keepdims=True)
        centred = graph.node("Sub", [x, mean])
        if param.normalize_variance:
            variance = graph.reduce("ReduceMean", graph.node("Mul", [centred, centred]), axes, keepdims=True)
            deviation = graph.node("Add", [graph.node("Sqrt", [variance]), graph.floats(param.eps)])
            centred = graph.node("Div", [centred, deviation])
        if x == self.layer.bottoms[0]:
            graph.node("Identity", [centred], tops)
        else:
            graph.reshape(centred, graph.shapes[self.layer.bottoms[0]], tops, like=self.layer.bottoms[0])


@register("Reduction")
class Reduction(LayerType):
    """Source: Caffe, ReductionLayer: everything from `axis` on becomes one value."""

    params_field: ClassVar[str | None] = "reduction_param"

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [bottoms[0][: canonical_axis(self.param.axis, bottoms[0])]]

    def emit(self, graph: OnnxGraph) -> None:
        (x,), tops, param = self.layer.bottoms, self.layer.tops, self.param
        op = {"SUM": "ReduceSum", "ASUM": "ReduceL1", "SUMSQ": "ReduceSumSquare", "MEAN": "ReduceMean"}[param.operation]
        shape = graph.shapes[x]
        axes = range(canonical_axis(param.axis, shape), len(shape))
        if param.coeff == 1:
            graph.reduce(op, x, axes, keepdims=False, outputs=tops)
        else:
            graph.node("Mul", [graph.reduce(op, x, axes, keepdims=False), graph.floats(param.coeff)], tops)
