"""Layers that join, cut and reorder channels: Concat, Slice, ShuffleChannel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError, UnsupportedLayer
from dongfeng.layers.base import LayerType, register, same_shapes
from dongfeng.layers.layer import Layer, Shape, show
from dongfeng.layers.onnx_graph import OnnxGraph
from dongfeng.layers.shapes import canonical_axis, product


def _axis_field(param: Message, legacy: str) -> int:
    """Return the axis of a Concat or Slice in its current or its old spelling."""
    if param.has("axis") and param.has(legacy):
        raise ShapeError(f"axis and {legacy} are both given")
    axis: int = getattr(param, legacy) if param.has(legacy) else param.axis
    return axis


@register("Concat")
class Concat(LayerType):
    """Source: Caffe, ConcatLayer: joined along `axis`, or `concat_dim` in old files."""

    params_field: ClassVar[str | None] = "concat_param"
    max_bottoms: ClassVar[int | None] = None

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.axis = _axis_field(self.param, "concat_dim")

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        axis = canonical_axis(self.axis, bottoms[0])
        for index, bottom in enumerate(bottoms):
            if len(bottom) != len(bottoms[0]):
                raise ShapeError(f"bottom {index} has shape {show(bottom)}, bottom 0 has {show(bottoms[0])}")
        try:
            common = same_shapes([(*bottom[:axis], None, *bottom[axis + 1 :]) for bottom in bottoms])
        except ShapeError:
            listed = ", ".join(show(bottom) for bottom in bottoms)
            raise ShapeError(f"bottoms differ in more than axis {axis}: {listed}") from None
        known = [part for bottom in bottoms if (part := bottom[axis]) is not None]
        total = sum(known) if len(known) == len(bottoms) else None
        return [(*common[:axis], total, *common[axis + 1 :])]

    def emit(self, graph: OnnxGraph) -> None:
        axis = canonical_axis(self.axis, graph.shapes[self.layer.bottoms[0]])
        graph.node("Concat", self.layer.bottoms, self.layer.tops, axis=axis)


@register("Slice")
class Slice(LayerType):
    """Source: Caffe, SliceLayer: at the slice points, or into equal parts."""

    params_field: ClassVar[str | None] = "slice_param"
    max_tops: ClassVar[int | None] = None
    refused: ClassVar[str] = "an axis whose size is dynamic"

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.axis = _axis_field(self.param, "slice_dim")
        self.points: tuple[int, ...] = self.param.slice_point

    def _sizes(self, bottom: Shape) -> list[int | None]:
        total, n_tops = bottom[canonical_axis(self.axis, bottom)], len(self.layer.tops)
        if total is None:
            return [None] * n_tops
        if not self.points:
            if total % n_tops:
                raise ShapeError(f"{total} along axis {self.axis} cannot be cut into {n_tops} equal parts")
            return [total // n_tops] * n_tops
        if len(self.points) != n_tops - 1:
            raise ShapeError(f"has {n_tops} tops and {len(self.points)} slice points, expected {n_tops - 1}")
        edges = [0, *self.points, total]
        sizes = [after - before for before, after in zip(edges, edges[1:], strict=False)]
        if min(sizes) < 1:
            raise ShapeError(f"slice points {list(self.points)} do not rise within 0..{total}")
        return list(sizes)

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        (bottom,) = bottoms
        axis = canonical_axis(self.axis, bottom)
        return [(*bottom[:axis], size, *bottom[axis + 1 :]) for size in self._sizes(bottom)]

    def emit(self, graph: OnnxGraph) -> None:
        (bottom,), tops = self.layer.bottoms, self.layer.tops
        axis = canonical_axis(self.axis, graph.shapes[bottom])
        if len(tops) == 1:
            graph.node("Identity", [bottom], tops)
        else:
            sizes = [graph.shapes[top][axis] for top in tops]
            if None in sizes:
                raise UnsupportedLayer([f"cuts axis {axis}, which cannot be dynamic"])
            graph.split(bottom, [size for size in sizes if size is not None], axis, tops)


@register("ShuffleChannel")
class ShuffleChannel(LayerType):
    """Source: ShuffleNet's Caffe, ShuffleChannelLayer: channels seen as (group, C / group) and transposed."""

    params_field: ClassVar[str | None] = "shuffle_channel_param"

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.group: int = self.param.group

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        (bottom,) = bottoms
        if len(bottom) < 2:
            raise ShapeError(f"the bottom must have a channel axis, its shape is {show(bottom)}")
        if self.group < 1 or (bottom[1] is not None and bottom[1] % self.group):
            raise ShapeError(f"{bottom[1]} channels are no multiple of group {self.group}")
        return [bottom]

    def emit(self, graph: OnnxGraph) -> None:
        (bottom,), tops = self.layer.bottoms, self.layer.tops
        shape = graph.shapes[bottom]
        grouped = graph.reshape(bottom, (shape[0], self.group, (shape[1] or 0) // self.group, *flat(shape)))
        shuffled = graph.node("Transpose", [grouped], perm=[0, 2, 1, *range(3, 3 + len(flat(shape)))])
        graph.reshape(shuffled, shape, tops, like=bottom)


def flat(shape: Shape) -> list[int | None]:
    """Return the spatial axes flattened to one, or no axis where there are none."""
    return [product(shape[2:])] if len(shape) > 2 else []
