"""Convolution and Deconvolution, any number of spatial axes, groups and dilation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import ClassVar

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError
from dongfeng.layers.base import LayerType, register, same_shapes
from dongfeng.layers.layer import Layer, Shape
from dongfeng.layers.onnx_graph import OnnxGraph
from dongfeng.layers.shapes import Window, canonical_axis, convolved, deconvolved, product, read_window


class WeightAndBias(LayerType):
    """The base of layers with a weight blob and, where `bias_term` says so, a bias."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.has_bias: bool = self.param.bias_term

    def fillers(self) -> list[Message]:
        return [self.param.weight_filler, *([self.param.bias_filler] if self.has_bias else [])]

    def weights(self, graph: OnnxGraph) -> list[str]:
        """Add the blobs as constants."""
        return [graph.weight(blob, hint) for blob, hint in zip(self.blobs, ("weight", "bias"), strict=False)]


@register("Convolution")
class Convolution(WeightAndBias):
    """Source: Caffe, ConvolutionLayer and BaseConvolutionLayer: any number of spatial axes, groups, dilation."""

    params_field: ClassVar[str | None] = "convolution_param"
    max_bottoms: ClassVar[int | None] = None
    max_tops: ClassVar[int | None] = None
    refused: ClassVar[str] = "with dynamic sizes, an `axis` other than 1"
    onnx_op = "Conv"
    _out_size = staticmethod(convolved)
    implies_counts: ClassVar[bool] = False  # whether outputs and groups may follow from the bottom

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        if len(layer.tops) != len(layer.bottoms):
            raise ShapeError(f"has {len(layer.bottoms)} bottoms and {len(layer.tops)} tops, expected as many of each")
        if not self.implies_counts:
            self._counts(None)

    def _counts(self, channels: int | None) -> tuple[int, int]:
        """Return the numbers of outputs and of groups for a bottom of `channels` channels."""
        num_output, group = self.param.num_output, self.param.group
        if num_output < 1:
            raise ShapeError("num_output must be positive")
        if group < 1 or num_output % group:
            raise ShapeError(f"num_output {num_output} is no multiple of group {group}")
        if channels is not None and channels % group:
            raise ShapeError(f"{channels} input channels are no multiple of group {group}")
        return num_output, group

    def _layout(self, bottom: Shape) -> tuple[int, Window]:
        """Return the channel axis and the window over the axes behind it."""
        axis = canonical_axis(self.param.axis, bottom)
        return axis, read_window(self.param, len(bottom) - axis - 1)

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        common = same_shapes(bottoms)
        axis, window = self._layout(common)
        num_output, _ = self._counts(common[axis])
        axes = zip(common[axis + 1 :], window.extent, window.stride, window.pad, strict=True)
        spatial = [self._out_size(*args) for args in axes]
        return [(*common[:axis], num_output, *spatial)] * len(bottoms)

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        axis, window = self._layout(bottoms[0])
        channels = bottoms[0][axis]
        num_output, group = self._counts(channels)
        per_group = None if channels is None else channels // group
        return [(num_output, per_group, *window.kernel), *([(num_output,)] if self.has_bias else [])]

    @property
    def stride_hw(self) -> tuple[Fraction, Fraction]:
        height, width = read_window(self.param, 2).stride
        return Fraction(height), Fraction(width)

    def macs(self, bottoms: Sequence[tuple[int, ...]], tops: Sequence[tuple[int, ...]]) -> int:
        axis, window = self._layout(bottoms[0])
        num_output, group = self._counts(bottoms[0][axis])
        per_position = bottoms[0][axis] * num_output // group * math.prod(window.kernel)
        return sum(math.prod(shape[:axis]) * math.prod(shape[axis + 1 :]) for shape in tops) * per_position

    def emit(self, graph: OnnxGraph) -> None:
        weights = self.weights(graph)
        for bottom, top in zip(self.layer.bottoms, self.layer.tops, strict=True):
            axis, window = self._layout(graph.shapes[bottom])
            _, group = self._counts(graph.shapes[bottom][axis])
            attrs = {**window.onnx_attributes(), "dilations": list(window.dilation), "group": group}
            if axis == 1:
                graph.node(self.onnx_op, [bottom, *weights], [top], **attrs)
                continue
            # ONNX has one batch axis: fold the leading ones into it, and unfold them again.
            flat = graph.reshape(bottom, (-1, *graph.static(bottom)[axis:]))
            graph.reshape(graph.node(self.onnx_op, [flat, *weights], **attrs), graph.static(top), [top])


@register("DepthwiseConvolution", "ConvolutionDepthwise")
class DepthwiseConvolution(Convolution):
    """Source: MobileNet's and ShuffleNet's Caffe: a convolution of one group, and by default one output, a channel."""

    implies_counts: ClassVar[bool] = True

    def _counts(self, channels: int | None) -> tuple[int, int]:
        if channels is None:
            raise ShapeError("the number of channels must be known")
        num_output = self.param.num_output or channels
        if num_output % channels:
            raise ShapeError(f"num_output {num_output} is no multiple of the {channels} channels")
        return num_output, channels


@register("Deconvolution")
class Deconvolution(Convolution):
    """Source: Caffe, DeconvolutionLayer. The weight is (in, out / group, kernel...)."""

    onnx_op = "ConvTranspose"
    _out_size = staticmethod(deconvolved)

    @property
    def stride_hw(self) -> tuple[Fraction, Fraction]:
        height, width = super().stride_hw
        return 1 / height, 1 / width

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        axis, window = self._layout(bottoms[0])
        num_output, group = self._counts(bottoms[0][axis])
        weight = (bottoms[0][axis], num_output // group, *window.kernel)
        return [weight, *([(num_output,)] if self.has_bias else [])]

    def macs(self, bottoms: Sequence[tuple[int, ...]], tops: Sequence[tuple[int, ...]]) -> int:
        return super().macs(bottoms, bottoms)


@register("InnerProduct")
class InnerProduct(WeightAndBias):
    """Source: Caffe, InnerProductLayer. Everything from `axis` on is one vector."""

    params_field: ClassVar[str | None] = "inner_product_param"

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.num_output: int = self.param.num_output
        if self.num_output < 1:
            raise ShapeError("num_output must be positive")

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        axis = canonical_axis(self.param.axis, bottoms[0])
        return [(*bottoms[0][:axis], self.num_output)]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        length = product(bottoms[0][canonical_axis(self.param.axis, bottoms[0]) :])
        weight = (length, self.num_output) if self.param.transpose else (self.num_output, length)
        return [weight, *([(self.num_output,)] if self.has_bias else [])]

    def macs(self, bottoms: Sequence[tuple[int, ...]], tops: Sequence[tuple[int, ...]]) -> int:
        return math.prod(bottoms[0]) * self.num_output

    def emit(self, graph: OnnxGraph) -> None:
        (bottom,), (top,) = self.layer.bottoms, self.layer.tops
        axis = canonical_axis(self.param.axis, graph.shapes[bottom])
        inputs = [graph.node("Flatten", [bottom], axis=axis), *self.weights(graph)]
        trans = 0 if self.param.transpose else 1
        if axis == 1:
            graph.node("Gemm", inputs, [top], transB=trans)
        else:
            graph.reshape(graph.node("Gemm", inputs, transB=trans), graph.shapes[top], [top], like=bottom)
