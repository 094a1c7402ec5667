"""Layer types of Caffe's forks: segmentation, detection and mobile networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError, UnsupportedLayer
from dongfeng.layers.base import LayerType, constant_filler, register, same_shapes
from dongfeng.layers.elementwise import SameShape
from dongfeng.layers.layer import Layer, Shape, show
from dongfeng.layers.onnx_graph import INT64, OnnxGraph
from dongfeng.layers.shapes import require_image


@register("Axpy")
class Axpy(LayerType):
    """Source: SENet's Caffe, AxpyLayer: a * x + y, with one a per sample and channel."""

    min_bottoms: ClassVar[int] = 3
    max_bottoms: ClassVar[int | None] = 3

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        a, x, y = bottoms
        if a[:2] != x[:2] or any(dim != 1 for dim in a[2:]):
            raise ShapeError(f"the first bottom must be one factor per sample and channel of {show(x)}, got {show(a)}")
        if x != y:
            raise ShapeError(f"bottoms 1 and 2 differ in shape: {show(x)} and {show(y)}")
        return [x]

    def emit(self, graph: OnnxGraph) -> None:
        a, x, y = self.layer.bottoms
        missing = range(len(graph.shapes[a]), len(graph.shapes[x]))
        factor = graph.unsqueeze(a, missing) if missing else a
        graph.node("Add", [graph.node("Mul", [factor, x]), y], self.layer.tops)


@register("Permute")
class Permute(LayerType):
    """Source: SSD's Caffe, PermuteLayer: axes in `order`, those not named behind them."""

    params_field: ClassVar[str | None] = "permute_param"

    def _order(self, bottom: Shape) -> list[int]:
        order: tuple[int, ...] = self.param.order
        if len(set(order)) != len(order) or any(axis >= len(bottom) for axis in order):
            raise ShapeError(f"order {list(order)} is no choice of the bottom's {len(bottom)} axes")
        return [*order, *(axis for axis in range(len(bottom)) if axis not in order)]

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [tuple(bottoms[0][axis] for axis in self._order(bottoms[0]))]

    def emit(self, graph: OnnxGraph) -> None:
        (bottom,), tops = self.layer.bottoms, self.layer.tops
        graph.node("Transpose", [bottom], tops, perm=self._order(graph.shapes[bottom]))


@register("Normalize")
class Normalize(SameShape):
    """Source: SSD's Caffe, NormalizeLayer: x / sqrt(sum of squares + eps), times a learned factor."""

    params_field: ClassVar[str | None] = "norm_param"

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        require_image(bottoms[0])
        return super().output_shapes(bottoms)

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [() if self.param.channel_shared else (bottoms[0][1],)]

    def fillers(self) -> list[Message]:
        param = self.param
        return [param.scale_filler if param.has("scale_filler") else constant_filler(1.0)]

    def emit(self, graph: OnnxGraph) -> None:
        (x,), tops, param = self.layer.bottoms, self.layer.tops, self.param
        axes = [1, 2, 3] if param.across_spatial else [1]
        squares = graph.reduce("ReduceSum", graph.node("Mul", [x, x]), axes, keepdims=True)
        norm = graph.node("Sqrt", [graph.node("Add", [squares, graph.floats(param.eps)])])
        factor = self.blobs[0].reshape(1, -1, 1, 1)
        graph.node("Mul", [graph.node("Div", [x, norm]), graph.weight(factor, "scale")], tops)


@register("BN")
class BN(SameShape):
    """Source: PSPNet's and SegNet's Caffe, BNLayer: slope, bias, mean, variance (PSPNet) or scale, shift (SegNet)."""

    params_field: ClassVar[str | None] = "bn_param"
    refused: ClassVar[str] = "SegNet's `bn_mode: LEARN`, which normalises by the batch: make an inference file first"

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.is_segnet = any(self.param.has(name) for name in ("bn_mode", "scale_filler", "shift_filler"))
        if self.is_segnet and self.param.bn_mode != "INFERENCE":
            raise UnsupportedLayer(
                ["bn_mode: LEARN normalises by the batch; make an inference file (SegNet's compute_bn_statistics.py)"]
            )

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [(1, bottoms[0][1], 1, 1)] * (2 if self.is_segnet else 4)

    def fillers(self) -> list[Message]:
        if self.is_segnet:
            return [self.param.scale_filler, self.param.shift_filler]
        statistics = [constant_filler(0.0), constant_filler(1.0 if self.param.frozen else 0.0)]
        return [self.param.slope_filler, self.param.bias_filler, *statistics]

    def emit(self, graph: OnnxGraph) -> None:
        (x,), tops = self.layer.bottoms, self.layer.tops
        if self.is_segnet:
            scaled = graph.node("Mul", [x, graph.weight(self.blobs[0], "scale")])
            graph.node("Add", [scaled, graph.weight(self.blobs[1], "shift")], tops)
            return
        weights = [
            graph.weight(blob.reshape(-1), hint)
            for blob, hint in zip(self.blobs, ("slope", "bias", "mean", "variance"), strict=True)
        ]
        graph.node("BatchNormalization", [x, *weights], tops, epsilon=self.param.eps)


@register("Upsample")
class Upsample(LayerType):
    """Source: SegNet's and YOLO's Caffe, UpsampleLayer: values put back where a mask says, or every pixel repeated."""

    params_field: ClassVar[str | None] = "upsample_param"
    max_bottoms: ClassVar[int | None] = 2
    refused: ClassVar[str] = "dynamic sizes; `pad_out_h` and `pad_out_w` without a mask"

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, param = same_shapes(bottoms), self.param
        require_image(x)
        if len(bottoms) == 2 and param.has("upsample_h") and param.has("upsample_w"):
            return [(*x[:2], param.upsample_h, param.upsample_w)]
        # Unset, the factor is 2 in SegNet's Caffe and 1 in YOLO's.
        scale = param.scale if param.has("scale") or len(bottoms) == 2 else 1
        factors = [param.scale_h or scale, param.scale_w or scale]
        cuts = [int(param.pad_out_h), int(param.pad_out_w)]
        sizes = [None if n is None else n * f - c for n, f, c in zip(x[2:], factors, cuts, strict=True)]
        return [(*x[:2], *sizes)]

    def emit(self, graph: OnnxGraph) -> None:
        x, tops = self.layer.bottoms[0], self.layer.tops
        if len(self.layer.bottoms) == 2:
            self._emit_unpooling(graph)
            return
        (n, c, h, w), target = graph.static(x), graph.static(tops[0])
        if target[2] % h or target[3] % w:
            raise UnsupportedLayer(["pad_out_h and pad_out_w belong to the form with a mask"])
        # Repeating pixels is a broadcast: (h, 1) x (w, 1) to (h, s) x (w, s).
        apart = graph.reshape(x, (n, c, h, 1, w, 1))
        shape = graph.ints((n, c, h, target[2] // h, w, target[3] // w))
        graph.reshape(graph.node("Expand", [apart, shape]), target, tops)

    def _emit_unpooling(self, graph: OnnxGraph) -> None:
        (x, mask), (top,) = self.layer.bottoms, self.layer.tops
        n, c, h, w = graph.static(x)
        target = graph.static(top)
        planes, pixels = n * c, math.prod(target[2:])
        indices = graph.node("Cast", [graph.reshape(mask, (planes, h * w))], to=INT64)
        empty = graph.weight(np.zeros((planes, pixels), np.float32), "empty")
        filled = graph.node("ScatterElements", [empty, indices, graph.reshape(x, (planes, h * w))], axis=1)
        graph.reshape(filled, target, [top])
