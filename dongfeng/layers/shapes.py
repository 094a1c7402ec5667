"""Caffe's size arithmetic: axes, convolution and pooling windows, products with dynamic dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError
from dongfeng.layers.layer import Shape, show


def canonical_axis(axis: int, shape: Shape) -> int:
    """Return a non-negative axis of `shape`.

    Raises:
        ShapeError: the blob has no such axis.

    Source: Caffe, Blob::CanonicalAxisIndex.
    """
    rank = len(shape)
    if not -rank <= axis < rank:
        raise ShapeError(f"axis {axis} is out of range for a bottom of {rank} axes ({show(shape)})")
    return axis % rank


def require_image(shape: Shape) -> None:
    """Refuse a bottom that has no height and width behind batch and channels.

    Raises:
        ShapeError: it has more or fewer than four axes.
    """
    if len(shape) != 4:
        raise ShapeError(f"the bottom must have 4 axes (N, C, H, W), its shape is {show(shape)}")


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

    def onnx_attributes(self) -> dict[str, Any]:
        """Return the attributes of ONNX's convolution or pooling; those of pooling know no dilation."""
        return {"kernel_shape": list(self.kernel), "strides": list(self.stride), "pads": [*self.pad, *self.pad]}


def read_window(param: Message, n_spatial: int) -> Window:
    """Read the window of a ConvolutionParameter, in any of Caffe's spellings (`_size`, `_h`/`_w`, repeated).

    Source: Caffe, BaseConvolutionLayer::LayerSetUp.
    """
    kernel = _spread(param, "kernel_size", "kernel", None, n_spatial)
    stride = _spread(param, "stride", "stride", 1, n_spatial)
    pad = _spread(param, "pad", "pad", 0, n_spatial)
    dilation = _spread(param, "dilation", None, 1, n_spatial)
    for name, values in (("kernel_size", kernel), ("stride", stride), ("dilation", dilation)):
        if min(values, default=1) < 1:
            raise ShapeError(f"{name} must be positive, got {list(values)}")
    return Window(kernel, stride, pad, dilation)


def _spread(param: Message, name: str, stem: str | None, default: int | None, n: int) -> tuple[int, ...]:
    values: tuple[int, ...] = getattr(param, name)
    if stem and (param.has(f"{stem}_h") or param.has(f"{stem}_w")):
        if n != 2:
            raise ShapeError(f"{stem}_h and {stem}_w need two spatial axes, the bottom has {n}")
        if values:
            raise ShapeError(f"{name} and {stem}_h/{stem}_w are both given")
        return (getattr(param, f"{stem}_h"), getattr(param, f"{stem}_w"))
    if not values:
        if default is None:
            raise ShapeError(f"{name} is missing")
        return (default,) * n
    if len(values) not in (1, n):
        raise ShapeError(f"{name} is given {len(values)} times for {n} spatial axes")
    return values if len(values) == n else values * n


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
