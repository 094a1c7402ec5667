"""Pooling: Caffe's windows, its rounding and its divisor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError, UnsupportedLayer
from dongfeng.layers.base import LayerType, register
from dongfeng.layers.layer import Layer, Shape
from dongfeng.layers.onnx_graph import OnnxGraph
from dongfeng.layers.shapes import Window, pooled


@register("Pooling")
class Pooling(LayerType):
    """Source: Caffe, PoolingLayer.

    Sizes round up; the divisor of AVE is the window clipped to the input plus one padding; a kernel larger than the
    input leaves one clipped window. A second top of MAX holds each maximum's index in its channel plane.
    """

    max_tops: ClassVar[int | None] = 2

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.param: Message = layer.params.pooling_param
        if self.param.pool == "STOCHASTIC":
            raise UnsupportedLayer(["pool: STOCHASTIC is random; use MAX or AVE"])
        self.is_max: bool = self.param.pool == "MAX"
        if len(layer.tops) == 2 and not self.is_max:
            raise ShapeError("only MAX pooling has a second top")
        self.ceil: bool = self.param.round_mode == "CEIL"
        self._check_window()

    def _check_window(self) -> None:
        p = self.param
        has_hw = p.has("kernel_h") or p.has("kernel_w")
        if p.global_pooling:
            if p.has("kernel_size") or has_hw:
                raise ShapeError("global_pooling leaves no choice of kernel, but one is given")
        elif p.has("kernel_size") == has_hw or p.has("kernel_h") != p.has("kernel_w"):
            raise ShapeError("expected either kernel_size or both of kernel_h and kernel_w")
        for name in ("pad", "stride"):
            in_two = (p.has(f"{name}_h"), p.has(f"{name}_w"))
            if p.has(name) and any(in_two):
                raise ShapeError(f"{name} and {name}_h/{name}_w are both given")

    def window(self, bottom: Shape) -> Window:
        """Kernel, stride and padding on a bottom of this shape."""
        if len(bottom) != 4:
            raise ShapeError(f"the bottom must have 4 axes (N, C, H, W), it has {len(bottom)}")
        p = self.param
        pad = (p.pad, p.pad) if not (p.has("pad_h") or p.has("pad_w")) else (p.pad_h, p.pad_w)
        stride = (p.stride, p.stride) if not (p.has("stride_h") or p.has("stride_w")) else (p.stride_h, p.stride_w)
        if p.global_pooling:
            if pad != (0, 0) or stride != (1, 1):
                raise ShapeError("global_pooling needs pad 0 and stride 1")
            return Window((bottom[2] or 1, bottom[3] or 1), stride, pad, (1, 1))
        kernel = (p.kernel_size, p.kernel_size) if p.has("kernel_size") else (p.kernel_h, p.kernel_w)
        if min(*kernel, *stride) < 1:
            raise ShapeError(f"kernel {list(kernel)} and stride {list(stride)} must be positive")
        if any(q >= k for q, k in zip(pad, kernel, strict=True)):
            raise ShapeError(f"padding {list(pad)} must be smaller than the kernel {list(kernel)}")
        return Window(kernel, stride, pad, (1, 1))

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        (bottom,) = bottoms
        window = self.window(bottom)
        if self.param.global_pooling:
            size: list[int | None] = [1, 1]
        else:
            size = [
                pooled(n, k, s, p, ceil=self.ceil)
                for n, k, s, p in zip(bottom[2:], window.kernel, window.stride, window.pad, strict=True)
            ]
        return [(*bottom[:2], *size)] * len(self.layer.tops)

    def emit(self, graph: OnnxGraph) -> None:
        bottom, top = self.layer.bottoms[0], self.layer.tops[0]
        if self.param.global_pooling and len(self.layer.tops) == 1:
            graph.node("GlobalMaxPool" if self.is_max else "GlobalAveragePool", [bottom], [top])
            return
        in_size, out_size = graph.shapes[bottom][2:], graph.shapes[top][2:]
        window = self.window(graph.shapes[bottom])
        # A kernel beyond the padded input acts as one that just covers it, divisor included.
        kernel = [min(k, n + 2 * p) for k, n, p in zip(window.kernel, in_size, window.pad, strict=True)]
        starts = [(out - 1) * s - p for out, s, p in zip(out_size, window.stride, window.pad, strict=True)]
        if any(start >= n for start, n in zip(starts, in_size, strict=True)):
            raise UnsupportedLayer(
                [
                    f"the last window (stride {list(window.stride)}, kernel {list(window.kernel)}) lies wholly outside "
                    f"the {in_size[0]}x{in_size[1]} input; Caffe's value there is an accident. "
                    "Use round_mode: FLOOR, or another input size"
                ]
            )
        # Padding at the end that makes rounding down give Caffe's size.
        end = [
            max(start + k - n, 0) if out > 1 else p
            for start, k, n, out, p in zip(starts, kernel, in_size, out_size, window.pad, strict=True)
        ]
        pads = [*window.pad, *end]
        if self.is_max:
            self._emit_max(graph, kernel, window.stride, pads)
        else:
            self._emit_average(graph, kernel, window, pads)

    def _emit_max(self, graph: OnnxGraph, kernel: list[int], stride: tuple[int, ...], pads: list[int]) -> None:
        bottom, tops = self.layer.bottoms[0], list(self.layer.tops)
        attrs: dict[str, Any] = {"kernel_shape": kernel, "strides": list(stride), "pads": pads}
        if len(tops) == 1:
            graph.node("MaxPool", [bottom], tops, **attrs)
            return
        # ONNX counts indices through the whole tensor, Caffe through one channel plane, as floats.
        indices = graph.fresh("Indices")
        graph.node("MaxPool", [bottom], [tops[0], indices], **attrs)
        plane = graph.shapes[bottom][2] * graph.shapes[bottom][3]
        graph.node("Cast", [graph.node("Mod", [indices, graph.ints([plane])])], [tops[1]], to=1)

    def _emit_average(self, graph: OnnxGraph, kernel: list[int], window: Window, pads: list[int]) -> None:
        bottom, top = self.layer.bottoms[0], self.layer.tops[0]
        attrs: dict[str, Any] = {
            "kernel_shape": kernel,
            "strides": list(window.stride),
            "pads": pads,
            "count_include_pad": 1,
        }
        in_size, out_size = graph.shapes[bottom][2:], graph.shapes[top][2:]
        rows, columns = (
            np.asarray([min(i * s + k, n + 2 * p) - i * s for i in range(out)])  # from the first padded pixel
            for n, out, k, s, p in zip(in_size, out_size, kernel, window.stride, window.pad, strict=True)
        )
        correction = math.prod(kernel) / np.outer(rows, columns)
        if np.all(correction == 1):
            graph.node("AveragePool", [bottom], [top], **attrs)
            return
        # Caffe divides a clipped window by its clipped area, ONNX by the kernel's.
        mean = graph.node("AveragePool", [bottom], **attrs)
        graph.node("Mul", [mean, graph.weight(correction.astype(np.float32)[None, None], "area")], [top])
