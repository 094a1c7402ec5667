"""Layers that enlarge or shrink planes: Interp and Upsample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError
from dongfeng.net.graph import Layer
from dongfeng.reference.axes import require_axes, require_same_shapes, show
from dongfeng.reference.registry import AnyArray, Array, forward_of

Steps = tuple[AnyArray, AnyArray, Array]  # lower neighbour, upper neighbour, weight of the upper one


@forward_of("Interp", bottoms=(1, 2))
def interp(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Bilinear resizing with aligned corners, or at half pixels where `align_corners` is false."""
    x, param = bottoms[0], layer.params.interp_param
    require_axes(x, 4)
    begin, end = param.pad_beg, param.pad_end
    if begin > 0 or end > 0:
        raise ShapeError(f"pad_beg {begin} and pad_end {end} can only crop: use 0 or less")
    x = x[:, :, -begin : x.shape[2] + end, -begin : x.shape[3] + end]
    if x.size == 0:
        raise ShapeError(f"pad_beg {begin} and pad_end {end} crop everything of {show(bottoms[0].shape)}")
    size = tuple(_interp_size(param, n, axis, bottoms[1:]) for axis, n in enumerate(x.shape[2:]))
    if min(size) < 1:
        raise ShapeError(f"the output of {show(bottoms[0].shape)} would be {show(size)}")
    if size == x.shape[2:]:
        return [x]
    steps = _aligned if param.align_corners else _half_pixel
    left, right, weight = steps(x.shape[3], size[1])
    rows = (1 - weight) * x[..., left] + weight * x[..., right]
    upper, lower, weight = steps(x.shape[2], size[0])
    weight = weight[:, None]
    return [(1 - weight) * rows[..., upper, :] + weight * rows[..., lower, :]]


def _interp_size(param: Message, n: int, axis: int, like: Sequence[Array]) -> int:
    """Return output height (axis 0) or width (axis 1) of an Interp layer for `n` cropped rows or columns."""
    shrinks, zooms = param.has("shrink_factor"), param.has("zoom_factor")
    if (shrinks and param.shrink_factor < 1) or (zooms and param.zoom_factor < 1):
        raise ShapeError(f"shrink_factor {param.shrink_factor} and zoom_factor {param.zoom_factor} must be positive")
    if shrinks == zooms and param.has("height") and param.has("width"):
        return int(param.width if axis else param.height)
    if shrinks:
        n = (n - 1) // param.shrink_factor + 1
    if zooms:
        n += (n - 1) * (param.zoom_factor - 1)
    if shrinks or zooms:
        return n
    if like:
        require_axes(like[0], 4)
        return int(like[0].shape[2 + axis])
    raise ShapeError("no output size: give height and width, zoom_factor or shrink_factor, or a second bottom")


def _aligned(n: int, size: int) -> Steps:
    """Align first and last samples, in single precision at every step, for a long row shows the rounding."""
    ratio = np.float32(n - 1) / np.float32(size - 1) if size > 1 else np.float32(0)
    at = ratio * np.arange(size, dtype=np.float32)
    lower = at.astype(np.int64)
    return lower, np.minimum(lower + 1, n - 1), at - lower.astype(np.float32)


def _half_pixel(n: int, size: int) -> Steps:
    """Align pixel centres as ncnn and OpenCV do, limited to the edge."""
    at = np.clip((np.arange(size) + 0.5) * (n / size) - 0.5, 0, n - 1)
    lower = at.astype(np.int64)
    return lower, np.minimum(lower + 1, n - 1), (at - lower).astype(np.float32)


@forward_of("Upsample", bottoms=(1, 2))
def upsample(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The values at the places of a pooling's mask (SegNet), or each one repeated (YOLO)."""
    x, param = bottoms[0], layer.params.upsample_param
    require_axes(x, 4)
    if len(bottoms) == 1:
        scale = param.scale if param.has("scale") else 1
        return [x.repeat(scale, 2).repeat(scale, 3)]
    require_same_shapes(bottoms)
    height, width = _upsampled_size(param, x.shape[2:])
    places = bottoms[1].reshape(*x.shape[:2], -1).astype(np.int64)
    if places.min() < 0 or places.max() >= height * width:
        raise ShapeError(f"the mask points at {places.min()}..{places.max()}, outside a plane of {height}x{width}")
    planes = np.zeros((*x.shape[:2], height * width), np.float32)
    # Where windows overlapped, a place occurs twice: the last value stays, as in Caffe.
    samples, channels = np.ogrid[: x.shape[0], : x.shape[1]]
    planes[samples[..., None], channels[..., None], places] = x.reshape(places.shape)
    return [planes.reshape(*x.shape[:2], height, width)]


def _upsampled_size(param: Message, size: Sequence[int]) -> tuple[int, int]:
    """Return height and width of the planes that a mask points into."""
    if param.has("upsample_h") and param.has("upsample_w"):
        return param.upsample_h, param.upsample_w
    scales = (param.scale_h, param.scale_w) if param.has("scale_h") else (param.scale, param.scale)
    return size[0] * scales[0] - bool(param.pad_out_h), size[1] * scales[1] - bool(param.pad_out_w)
