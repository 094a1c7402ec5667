"""BatchNorm and Scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError, UnsupportedLayer
from dongfeng.layers.base import LayerType, constant_filler, register
from dongfeng.layers.layer import Array, Layer, Shape, show
from dongfeng.layers.onnx_graph import OnnxGraph
from dongfeng.layers.shapes import canonical_axis


def batch_norm_statistics(blobs: Sequence[Array]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of a BatchNorm's three blobs, float64: the first two divided by the third.

    Source: Caffe, BatchNormLayer::Forward_cpu; a factor of 0 means mean 0 and variance 0.
    """
    mean, variance, factor = (blob.astype(np.float64) for blob in blobs)
    scale = 0.0 if factor.flat[0] == 0 else 1.0 / factor.flat[0]
    return mean * scale, variance * scale


@register("BatchNorm")
class BatchNorm(LayerType):
    """Source: Caffe, BatchNormLayer: blobs mean, variance and the factor both are divided by; no gamma, no beta."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.param: Message = layer.params.batch_norm_param
        self.eps: float = self.param.eps
        if self.param.has("use_global_stats") and not self.param.use_global_stats:
            raise UnsupportedLayer(["use_global_stats: false normalises by the batch itself; set it to true"])

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [bottoms[0]]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        channels = bottoms[0][1] if len(bottoms[0]) > 1 else 1
        return [(channels,), (channels,), (1,)]

    def fillers(self) -> list[Message]:
        return [constant_filler(0.0)] * 3

    def emit(self, graph: OnnxGraph) -> None:
        mean, variance = batch_norm_statistics(self.blobs)
        values = (np.ones_like(mean), np.zeros_like(mean), mean, variance)
        names = [
            graph.weight(value.astype(np.float32), hint)
            for value, hint in zip(values, ("scale", "bias", "mean", "variance"), strict=True)
        ]
        graph.node("BatchNormalization", [self.layer.bottoms[0], *names], self.layer.tops, epsilon=self.eps)


@register("Scale")
class Scale(LayerType):
    """Source: Caffe, ScaleLayer (with BiasLayer for `bias_term`). The factor is a blob or the second bottom."""

    max_bottoms: ClassVar[int | None] = 2

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.param: Message = layer.params.scale_param
        self.has_bias: bool = self.param.bias_term
        self.is_learned = len(layer.bottoms) == 1

    def _span(self, bottoms: Sequence[Shape]) -> tuple[int, int]:
        """First axis of the factor and the one behind its last, on the first bottom."""
        rank = len(bottoms[0])
        if not self.is_learned:
            factor = bottoms[1]
            axis = 0 if not factor else canonical_axis(self.param.axis, bottoms[0])
            seen = bottoms[0][axis : axis + len(factor)]
            if len(seen) != len(factor) or any(
                a != b for a, b in zip(seen, factor, strict=True) if a is not None and b is not None
            ):
                raise ShapeError(
                    f"the second bottom ({show(factor)}) does not fit the first ({show(bottoms[0])}) from axis {axis}"
                )
            return axis, axis + len(factor)
        axis, n_axes = canonical_axis(self.param.axis, bottoms[0]), self.param.num_axes
        if n_axes < -1 or axis + n_axes > rank:
            raise ShapeError(f"num_axes {n_axes} from axis {axis} goes beyond the bottom's {rank} axes")
        return axis, rank if n_axes == -1 else axis + n_axes

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self._span(bottoms)
        return [bottoms[0]]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        first, last = self._span(bottoms)
        return [bottoms[0][first:last]] * (self.is_learned + self.has_bias)

    def fillers(self) -> list[Message]:
        factor = self.param.filler if self.param.has("filler") else constant_filler(1.0)
        return [*([factor] if self.is_learned else []), *([self.param.bias_filler] if self.has_bias else [])]

    def emit(self, graph: OnnxGraph) -> None:
        bottoms = [graph.shapes[bottom] for bottom in self.layer.bottoms]
        _, last = self._span(bottoms)
        trailing = len(bottoms[0]) - last
        weights = [
            graph.weight(blob.reshape(*blob.shape, *(1,) * trailing), hint)
            for blob, hint in zip(self.blobs, ("scale", "bias") if self.is_learned else ("bias",), strict=False)
        ]
        if self.is_learned:
            factor = weights.pop(0)
        else:
            factor = self.layer.bottoms[1]
            if trailing:
                factor = graph.unsqueeze(factor, range(len(bottoms[1]), len(bottoms[1]) + trailing))
        value = graph.node("Mul", [self.layer.bottoms[0], factor], None if weights else self.layer.tops)
        if weights:
            graph.node("Add", [value, weights[0]], self.layer.tops)
