"""Axes and shapes, counted as Caffe's Blob does."""

from __future__ import annotations

from collections.abc import Sequence

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError
from dongfeng.reference.registry import AnyArray, Array


def canonical(axis: int, ndim: int) -> int:
    """Return the axis counted from the front, as Blob::CanonicalAxisIndex does.

    Raises:
        ShapeError: the blob has no such axis.
    """
    if not -ndim <= axis < ndim:
        raise ShapeError(f"axis {axis} is outside a blob of {ndim} axes")
    return axis % ndim


def show(shape: Sequence[int]) -> str:
    """Write a shape as people do: `1x3x224x224`."""
    return "x".join(map(str, shape)) or "scalar"


def spread(values: AnyArray, axis: int, ndim: int) -> AnyArray:
    """Reshape `values` so that they broadcast over a blob of `ndim` axes from `axis` on."""
    return values.reshape(values.shape + (1,) * (ndim - axis - values.ndim))


def read_pair(param: Message, name: str, square: str) -> tuple[int, ...]:
    """Read height and width: `name_h` and `name_w`, else one value for both.

    Raises:
        ShapeError: both forms are given.
    """
    if param.has(f"{name}_h") or param.has(f"{name}_w"):
        if param.has(square):
            raise ShapeError(f"{square} and {name}_h, {name}_w are both given")
        return getattr(param, f"{name}_h"), getattr(param, f"{name}_w")
    return (getattr(param, square),) * 2


def require_axes(bottom: Array, wanted: int) -> None:
    """Refuse a blob that has another number of axes.

    Raises:
        ShapeError: the blob has.
    """
    if bottom.ndim != wanted:
        raise ShapeError(f"the bottom must have {wanted} axes, its shape is {show(bottom.shape)}")


def require_same_shapes(bottoms: Sequence[Array]) -> None:
    """Refuse bottoms that differ in shape.

    Raises:
        ShapeError: two of them do.
    """
    for index, bottom in enumerate(bottoms):
        if bottom.shape != bottoms[0].shape:
            raise ShapeError(f"bottom {index} is {show(bottom.shape)}, bottom 0 is {show(bottoms[0].shape)}")
