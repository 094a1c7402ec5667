"""Layers that change the shape of a blob and none of its values: Reshape, Flatten, Crop, Tile."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from dongfeng.errors import ShapeError, UnsupportedLayer
from dongfeng.layers.base import LayerType, register
from dongfeng.layers.layer import Layer, Shape, show
from dongfeng.layers.onnx_graph import OnnxGraph
from dongfeng.layers.shapes import canonical_axis, product


class _Reshaping(LayerType):
    """A layer that is one ONNX Reshape."""

    def emit(self, graph: OnnxGraph) -> None:
        (bottom,), (top,) = self.layer.bottoms, self.layer.tops
        dynamic_axes = [axis for axis, dim in enumerate(graph.shapes[top]) if dim is None]
        if not self._kept_axes(graph.shapes[bottom]).issuperset(dynamic_axes[:-1]):  # ONNX infers the last one
            moved = f"{show(graph.shapes[bottom])} to {show(graph.shapes[top])}"
            raise UnsupportedLayer([f"moves dynamic dimensions ({moved}), so it cannot be dynamic"])
        graph.reshape(bottom, graph.shapes[top], [top])

    @abstractmethod
    def _kept_axes(self, bottom: Shape) -> set[int]:
        """Return the axes of the top that are the bottom's axes of the same number."""


@register("Flatten")
class Flatten(_Reshaping):
    """Source: Caffe, FlattenLayer: the axes from `axis` to `end_axis` become one."""

    params_field: ClassVar[str | None] = "flatten_param"
    refused: ClassVar[str] = "dynamic dimensions that would move to other axes"

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        (bottom,), param = bottoms, self.param
        first, last = canonical_axis(param.axis, bottom), canonical_axis(param.end_axis, bottom)
        if last < first:
            raise ShapeError(f"end_axis {param.end_axis} lies before axis {param.axis}")
        return [(*bottom[:first], product(bottom[first : last + 1]), *bottom[last + 1 :])]

    def _kept_axes(self, bottom: Shape) -> set[int]:
        return set(range(canonical_axis(self.param.axis, bottom)))


@register("Reshape")
class Reshape(_Reshaping):
    """Source: Caffe, ReshapeLayer: 0 copies a dimension, -1 takes what is left; other axes stay."""

    params_field: ClassVar[str | None] = "reshape_param"
    refused: ClassVar[str] = "dynamic dimensions that would move to other axes"

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        (bottom,), param = bottoms, self.param
        dims: tuple[int, ...] = param.shape.dim
        rank = len(bottom)
        first = param.axis if param.axis >= 0 else rank + param.axis + 1
        if not 0 <= first <= rank:
            raise ShapeError(f"axis {param.axis} is out of range for a bottom of {rank} axes ({show(bottom)})")
        last = rank if param.num_axes == -1 else first + param.num_axes
        if param.num_axes < -1 or last > rank:
            raise ShapeError(f"num_axes {param.num_axes} from axis {first} goes beyond the bottom's {rank} axes")
        if dims.count(-1) > 1 or any(dim < -1 for dim in dims):
            raise ShapeError(f"shape {list(dims)}: dimensions are positive, 0 to copy, or one -1")
        middle: list[int | None] = []
        for offset, dim in enumerate(dims):
            if dim == 0 and first + offset >= rank:
                raise ShapeError(f"shape {list(dims)}: 0 at place {offset} has no dimension to copy in {show(bottom)}")
            middle.append(bottom[first + offset] if dim == 0 else dim)
        top = (*bottom[:first], *middle, *bottom[last:])
        return [_with_inferred(bottom, top, list(dims))]

    def _kept_axes(self, bottom: Shape) -> set[int]:
        param = self.param
        first = param.axis if param.axis >= 0 else len(bottom) + param.axis + 1
        copied = {first + offset for offset, dim in enumerate(param.shape.dim) if dim == 0}
        return {*range(first), *copied}


def _with_inferred(bottom: Shape, top: Shape, dims: list[int]) -> Shape:
    """Return the top's shape with its -1 replaced; None where it depends on a dynamic dimension."""
    count, known = product(bottom), product([dim for dim in top if dim != -1])
    if count is None or known is None:
        return tuple(None if dim == -1 else dim for dim in top)
    fits = count % known == 0 if -1 in top and known else count == known
    if not fits:
        raise ShapeError(f"shape {dims} does not hold the {count} values of {show(bottom)}")
    return tuple(count // known if dim == -1 else dim for dim in top)


@register("Crop")
class Crop(LayerType):
    """Source: Caffe, CropLayer: the first bottom cut to the second's size from `axis` on."""

    params_field: ClassVar[str | None] = "crop_param"
    min_bottoms: ClassVar[int] = 2
    max_bottoms: ClassVar[int | None] = 2

    def _offsets(self, bottom: Shape) -> dict[int, int]:
        """Map each cropped axis to its offset."""
        param = self.param
        first = canonical_axis(param.axis, bottom)
        n_axes = len(bottom) - first
        offsets: tuple[int, ...] = param.offset or (0,)
        if len(offsets) not in (1, n_axes):
            raise ShapeError(f"{len(offsets)} offsets for {n_axes} cropped axes: one for all, or one each")
        spread = offsets if len(offsets) == n_axes else offsets * n_axes
        return dict(zip(range(first, len(bottom)), spread, strict=True))

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        bottom, reference = bottoms
        if len(bottom) != len(reference):
            raise ShapeError(f"bottoms have {len(bottom)} and {len(reference)} axes")
        top = list(bottom)
        for axis, offset in self._offsets(bottom).items():
            have, want = bottom[axis], reference[axis]
            if have is not None and want is not None and have - offset < want:
                raise ShapeError(f"axis {axis}: {want} values from offset {offset} on do not fit in {have}")
            top[axis] = want
        return [tuple(top)]

    def emit(self, graph: OnnxGraph) -> None:
        bottom, (top,) = self.layer.bottoms[0], self.layer.tops
        offsets = self._offsets(graph.shapes[bottom])
        starts, axes = graph.ints(offsets.values()), graph.ints(offsets)
        sizes = graph.dims(self.layer.bottoms[1], list(offsets))
        graph.node("Slice", [bottom, starts, graph.node("Add", [starts, sizes]), axes], [top])


@register("Tile")
class Tile(LayerType):
    """Source: Caffe, TileLayer: the whole blob repeated along one axis."""

    params_field: ClassVar[str | None] = "tile_param"

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.tiles: int = self.param.tiles
        if self.tiles < 1:
            raise ShapeError(f"tiles must be positive, got {self.tiles}")

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        top = list(bottoms[0])
        axis = canonical_axis(self.param.axis, bottoms[0])
        size = top[axis]
        top[axis] = None if size is None else size * self.tiles
        return [tuple(top)]

    def emit(self, graph: OnnxGraph) -> None:
        (bottom,), tops = self.layer.bottoms, self.layer.tops
        shape = graph.shapes[bottom]
        axis = canonical_axis(self.param.axis, shape)
        repeats = [self.tiles if index == axis else 1 for index in range(len(shape))]
        graph.node("Tile", [bottom, graph.ints(repeats)], tops)
