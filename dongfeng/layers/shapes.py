"""Caffe's size arithmetic: axes, convolution and pooling windows, products with dynamic dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError
from dongfeng.layers.layer import Shape, show


def canonical_axis(axis: int, shape: Shape, *, end: bool = False) -> int:
    """Return a non-negative axis of `shape`; `end` allows the axis just behind the last.

    Raises:
        ShapeError: the blob has no such axis.

    Source: Caffe, Blob::CanonicalAxisIndex.
    """
    rank = len(shape)
    if not -rank <= axis < rank + end:
        raise ShapeError(f"axis {axis} is out of range for a bottom of {rank} axes ({show(shape)})")
    return axis + rank if axis < 0 else axis


def product(dims: Sequence[int | None]) -> int | None:
    """Multiply dimensions; None if one of them is dynamic."""
    return None if None in dims else math.prod(dim for dim in dims if dim is not None)


@dataclass(frozen=True)
class Window:
    """Kernel, stride, padding and dilation, one value per spatial axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]

    @property
    def extent(self) -> tuple[int, ...]:
        """Input pixels that a dilated kernel spans, per axis."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))


def read_window(param: Message, n_spatial: int) -> Window:
    """Read the window of a ConvolutionParameter, in any of Caffe's spellings (`_size`, `_h`/`_w`, repeated).

    Source: Caffe, BaseConvolutionLayer::LayerSetUp.
    """
    kernel = _spread(param, "kernel_size", "kernel_h", "kernel_w", None, n_spatial)
    stride = _spread(param, "stride", "stride_h", "stride_w", 1, n_spatial)
    pad = _spread(param, "pad", "pad_h", "pad_w", 0, n_spatial)
    dilation = _spread(param, "dilation", None, None, 1, n_spatial)
    for name, values in (("kernel_size", kernel), ("stride", stride), ("dilation", dilation)):
        if min(values, default=1) < 1:
            raise ShapeError(f"{name} must be positive, got {list(values)}")
    return Window(kernel, stride, pad, dilation)


def _spread(
    param: Message, name: str, name_h: str | None, name_w: str | None, default: int | None, n: int
) -> tuple[int, ...]:
    values: tuple[int, ...] = getattr(param, name)
    if name_h and name_w and (param.has(name_h) or param.has(name_w)):
        if n != 2:
            raise ShapeError(f"{name_h} and {name_w} need two spatial axes, the bottom has {n}")
        if values:
            raise ShapeError(f"{name} and {name_h}/{name_w} are both given")
        return (getattr(param, name_h), getattr(param, name_w))
    if not values:
        if default is None:
            raise ShapeError(f"{name} is missing")
        return (default,) * n
    if len(values) not in (1, n):
        raise ShapeError(f"{name} is given {len(values)} times for {n} spatial axes")
    return tuple(values) if len(values) == n else tuple(values) * n


def convolved(size: int | None, extent: int, stride: int, pad: int) -> int | None:
    """Compute the output size of a convolution, rounded down.

    Raises:
        ShapeError: the kernel is larger than the padded input.
    """
    if size is None:
        return None
    if size + 2 * pad < extent:
        raise ShapeError(f"the kernel spans {extent} pixels, more than the padded input of {size + 2 * pad}")
    return (size + 2 * pad - extent) // stride + 1


def deconvolved(size: int | None, extent: int, stride: int, pad: int) -> int | None:
    """Compute the output size of a deconvolution."""
    if size is None:
        return None
    out = stride * (size - 1) + extent - 2 * pad
    if out < 1:
        raise ShapeError(f"the output would have {out} pixels: padding {pad} is too large")
    return out


def pooled(size: int | None, kernel: int, stride: int, pad: int, *, is_padded: bool, ceil: bool = True) -> int | None:
    """Compute the output size of pooling: rounded up, without a last window that would start in the padding.

    Args:
        size: Pixels along this axis; None: dynamic.
        kernel: Pixels of a window.
        stride: Pixels from a window to the next.
        pad: Pixels added at either end.
        is_padded: Whether either axis is padded: then such a window is dropped on both.
        ceil: Round up, as Caffe does by default.

    Source: Caffe, PoolingLayer::Reshape.
    """
    if size is None:
        return None
    span = size + 2 * pad - kernel
    out = (-(-span // stride) if ceil else span // stride) + 1
    if is_padded and (out - 1) * stride >= size + pad:
        out -= 1
    if out < 1:
        raise ShapeError(f"a kernel of {kernel} with stride {stride} leaves no window on {size} pixels")
    return out
