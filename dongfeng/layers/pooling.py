"""Pooling and SPP: Caffe's windows, its rounding and its divisor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from dongfeng.errors import ShapeError, UnsupportedLayer
from dongfeng.layers.base import LayerType, register
from dongfeng.layers.layer import Layer, Shape, show
from dongfeng.layers.onnx_graph import FLOAT, OnnxGraph
from dongfeng.layers.shapes import Window, pooled, product, require_image


@register("Pooling")
class Pooling(LayerType):
    """Source: Caffe, PoolingLayer.

    Sizes round up; the divisor of AVE is the window clipped to the input plus one padding; a kernel larger than the
    input leaves one clipped window. A second top of MAX holds each maximum's index in its channel plane.
    """

    params_field: ClassVar[str | None] = "pooling_param"
    max_tops: ClassVar[int | None] = 2
    refused: ClassVar[str] = (
        "`STOCHASTIC`, which is random; a window wholly outside the input, where Caffe's value is an accident; "
        "with dynamic sizes a mask, and AVE with a stride that is padded unevenly, or padded at all before opset 19"
    )

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        if self.param.pool == "STOCHASTIC":
            raise UnsupportedLayer(["pool: STOCHASTIC is random; use MAX or AVE"])
        self.is_max: bool = self.param.pool == "MAX"
        if len(layer.tops) == 2 and not self.is_max:
            raise ShapeError("only MAX pooling has a second top")
        self.ceil: bool = self.param.round_mode == "CEIL" and self.param.ceil_mode
        if self.param.has("round_mode") and self.param.has("ceil_mode"):
            raise ShapeError("round_mode and ceil_mode, two spellings of one choice, are both given")
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
            if p.has(name) and (p.has(f"{name}_h") or p.has(f"{name}_w")):
                raise ShapeError(f"{name} and {name}_h/{name}_w are both given")

    def window(self, bottom: Shape) -> Window:
        """Return kernel, stride and padding on a bottom of this shape."""
        require_image(bottom)
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

    @property
    def stride_hw(self) -> tuple[Fraction, Fraction]:
        height, width = self.window((None,) * 4).stride
        return Fraction(height), Fraction(width)

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        (bottom,) = bottoms
        window = self.window(bottom)
        if self.param.global_pooling:
            size: list[int | None] = [1, 1]
        else:
            size = [
                pooled(n, k, s, p, ceil=self.ceil, is_padded=any(window.pad))
                for n, k, s, p in zip(bottom[2:], window.kernel, window.stride, window.pad, strict=True)
            ]
        return [(*bottom[:2], *size)] * len(self.layer.tops)

    def emit(self, graph: OnnxGraph) -> None:
        bottom, top = self.layer.bottoms[0], self.layer.tops[0]
        if self.param.global_pooling and len(self.layer.tops) == 1:
            graph.node("GlobalMaxPool" if self.is_max else "GlobalAveragePool", [bottom], [top])
            return
        window = self.window(graph.shapes[bottom])
        if None in graph.shapes[bottom][2:]:
            self._emit_dynamic(graph, window)
        else:
            in_size, out_size = (tuple(dim or 0 for dim in graph.shapes[blob][2:]) for blob in (bottom, top))
            emit_pooling(graph, bottom, list(self.layer.tops), window, in_size, out_size, self.is_max)

    def _emit_dynamic(self, graph: OnnxGraph, window: Window) -> None:
        """Use ONNX's own rounding up, which equals Caffe's on ONNX Runtime 1.23 and 1.32, large kernels included."""
        if len(self.layer.tops) > 1:
            raise UnsupportedLayer(["has a mask, which needs the input size, so it cannot be dynamic"])
        rounds_up = self.ceil and max(window.stride) > 1
        attrs = {**window.onnx_attributes(), "ceil_mode": int(rounds_up)}
        if self.is_max:
            graph.node("MaxPool", self.layer.bottoms, self.layer.tops, **attrs)
            return
        (bottom,) = self.layer.bottoms
        is_padded = max(window.pad) > 0
        is_even = len(set(window.pad)) == 1
        # ONNX Runtime before 1.24 divides by the wrong area in these two cases.
        if is_padded and rounds_up and (graph.opset < 19 or not is_even):
            needs = "opset 19" if is_even else "the same padding on all sides"
            raise UnsupportedLayer([f"AVE with padding and a stride needs {needs} where the input size is dynamic"])
        if is_padded and not is_even:
            bottom, is_padded = graph.pad(bottom, attrs.pop("pads")), False
        graph.node("AveragePool", [bottom], self.layer.tops, **attrs, count_include_pad=int(is_padded))


def emit_pooling(
    graph: OnnxGraph,
    bottom: str,
    tops: list[str],
    window: Window,
    in_size: tuple[int, ...],
    out_size: tuple[int, ...],
    is_max: bool,
) -> None:
    """Add the nodes of Caffe's pooling from `in_size` to `out_size` (height and width).

    Raises:
        UnsupportedLayer: a window lies wholly outside the input.
    """
    # A kernel beyond the padded input acts as one that just covers it, divisor included.
    kernel = [min(k, n + 2 * p) for k, n, p in zip(window.kernel, in_size, window.pad, strict=True)]
    starts = [(out - 1) * s - p for out, s, p in zip(out_size, window.stride, window.pad, strict=True)]
    if any(start >= n for start, n in zip(starts, in_size, strict=True)):
        raise UnsupportedLayer(
            [
                f"the last window (stride {list(window.stride)}, kernel {list(window.kernel)}) lies wholly outside the "
                f"{show(in_size)} input, where Caffe's value is an accident; use round_mode: FLOOR or another size"
            ]
        )
    # With this padding at the end, rounding down gives Caffe's size.
    end = [
        max(start + k - n, 0) if out > 1 else p
        for start, k, n, out, p in zip(starts, kernel, in_size, out_size, window.pad, strict=True)
    ]
    attrs: dict[str, Any] = {"kernel_shape": kernel, "strides": list(window.stride), "pads": [*window.pad, *end]}
    if is_max:
        _emit_max(graph, bottom, tops, attrs, math.prod(in_size))
    else:
        area = _clipped_area(window, kernel, in_size, out_size)
        _emit_average(graph, bottom, tops, attrs, math.prod(kernel) / area)


def _emit_max(graph: OnnxGraph, bottom: str, tops: list[str], attrs: dict[str, Any], plane: int) -> None:
    if len(tops) == 1:
        graph.node("MaxPool", [bottom], tops, **attrs)
        return
    # ONNX counts indices through the whole tensor, Caffe through one channel plane, as floats.
    indices = graph.fresh("Indices")
    graph.node("MaxPool", [bottom], [tops[0], indices], **attrs)
    graph.node("Cast", [graph.node("Mod", [indices, graph.ints([plane])])], [tops[1]], to=FLOAT)


def _clipped_area(
    window: Window, kernel: list[int], in_size: tuple[int, ...], out_size: tuple[int, ...]
) -> npt.NDArray[np.int64]:
    """Count the pixels of each window, up to one padding behind the input."""
    rows, columns = (
        np.asarray([min(i * s + k, n + 2 * p) - i * s for i in range(out)])  # from the first padded pixel
        for n, out, k, s, p in zip(in_size, out_size, kernel, window.stride, window.pad, strict=True)
    )
    return np.outer(rows, columns)


def _emit_average(
    graph: OnnxGraph, bottom: str, tops: list[str], attrs: dict[str, Any], correction: npt.NDArray[np.float64]
) -> None:
    pads = attrs.pop("pads")
    if len(set(pads)) > 1:
        # Explicit zeros: ONNX Runtime before 1.24 errs where the padding is not the same on all sides.
        bottom = graph.pad(bottom, pads)
    elif any(pads):
        attrs.update(pads=pads, count_include_pad=1)
    if np.all(correction == 1):
        graph.node("AveragePool", [bottom], tops, **attrs)
        return
    # Caffe divides a clipped window by its clipped area, ONNX by the kernel's.
    mean = graph.node("AveragePool", [bottom], **attrs)
    graph.node("Mul", [mean, graph.weight(correction.astype(np.float32)[None, None], "area")], tops)


@register("SPP")
class SPP(LayerType):
    """Source: Caffe, SPPLayer: level l pools into 2^l x 2^l bins; all levels flattened and joined.

    A pyramid of height 1 is a plain pooling whose top keeps its four axes.
    """

    params_field: ClassVar[str | None] = "spp_param"
    refused: ClassVar[str] = "`STOCHASTIC`, which is random; dynamic sizes, for its windows depend on them"

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        if self.param.pool == "STOCHASTIC":
            raise UnsupportedLayer(["pool: STOCHASTIC is random; use MAX or AVE"])
        self.height: int = self.param.pyramid_height
        self.is_max: bool = self.param.pool == "MAX"
        if self.height < 1:
            raise ShapeError("pyramid_height must be positive")

    @staticmethod
    def _level(bottom: Shape, level: int) -> tuple[Window, Shape]:
        """Return window and output shape of one level."""
        bins = 2**level
        size = [dim or 0 for dim in bottom[2:]]
        kernel = tuple(-(-n // bins) for n in size)
        pad = tuple((k * bins - n + 1) // 2 for k, n in zip(kernel, size, strict=True))
        if any(p >= k for p, k in zip(pad, kernel, strict=True)):
            raise ShapeError(
                f"level {level} wants {bins}x{bins} bins of a {show(bottom[2:])} bottom: too small for windows of "
                f"{show(kernel)}, for their padding of {show(pad)} would hold a whole one"
            )
        window = Window(kernel, kernel, pad, (1, 1))
        pooled_size = [pooled(n, k, k, p, is_padded=any(pad)) for n, k, p in zip(size, kernel, pad, strict=True)]
        return window, (*bottom[:2], *pooled_size)

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        (bottom,) = bottoms
        require_image(bottom)
        if None in bottom[2:]:
            return [bottom] if self.height == 1 else [(bottom[0], None)]
        levels = [self._level(bottom, level)[1] for level in range(self.height)]
        return levels if self.height == 1 else [(bottom[0], sum(product(level[1:]) or 0 for level in levels))]

    def emit(self, graph: OnnxGraph) -> None:
        (bottom,), tops = self.layer.bottoms, list(self.layer.tops)
        shape = graph.static(bottom)
        parts = []
        for level in range(self.height):
            window, out_shape = self._level(shape, level)
            out = tops if self.height == 1 else [graph.fresh(f"level{level}")]
            out_size = tuple(dim or 0 for dim in out_shape[2:])
            emit_pooling(graph, bottom, out, window, shape[2:], out_size, self.is_max)
            parts.append(out[0])
        if self.height > 1:
            graph.node("Concat", [graph.node("Flatten", [part], axis=1) for part in parts], tops, axis=1)
