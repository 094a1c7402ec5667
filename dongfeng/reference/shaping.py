"""Layers that move, copy or hold data without arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError, UnsupportedLayer, WeightsMismatch
from dongfeng.net.graph import Layer
from dongfeng.reference.axes import canonical, show
from dongfeng.reference.registry import AnyArray, Array, forward_of
from dongfeng.reference.weights import filled, weight_and_bias, weights

_T = TypeVar("_T")


def _axis(param: Message, legacy: str, ndim: int) -> int:
    """Return the axis of a Concat or Slice in its current or its old spelling."""
    return canonical(getattr(param, legacy) if param.has(legacy) else param.axis, ndim)


@forward_of("Concat", bottoms=(1, None))
def concat(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The bottoms joined along one axis; a single bottom is the top itself."""
    if len(bottoms) == 1:
        return [bottoms[0]]
    axis = _axis(layer.params.concat_param, "concat_dim", bottoms[0].ndim)
    rests = [(*bottom.shape[:axis], *bottom.shape[axis + 1 :]) for bottom in bottoms]
    if len(set(rests)) > 1 or len({bottom.ndim for bottom in bottoms}) > 1:
        raise ShapeError(f"bottoms differ in more than axis {axis}: {', '.join(show(b.shape) for b in bottoms)}")
    return [np.concatenate(bottoms, axis)]


@forward_of("Slice", tops=(1, None))
def slice_(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Pieces along one axis, cut at the slice points or into equal parts; a single top is the bottom itself."""
    (x,), param = bottoms, layer.params.slice_param
    n_tops = len(layer.tops)
    if n_tops == 1:
        return [x]
    axis = _axis(param, "slice_dim", x.ndim)
    points = list(param.slice_point)
    if not points:
        if x.shape[axis] % n_tops:
            raise ShapeError(f"axis {axis} of {show(x.shape)} does not divide into {n_tops} equal parts")
        points = [x.shape[axis] // n_tops * part for part in range(1, n_tops)]
    ends = [0, *points, x.shape[axis]]
    if len(points) != n_tops - 1 or any(a >= b for a, b in zip(ends, ends[1:], strict=False)):
        raise ShapeError(f"slice points {points} do not cut {x.shape[axis]} values into {n_tops} parts")
    return [part.copy() for part in np.split(x, points, axis)]


@forward_of("Split", tops=(1, None))
def split(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The bottom under several names."""
    return [bottoms[0]] * len(layer.tops)


@forward_of("Silence", bottoms=(1, None), tops=(0, 0))
def silence(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """No top: the layer only reads."""
    return []


@forward_of("Flatten")
def flatten(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The values with neighbouring axes joined to one."""
    (x,), param = bottoms, layer.params.flatten_param
    first, last = canonical(param.axis, x.ndim), canonical(param.end_axis, x.ndim)
    if first > last:
        raise ShapeError(f"axis {param.axis} lies behind end_axis {param.end_axis} of {show(x.shape)}")
    return [x.reshape(*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :])]


@forward_of("Reshape")
def reshape(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The values with other axes: 0 keeps an axis, -1 takes the rest."""
    (x,), param = bottoms, layer.params.reshape_param
    start = param.axis if param.axis >= 0 else x.ndim + param.axis + 1
    stop = x.ndim if param.num_axes == -1 else start + param.num_axes
    if not 0 <= start <= stop <= x.ndim:
        raise ShapeError(f"axis {param.axis} and num_axes {param.num_axes} reach outside {show(x.shape)}")
    wanted = list(param.shape.dim)
    try:
        middle = [x.shape[start + offset] if dim == 0 else dim for offset, dim in enumerate(wanted)]
    except IndexError:
        raise ShapeError(f"dim: 0 copies an axis that {show(x.shape)} does not have") from None
    shape = [*x.shape[:start], *middle, *x.shape[stop:]]
    known = math.prod(dim for dim in shape if dim != -1)
    if shape.count(-1) > 1 or (x.size % known if -1 in shape else x.size != known):
        raise ShapeError(f"{show(x.shape)} cannot become {show(shape)}")
    return [x.reshape(shape)]


@forward_of("Crop", bottoms=(2, 2))
def crop(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The part of the first bottom that has the second one's size from an axis on."""
    (x, like), param = bottoms, layer.params.crop_param
    axis = canonical(param.axis, x.ndim)
    if x.ndim != like.ndim or len(param.offset) not in (0, 1, x.ndim - axis):
        raise ShapeError(f"{show(x.shape)} cannot be cropped to {show(like.shape)} with offsets {list(param.offset)}")
    offsets = param.offset or (0,)
    if len(offsets) == 1:
        offsets = offsets * (x.ndim - axis)
    index = [slice(None)] * axis
    for at, start in enumerate(offsets, axis):
        if start + like.shape[at] > x.shape[at]:
            raise ShapeError(f"axis {at}: {like.shape[at]} from {start} on reach outside {x.shape[at]}")
        index.append(slice(start, start + like.shape[at]))
    return [x[tuple(index)].copy()]


@forward_of("Tile")
def tile(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The bottom repeated along one axis."""
    (x,), param = bottoms, layer.params.tile_param
    if param.tiles < 1:
        raise ShapeError(f"tiles must be positive, got {param.tiles}")
    return [np.concatenate([x] * param.tiles, canonical(param.axis, x.ndim))]


@forward_of("Permute")
def permute(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The axes in another order; unnamed ones follow."""
    (x,), order = bottoms, list(layer.params.permute_param.order)
    if len(set(order)) != len(order) or any(axis >= x.ndim for axis in order):
        raise ShapeError(f"order {order} is none of the axes of {show(x.shape)}")
    order += [axis for axis in range(x.ndim) if axis not in order]
    return [x if order == sorted(order) else x.transpose(order).copy()]


@forward_of("ShuffleChannel")
def shuffle_channel(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The channels transposed between group and place in the group."""
    (x,), group = bottoms, layer.params.shuffle_channel_param.group
    if x.ndim < 2 or group < 1 or x.shape[1] % group:
        raise ShapeError(f"the channels of {show(x.shape)} do not divide into {group} groups")
    piles = x.reshape(x.shape[0], group, x.shape[1] // group, *x.shape[2:])
    return [piles.swapaxes(1, 2).reshape(x.shape)]


@forward_of("BatchReindex", bottoms=(2, 2))
def batch_reindex(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Samples picked by index."""
    x, indices = bottoms
    return [x[_indices(indices, x.shape[0])]]


@forward_of("Embed")
def embed(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Indices looked up in a table of vectors."""
    param = layer.params.embed_param
    table, *added = weight_and_bias(layer, param, (param.input_dim, param.num_output), param.num_output)
    rows = table[_indices(bottoms[0], param.input_dim)]
    return [rows + added[0] if added else rows]


def _indices(values: Array, size: int) -> AnyArray:
    indices = values.astype(np.int64)
    if indices.size and not 0 <= indices.min() <= indices.max() < size:
        raise ShapeError(f"indices {indices.min()}..{indices.max()} reach outside 0..{size - 1}")
    return indices


@forward_of("Parameter", bottoms=(0, 0))
def parameter(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """A learned blob."""
    return [weights(layer, [tuple(layer.params.parameter_param.shape.dim)], [0.0])[0].copy()]


@forward_of("DummyData", bottoms=(0, 0), tops=(1, None))
def dummy_data(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Constant blobs."""
    param, n_tops = layer.params.dummy_data_param, len(layer.tops)
    shapes = [tuple(shape.dim) for shape in param.shape]
    if not shapes:
        fields = [_for_each(field, n_tops) for field in (param.num, param.channels, param.height, param.width)]
        shapes = list(zip(*fields, strict=True))
    fillers = param.data_filler or (0.0,)
    try:
        pairs = zip(_for_each(shapes, n_tops), _for_each(fillers, n_tops), strict=True)
        return [filled(shape, filler) for shape, filler in pairs]
    except WeightsMismatch as exc:
        raise UnsupportedLayer(["data_filler is random; use a constant one"]) from exc


def _for_each(values: Sequence[_T], n_tops: int) -> list[_T]:
    """Return one value per top, where one may stand for all."""
    if len(values) not in (1, n_tops):
        raise ShapeError(f"{len(values)} shapes or fillers for {n_tops} tops: expected one, or one each")
    return list(values) * (n_tops if len(values) == 1 else 1)
