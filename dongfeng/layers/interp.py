"""Interp: bilinear resizing of feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from dongfeng.errors import ShapeError, UnsupportedLayer
from dongfeng.layers.base import LayerType, register
from dongfeng.layers.layer import Layer, Shape
from dongfeng.layers.onnx_graph import OnnxGraph
from dongfeng.layers.shapes import require_image


@register("Interp")
class Interp(LayerType):
    """Source: the release's Caffe (first DeepLab's), InterpLayer: bilinear, corners aligned.

    A lone shrink or zoom factor beats height/width; height/width beat both factors together. Pads are negative and
    crop first. `align_corners: false` is ours: ncnn's Interp, which maps pixel centres.
    """

    params_field: ClassVar[str | None] = "interp_param"
    refused: ClassVar[str] = "with dynamic sizes, a fixed height and width that no other blob tells"

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        p = self.param
        if p.pad_beg > 0 or p.pad_end > 0:
            raise ShapeError(f"pad_beg {p.pad_beg} and pad_end {p.pad_end} can only crop: at most 0")
        if not (p.has("shrink_factor") or p.has("zoom_factor") or self.has_fixed_size):
            raise ShapeError("expected height and width, zoom_factor or shrink_factor")
        for name in ("height", "width", "zoom_factor", "shrink_factor"):
            if p.has(name) and getattr(p, name) < 1:
                raise ShapeError(f"{name} must be positive, got {getattr(p, name)}")

    @property
    def has_fixed_size(self) -> bool:
        """Whether the file gives both height and width."""
        return self.param.has("height") and self.param.has("width")

    @property
    def uses_fixed_size(self) -> bool:
        """Whether the output size is the file's height and width rather than a factor's."""
        return self.has_fixed_size and self.param.has("shrink_factor") == self.param.has("zoom_factor")

    def _size(self, size: int | None, fixed: int) -> int | None:
        p = self.param
        if self.uses_fixed_size:
            return int(fixed)
        if size is None:
            return None
        size += p.pad_beg + p.pad_end
        if p.has("shrink_factor"):
            size = (size - 1) // p.shrink_factor + 1
        if p.has("zoom_factor"):
            size += (size - 1) * (p.zoom_factor - 1)
        return size

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        (bottom,) = bottoms
        require_image(bottom)
        for size in bottom[2:]:
            if size is not None and size + self.param.pad_beg + self.param.pad_end < 1:
                raise ShapeError(f"pad_beg and pad_end crop all of {size} pixels away")
        return [(*bottom[:2], self._size(bottom[2], self.param.height), self._size(bottom[3], self.param.width))]

    def emit(self, graph: OnnxGraph) -> None:
        (value,), tops = self.layer.bottoms, self.layer.tops
        shape, target = graph.shapes[value], graph.shapes[tops[0]]
        sizes = graph.ints(dim for dim in target if dim is not None) if None not in target else self._sizes(graph)
        begin, end = -self.param.pad_beg, -self.param.pad_end
        if begin or end:  # ends count from the far side, which 2**31 stands for
            value = graph.slice(value, [begin, begin], [-end or 2**31] * 2, [2, 3])
        elif shape == target and None not in shape:
            graph.node("Identity", [value], tops)
            return
        absent = "" if graph.opset >= 13 else graph.floats([])  # an input that is not given
        mode = "align_corners" if self.param.align_corners else "half_pixel"
        inputs = [value, absent, absent, sizes]
        graph.node("Resize", inputs, tops, mode="linear", coordinate_transformation_mode=mode)

    def _sizes(self, graph: OnnxGraph) -> str:
        """Return the output's shape as an int64 vector, computed when the model runs."""
        (bottom,), (top,) = self.layer.bottoms, self.layer.tops
        kept = graph.dims(bottom, [0, 1])
        if top in graph.size_of:
            return graph.node("Concat", [kept, graph.dims(graph.size_of[top], [2, 3])], axis=0)
        p = self.param
        if None not in graph.shapes[bottom][2:]:  # only the batch is dynamic
            return graph.node("Concat", [kept, graph.dims(top, [2, 3])], axis=0)
        if self.uses_fixed_size:
            raise UnsupportedLayer(["has a fixed height and width of its own, so the input size cannot be dynamic"])
        size, one = graph.dims(bottom, [2, 3]), graph.ints([1])
        if p.pad_beg + p.pad_end:
            size = graph.node("Add", [size, graph.ints([p.pad_beg + p.pad_end])])
        if p.has("shrink_factor"):
            steps = graph.node("Div", [graph.node("Sub", [size, one]), graph.ints([p.shrink_factor])])
            size = graph.node("Add", [steps, one])
        if p.has("zoom_factor"):
            steps = graph.node("Mul", [graph.node("Sub", [size, one]), graph.ints([p.zoom_factor - 1])])
            size = graph.node("Add", [size, steps])
        return graph.node("Concat", [kept, size], axis=0)
