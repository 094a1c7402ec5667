"""BatchNorm, Scale and Bias."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError, UnsupportedLayer
from dongfeng.layers.base import LayerType, constant_filler, register
from dongfeng.layers.elementwise import SameShape
from dongfeng.layers.layer import Array, Layer, Shape, fits, show
from dongfeng.layers.onnx_graph import OnnxGraph
from dongfeng.layers.shapes import canonical_axis

Vector = npt.NDArray[np.float64]


class Statistics(NamedTuple):
    """One value per channel, float64, for (x - mean) / sqrt(variance + eps) * scale + bias."""

    scale: Vector
    bias: Vector
    mean: Vector
    variance: Vector


def batch_norm_statistics(blobs: Sequence[Array]) -> Statistics:
    """Return the statistics in a BatchNorm's blobs: mean, variance, the factor of both, and perhaps scale and bias.

    Source: Caffe, BatchNormLayer::Forward_cpu; a factor of 0 means mean 0 and variance 0. NVCaffe for scale and bias.
    """
    mean, variance, factor, *affine = (blob.astype(np.float64) for blob in blobs)
    share = 0.0 if factor.flat[0] == 0 else 1.0 / factor.flat[0]
    scale, bias = affine or (np.ones_like(mean), np.zeros_like(mean))
    return Statistics(scale, bias, mean * share, variance * share)


@register("BatchNorm")
class BatchNorm(SameShape):
    """Source: Caffe, BatchNormLayer: blobs mean, variance and the factor both are divided by.

    NVCaffe's form with `scale_bias` (or their fillers) has two blobs more: a factor and a shift per channel.
    """

    refused: ClassVar[str] = "NVCaffe's `scale_bias` together with statistics of the batch"
    params_field: ClassVar[str | None] = "batch_norm_param"

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.eps: float = self.param.eps
        self.has_affine: bool = self.param.scale_bias or any(map(self.param.has, ("scale_filler", "bias_filler")))
        self.by_batch: bool = not self.param.use_global_stats if self.param.has("use_global_stats") else self.trains

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        channels = bottoms[0][1] if len(bottoms[0]) > 1 else 1
        return [(channels,), (channels,), (1,), *([(channels,)] * 2 if self.has_affine else [])]

    def fillers(self) -> list[Message]:
        scale = self.param.scale_filler if self.param.has("scale_filler") else constant_filler(1.0)
        return [*[constant_filler(0.0)] * 3, *([scale, self.param.bias_filler] if self.has_affine else [])]

    def emit(self, graph: OnnxGraph) -> None:
        if self.by_batch:
            self._emit_by_batch(graph)
            return
        statistics = batch_norm_statistics(self.blobs)
        names = [graph.weight(value.astype(np.float32), hint) for hint, value in statistics._asdict().items()]
        graph.node("BatchNormalization", [self.layer.bottoms[0], *names], self.layer.tops, epsilon=self.eps)

    def _emit_by_batch(self, graph: OnnxGraph) -> None:
        """Normalise by mean and biased variance of the batch: `use_global_stats: false`, or phase TRAIN."""
        if self.has_affine:
            raise UnsupportedLayer(["scale_bias together with statistics of the batch (use_global_stats: false)"])
        (x,), tops = self.layer.bottoms, self.layer.tops
        axes = [0, *range(2, len(graph.shapes[x]))]
        centred = graph.node("Sub", [x, graph.reduce("ReduceMean", x, axes, keepdims=True)])
        variance = graph.reduce("ReduceMean", graph.node("Mul", [centred, centred]), axes, keepdims=True)
        root = graph.node("Sqrt", [graph.node("Add", [variance, graph.floats(self.eps)])])
        graph.node("Div", [centred, root], tops)


class _Broadcasting(LayerType):
    """The base of Scale and Bias, whose operand, learned or a second bottom, spans some axes of the first bottom."""

    max_bottoms: ClassVar[int | None] = 2
    has_bias = False

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.is_learned = len(layer.bottoms) == 1

    def _span(self, bottoms: Sequence[Shape]) -> tuple[int, int]:
        """Return the operand's first axis on the first bottom, and the one behind its last."""
        rank = len(bottoms[0])
        if not self.is_learned:
            operand = bottoms[1]
            axis = 0 if not operand else canonical_axis(self.param.axis, bottoms[0])
            if not fits(bottoms[0][axis : axis + len(operand)], operand):
                raise ShapeError(
                    f"the second bottom ({show(operand)}) does not fit the first ({show(bottoms[0])}) from axis {axis}"
                )
            return axis, axis + len(operand)
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

    def _trailing(self, graph: OnnxGraph) -> int:
        """Count the axes that an operand needs behind its own to broadcast over the first bottom."""
        bottoms = [graph.shapes[bottom] for bottom in self.layer.bottoms]
        return len(bottoms[0]) - self._span(bottoms)[1]

    def _learned(self, graph: OnnxGraph, index: int, hint: str) -> str:
        blob = self.blobs[index]
        return graph.weight(blob.reshape(*blob.shape, *(1,) * self._trailing(graph)), hint)

    def _operand(self, graph: OnnxGraph, hint: str) -> str:
        """Return the learned operand, or the second bottom with trailing axes."""
        if self.is_learned:
            return self._learned(graph, 0, hint)
        operand, trailing = self.layer.bottoms[1], self._trailing(graph)
        rank = len(graph.shapes[operand])
        return graph.unsqueeze(operand, range(rank, rank + trailing)) if trailing else operand


@register("Scale")
class Scale(_Broadcasting):
    """Source: Caffe, ScaleLayer. The factor is a blob or the second bottom; `bias_term` adds a learned shift."""

    params_field: ClassVar[str | None] = "scale_param"

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.has_bias = self.param.bias_term

    def fillers(self) -> list[Message]:
        factor = self.param.filler if self.param.has("filler") else constant_filler(1.0)
        return [*([factor] if self.is_learned else []), *([self.param.bias_filler] if self.has_bias else [])]

    def emit(self, graph: OnnxGraph) -> None:
        factor = self._operand(graph, "scale")
        value = graph.node("Mul", [self.layer.bottoms[0], factor], None if self.has_bias else self.layer.tops)
        if self.has_bias:
            graph.node("Add", [value, self._learned(graph, int(self.is_learned), "bias")], self.layer.tops)


@register("Bias")
class Bias(_Broadcasting):
    """Source: Caffe, BiasLayer. The shift is a blob or the second bottom."""

    params_field: ClassVar[str | None] = "bias_param"

    def fillers(self) -> list[Message]:
        return [self.param.filler] if self.is_learned else []

    def emit(self, graph: OnnxGraph) -> None:
        graph.node("Add", [self.layer.bottoms[0], self._operand(graph, "bias")], self.layer.tops)
