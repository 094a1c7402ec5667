"""From Caffe's layer types to PyTorch's modules and functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from dongfeng.errors import UnsupportedLayer
from dongfeng.formats.torch import functions, modules
from dongfeng.formats.torch.batch_norm import TorchBatchNorm
from dongfeng.formats.torch.leaves import Leaf
from dongfeng.layers import pooling
from dongfeng.layers.channels import Concat, Slice
from dongfeng.layers.interp import Interp
from dongfeng.layers.normalization import BatchNorm
from dongfeng.layers.shapes import canonical_axis, pooled, read_window

Operation = Callable[..., Any]  # on tensors: a module, or a function that can be pickled

_CONVOLUTIONS: Mapping[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_DECONVOLUTIONS: Mapping[int, type[nn.Module]] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def operation_of(leaf: Leaf) -> Operation:
    """Return the module or function of a leaf, without its weights.

    Raises:
        UnsupportedLayer: PyTorch cannot compute it, or not with a gradient.
    """
    make = _MAKERS.get(leaf.layer.type)
    if make is None:
        why = _REFUSED.get(leaf.layer.type, "has no PyTorch form")
        raise UnsupportedLayer([f"{why}; name blobs before it with outputs=[...]"])
    return make(leaf)


def _convolution(leaf: Leaf) -> Operation:
    layer, param, shape = leaf.layer, leaf.param, leaf.bottom_shapes[0]
    classes = _DECONVOLUTIONS if layer.type == "Deconvolution" else _CONVOLUTIONS
    n_spatial = leaf.rank - 2
    if leaf.axis != 1 or n_spatial not in classes:
        raise UnsupportedLayer([f"axis {param.axis} of a bottom of {len(shape)} axes: only axis 1, of 3 to 5 axes"])
    window = read_window(param, n_spatial)
    channels = shape[1]
    if channels is None:
        raise UnsupportedLayer(["the number of its input channels is dynamic"])
    is_depthwise = "Depthwise" in layer.type
    return classes[n_spatial](
        channels,
        param.num_output or channels,
        window.kernel,
        stride=window.stride,
        padding=window.pad,
        dilation=window.dilation,
        groups=channels if is_depthwise else param.group,
        bias=param.bias_term,
        device="meta",
    )


def _inner_product(leaf: Leaf) -> Operation:
    param = leaf.param
    if leaf.layer.blobs:
        length = leaf.layer.blobs[0].shape[0 if param.transpose else 1]
    else:
        length = math.prod(dim or 0 for dim in leaf.bottom_shapes[0][leaf.axis :])
    linear = modules.Linear(length, param.num_output, bias=param.bias_term, device="meta")
    linear.axis = leaf.axis
    return linear


def _batch_norm(leaf: Leaf) -> Operation:
    param = leaf.param
    if leaf.rank < 2:
        raise UnsupportedLayer(["its bottom has no channel axis"])
    if (channels := leaf.bottom_shapes[0][1]) is None:
        raise UnsupportedLayer(["the number of its channels is dynamic"])
    has_affine = BatchNorm(leaf.layer).has_affine
    scale = leaf.layers[1].params.scale_param if len(leaf.layers) > 1 else None
    return TorchBatchNorm(
        channels,
        param.eps,
        param.moving_average_fraction,
        has_weight=has_affine or scale is not None,
        has_bias=has_affine or (scale is not None and scale.bias_term),
        use_global_stats=param.use_global_stats if param.has("use_global_stats") else None,
    )


def _scale(leaf: Leaf) -> Operation:
    span, trailing = _span(leaf)
    is_learned = len(leaf.bottoms) == 1
    return modules.Affine(span if is_learned else None, span if leaf.param.bias_term else None, trailing)


def _bias(leaf: Leaf) -> Operation:
    span, trailing = _span(leaf)
    return modules.Affine(None, span if len(leaf.bottoms) == 1 else None, trailing, adds=True)


def _span(leaf: Leaf) -> tuple[tuple[int, ...], int]:
    """Return the shape of the operand, and the number of axes of the first bottom behind it."""
    shape, param = leaf.bottom_shapes[0], leaf.param
    if len(leaf.bottoms) == 2:
        size = len(leaf.bottom_shapes[1])
        axis = leaf.axis if size else 0
    else:
        axis = leaf.axis
        size = leaf.rank - axis if param.num_axes == -1 else param.num_axes
    known = tuple(dim for dim in shape[axis : axis + size] if dim is not None)
    learns = len(leaf.bottoms) == 1 or (leaf.layer.type == "Scale" and param.bias_term)
    if learns and len(known) != size:
        raise UnsupportedLayer(["the shape of its weights depends on the dynamic input size; use net.resize first"])
    return known, leaf.rank - axis - size


def _relu(leaf: Leaf) -> Operation:
    slope = leaf.param.negative_slope
    return nn.LeakyReLU(slope) if slope else nn.ReLU(inplace=leaf.is_inplace)


def _pooling(leaf: Leaf) -> Operation:
    layer, shape = pooling.Pooling(leaf.layer), leaf.bottom_shapes[0]
    if len(leaf.tops) > 1:
        raise UnsupportedLayer(["has a second top, the mask, which has no gradient"])
    if layer.param.global_pooling:
        return nn.AdaptiveMaxPool2d(1) if layer.is_max else nn.AdaptiveAvgPool2d(1)
    window = layer.window(shape)
    if any(2 * pad > kernel for pad, kernel in zip(window.pad, window.kernel, strict=True)):
        raise UnsupportedLayer([f"padding {list(window.pad)} is more than half of the kernel {list(window.kernel)}"])
    for n, k, s, p in zip(shape[2:], window.kernel, window.stride, window.pad, strict=True):
        out = pooled(n, k, s, p, ceil=layer.ceil, is_padded=any(window.pad))
        if n is not None and out is not None and (out - 1) * s - p >= n:
            raise UnsupportedLayer([f"a window lies wholly outside the input of {n} pixels, where Caffe errs"])
    return modules.Pool2d(window, is_max=layer.is_max, ceil=layer.ceil)


def _interp(leaf: Leaf) -> Operation:
    layer, param = Interp(leaf.layer), leaf.param
    follows = len(leaf.bottoms) > 1
    return modules.TorchInterp(
        (param.height, param.width) if layer.uses_fixed_size and not follows else None,
        param.shrink_factor if param.has("shrink_factor") else 1,
        param.zoom_factor if param.has("zoom_factor") else 1,
        (-param.pad_beg, -param.pad_end),
        align_corners=param.align_corners,
    )


def _concat(leaf: Leaf) -> Operation:
    return partial(functions.concat, axis=canonical_axis(Concat(leaf.layer).axis, leaf.bottom_shapes[0]))


def _slice(leaf: Leaf) -> Operation:
    layer = Slice(leaf.layer)
    axis = canonical_axis(layer.axis, leaf.bottom_shapes[0])
    return partial(functions.slices, axis=axis, points=tuple(layer.points), n_parts=len(leaf.tops))


def _flatten(leaf: Leaf) -> Operation:
    last = canonical_axis(leaf.param.end_axis, leaf.bottom_shapes[0])
    return partial(torch.flatten, start_dim=leaf.axis, end_dim=last)


def _reshape(leaf: Leaf) -> Operation:
    param = leaf.param
    first = param.axis if param.axis >= 0 else leaf.rank + param.axis + 1
    last = leaf.rank if param.num_axes == -1 else first + param.num_axes
    return partial(functions.reshape, first=first, last=last, dims=tuple(param.shape.dim))


def _crop(leaf: Leaf) -> Operation:
    axes, offsets = range(leaf.axis, leaf.rank), tuple(leaf.param.offset) or (0,)
    spread = offsets * len(axes) if len(offsets) == 1 else offsets
    return partial(functions.crop, offsets=tuple(zip(axes, spread, strict=True)))


def _permute(leaf: Leaf) -> Operation:
    order = tuple(leaf.param.order)
    return partial(torch.permute, dims=(*order, *(axis for axis in range(leaf.rank) if axis not in order)))


def _reduction(leaf: Leaf) -> Operation:
    axes = tuple(range(leaf.axis, leaf.rank))
    return partial(functions.reduction, operation=leaf.param.operation, axes=axes, coeff=leaf.param.coeff)


def _mvn(leaf: Leaf) -> Operation:
    axes = tuple(range(1 if leaf.param.across_channels else 2, leaf.rank))
    return partial(functions.mvn, axes=axes, normalize_variance=leaf.param.normalize_variance, eps=leaf.param.eps)


def _lrn(leaf: Leaf) -> Operation:
    p = leaf.param
    if p.norm_region == "ACROSS_CHANNELS":
        return nn.LocalResponseNorm(p.local_size, p.alpha, p.beta, p.k)
    return partial(functions.lrn_within, size=p.local_size, alpha=p.alpha, beta=p.beta)


def _normalize(leaf: Leaf) -> Operation:
    weight = () if leaf.param.channel_shared else (leaf.bottom_shapes[0][1] or 1,)
    return modules.TorchNormalize(weight, leaf.param.eps, across_spatial=leaf.param.across_spatial)


def _exp(leaf: Leaf) -> Operation:
    log_base = 1.0 if leaf.param.base == -1 else math.log(leaf.param.base)
    return partial(functions.exp, scale=leaf.param.scale * log_base, shift=leaf.param.shift * log_base)


def _log(leaf: Leaf) -> Operation:
    factor = 1.0 if leaf.param.base == -1 else 1.0 / math.log(leaf.param.base)
    return partial(functions.log, scale=leaf.param.scale, shift=leaf.param.shift, factor=factor)


def _power(leaf: Leaf) -> Operation:
    return partial(functions.power, power=leaf.param.power, scale=leaf.param.scale, shift=leaf.param.shift)


_MAKERS: Mapping[str, Callable[[Leaf], Operation]] = {
    "AbsVal": lambda _: torch.abs,
    "Axpy": lambda leaf: partial(functions.axpy, rank=len(leaf.bottom_shapes[1])),
    "BNLL": lambda _: nn.Softplus(),
    "BatchNorm": _batch_norm,
    "Bias": _bias,
    "Clip": lambda leaf: nn.Hardtanh(leaf.param.min, leaf.param.max),
    "Concat": _concat,
    "Convolution": _convolution,
    "ConvolutionDepthwise": _convolution,
    "Crop": _crop,
    "Deconvolution": _convolution,
    "DepthwiseConvolution": _convolution,
    "Dropout": lambda leaf: nn.Dropout(leaf.param.dropout_ratio),
    "ELU": lambda leaf: nn.ELU(leaf.param.alpha),
    "Eltwise": lambda leaf: partial(functions.eltwise, operation=leaf.param.operation, coeff=tuple(leaf.param.coeff)),
    "Exp": _exp,
    "Flatten": _flatten,
    "HSwish": lambda _: nn.Hardswish(),
    "HardSigmoid": lambda leaf: partial(functions.hard_sigmoid, alpha=leaf.param.alpha, beta=leaf.param.beta),
    "HardSwish": lambda _: nn.Hardswish(),
    "InnerProduct": _inner_product,
    "Interp": _interp,
    "LRN": _lrn,
    "Log": _log,
    "MVN": _mvn,
    "Mish": lambda _: nn.Mish(),
    "Normalize": _normalize,
    "PReLU": lambda leaf: nn.PReLU(1 if leaf.param.channel_shared else leaf.bottom_shapes[0][1] or 1),
    "Permute": _permute,
    "Pooling": _pooling,
    "Power": _power,
    "ReLU": _relu,
    "ReLU6": lambda _: nn.ReLU6(),
    "Reduction": _reduction,
    "Reshape": _reshape,
    "Scale": _scale,
    "ShuffleChannel": lambda leaf: nn.ChannelShuffle(leaf.param.group),
    "Sigmoid": lambda _: nn.Sigmoid(),
    "Slice": _slice,
    "Softmax": lambda leaf: nn.Softmax(leaf.axis),
    "Split": lambda leaf: partial(functions.copies, count=len(leaf.tops)),
    "Swish": lambda leaf: partial(functions.swish, beta=leaf.param.beta),
    "TanH": lambda _: nn.Tanh(),
    "Threshold": lambda leaf: partial(functions.exceeds, threshold=leaf.param.threshold),
    "Tile": lambda leaf: partial(functions.tile, axis=leaf.axis, tiles=leaf.param.tiles),
}

_REFUSED = {"ArgMax": "gives indices, which have no gradient"}


def supported_types() -> tuple[str, ...]:
    """List Caffe's types that have a PyTorch form, sorted."""
    return tuple(sorted(_MAKERS))
