"""From Caffe's layer types to PyTorch's modules and functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from dongfeng.errors import UnsupportedLayer
from dongfeng.formats.torch import functions, modules
from dongfeng.formats.torch.batch_norm import TorchBatchNorm
from dongfeng.formats.torch.leaves import Leaf
from dongfeng.layers import pooling
from dongfeng.layers.base import layer_type
from dongfeng.layers.interp import Interp
from dongfeng.layers.normalization import BatchNorm
from dongfeng.layers.shapes import canonical_axis, pooled, read_window

Operation = Callable[..., Any]  # on tensors: a module, or a function that can be pickled

_CONVOLUTIONS: Mapping[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_DECONVOLUTIONS: Mapping[int, type[nn.Module]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}


def operation_of(leaf: Leaf) -> Operation:
    """Return the module or function of a leaf, without its weights.

    Raises:
        UnsupportedLayer: PyTorch cannot compute it, or not with a gradient.
    """
    make = _MAKERS.get(leaf.layer.type)
    if make is None:
        why = _REFUSED.get(leaf.layer.type, "has no PyTorch form")
        raise UnsupportedLayer([f"{leaf.layer.where}: {why}; name blobs before it with outputs=[...]"])
    try:
        return make(leaf)
    except UnsupportedLayer as exc:
        raise UnsupportedLayer([f"{leaf.layer.where}: {problem}" for problem in exc.problems]) from exc


def _rank(leaf: Leaf) -> int:
    return len(leaf.bottom_shapes[0])


def _convolution(leaf: Leaf) -> Operation:
    return _convolving(leaf, _CONVOLUTIONS)


def _deconvolution(leaf: Leaf) -> Operation:
    return _convolving(leaf, _DECONVOLUTIONS)


def _convolving(leaf: Leaf, classes: Mapping[int, type[nn.Module]]) -> Operation:
    layer, param, shape = leaf.layer, leaf.layer.params.convolution_param, leaf.bottom_shapes[0]
    n_spatial = len(shape) - 2
    if canonical_axis(param.axis, shape) != 1 or n_spatial not in classes:
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
    param, shape = leaf.layer.params.inner_product_param, leaf.bottom_shapes[0]
    axis = canonical_axis(param.axis, shape)
    if leaf.layer.blobs:
        length = leaf.layer.blobs[0].shape[0 if param.transpose else 1]
    else:
        length = math.prod(dim or 0 for dim in shape[axis:])
    linear = modules.Linear(length, param.num_output, bias=param.bias_term, device="meta")
    linear.axis = axis
    return linear


def _batch_norm(leaf: Leaf) -> Operation:
    layer, param = leaf.layer, leaf.layer.params.batch_norm_param
    channels = leaf.bottom_shapes[0][1] if _rank(leaf) > 1 else 1
    if channels is None:
        raise UnsupportedLayer(["the number of its channels is dynamic"])
    if _rank(leaf) < 2:
        raise UnsupportedLayer(["its bottom has no channel axis"])
    has_affine = BatchNorm(layer).has_affine
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
    param = leaf.layer.params.scale_param
    span, trailing = _span(leaf, param)
    is_learned = len(leaf.bottoms) == 1
    return modules.Affine(span if is_learned else None, span if param.bias_term else None, trailing)


def _bias(leaf: Leaf) -> Operation:
    span, trailing = _span(leaf, leaf.layer.params.bias_param)
    return modules.Affine(None, span if len(leaf.bottoms) == 1 else None, trailing, adds=True)


def _span(leaf: Leaf, param: Any) -> tuple[tuple[int, ...], int]:
    """Return the shape of the operand, and the number of axes of the first bottom behind it."""
    shape = leaf.bottom_shapes[0]
    if len(leaf.bottoms) == 2:
        size = len(leaf.bottom_shapes[1])
        axis = canonical_axis(param.axis, shape) if size else 0
    else:
        axis = canonical_axis(param.axis, shape)
        size = len(shape) - axis if param.num_axes == -1 else param.num_axes
    known = tuple(dim for dim in shape[axis : axis + size] if dim is not None)
    learns = len(leaf.bottoms) == 1 or (leaf.layer.type == "Scale" and param.bias_term)
    if learns and len(known) != size:
        raise UnsupportedLayer(["the shape of its weights depends on the dynamic input size; use net.resize first"])
    return known, len(shape) - axis - size


def _relu(leaf: Leaf) -> Operation:
    slope = leaf.layer.params.relu_param.negative_slope
    return nn.LeakyReLU(slope) if slope else nn.ReLU(inplace=leaf.is_inplace)


def _prelu(leaf: Leaf) -> Operation:
    shared, channels = leaf.layer.params.prelu_param.channel_shared, leaf.bottom_shapes[0][1]
    return nn.PReLU(1 if shared else channels or 1)


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
    layer, param = Interp(leaf.layer), leaf.layer.params.interp_param
    follows = len(leaf.bottoms) > 1
    return modules.TorchInterp(
        (param.height, param.width) if layer.uses_fixed_size and not follows else None,
        param.shrink_factor if param.has("shrink_factor") else 1,
        param.zoom_factor if param.has("zoom_factor") else 1,
        (-param.pad_beg, -param.pad_end),
        align_corners=param.align_corners,
    )


def _eltwise(leaf: Leaf) -> Operation:
    param = leaf.layer.params.eltwise_param
    return functions.TorchEltwise(param.operation, tuple(param.coeff))


def _concat(leaf: Leaf) -> Operation:
    return functions.TorchConcat(canonical_axis(layer_type(leaf.layer).axis, leaf.bottom_shapes[0]))  # type: ignore[attr-defined]


def _slice(leaf: Leaf) -> Operation:
    layer: Any = layer_type(leaf.layer)
    return functions.TorchSlice(canonical_axis(layer.axis, leaf.bottom_shapes[0]), tuple(layer.points), len(leaf.tops))


def _softmax(leaf: Leaf) -> Operation:
    return nn.Softmax(canonical_axis(leaf.layer.params.softmax_param.axis, leaf.bottom_shapes[0]))


def _flatten(leaf: Leaf) -> Operation:
    param, shape = leaf.layer.params.flatten_param, leaf.bottom_shapes[0]
    return functions.TorchFlatten(canonical_axis(param.axis, shape), canonical_axis(param.end_axis, shape))


def _reshape(leaf: Leaf) -> Operation:
    param, rank = leaf.layer.params.reshape_param, _rank(leaf)
    first = param.axis if param.axis >= 0 else rank + param.axis + 1
    last = rank if param.num_axes == -1 else first + param.num_axes
    return functions.TorchReshape(first, last, tuple(param.shape.dim))


def _crop(leaf: Leaf) -> Operation:
    param, rank = leaf.layer.params.crop_param, _rank(leaf)
    axes = range(canonical_axis(param.axis, leaf.bottom_shapes[0]), rank)
    offsets = tuple(param.offset) or (0,)
    spread = offsets * len(axes) if len(offsets) == 1 else offsets
    return functions.TorchCrop(tuple(zip(axes, spread, strict=True)))


def _tile(leaf: Leaf) -> Operation:
    param = leaf.layer.params.tile_param
    return functions.TorchTile(canonical_axis(param.axis, leaf.bottom_shapes[0]), param.tiles)


def _permute(leaf: Leaf) -> Operation:
    order = tuple(leaf.layer.params.permute_param.order)
    return functions.TorchPermute((*order, *(axis for axis in range(_rank(leaf)) if axis not in order)))


def _reduction(leaf: Leaf) -> Operation:
    param, shape = leaf.layer.params.reduction_param, leaf.bottom_shapes[0]
    axes = tuple(range(canonical_axis(param.axis, shape), len(shape)))
    return functions.TorchReduction(param.operation, axes, param.coeff)


def _mvn(leaf: Leaf) -> Operation:
    param = leaf.layer.params.mvn_param
    axes = tuple(range(1 if param.across_channels else 2, _rank(leaf)))
    return functions.TorchMVN(axes, param.normalize_variance, param.eps)


def _lrn(leaf: Leaf) -> Operation:
    p = leaf.layer.params.lrn_param
    if p.norm_region == "ACROSS_CHANNELS":
        return nn.LocalResponseNorm(p.local_size, p.alpha, p.beta, p.k)
    return functions.LRNWithin(p.local_size, p.alpha, p.beta)


def _normalize(leaf: Leaf) -> Operation:
    param, channels = leaf.layer.params.norm_param, leaf.bottom_shapes[0][1]
    return modules.TorchNormalize(() if param.channel_shared else (channels or 1,), param.eps,
                             across_spatial=param.across_spatial)  # fmt: skip


def _exp(leaf: Leaf) -> Operation:
    param = leaf.layer.params.exp_param
    log_base = 1.0 if param.base == -1 else math.log(param.base)
    return functions.TorchExp(param.scale * log_base, param.shift * log_base)


def _log(leaf: Leaf) -> Operation:
    param = leaf.layer.params.log_param
    return functions.TorchLog(param.scale, param.shift, 1.0 if param.base == -1 else 1.0 / math.log(param.base))


def _power(leaf: Leaf) -> Operation:
    param = leaf.layer.params.power_param
    return functions.TorchPower(param.power, param.scale, param.shift)


def _clip(leaf: Leaf) -> Operation:
    param = leaf.layer.params.clip_param
    return nn.Hardtanh(param.min, param.max)


def _hard_sigmoid(leaf: Leaf) -> Operation:
    param = leaf.layer.params.hardsigmoid_param
    return functions.TorchHardSigmoid(param.alpha, param.beta)


_MAKERS: Mapping[str, Callable[[Leaf], Operation]] = {
    "AbsVal": lambda _: torch.abs,
    "Axpy": lambda leaf: functions.TorchAxpy(len(leaf.bottom_shapes[1])),
    "BNLL": lambda _: nn.Softplus(),
    "BatchNorm": _batch_norm,
    "Bias": _bias,
    "Clip": _clip,
    "Concat": _concat,
    "Convolution": _convolution,
    "ConvolutionDepthwise": _convolution,
    "Crop": _crop,
    "Deconvolution": _deconvolution,
    "DepthwiseConvolution": _convolution,
    "Dropout": lambda leaf: nn.Dropout(leaf.layer.params.dropout_param.dropout_ratio),
    "ELU": lambda leaf: nn.ELU(leaf.layer.params.elu_param.alpha),
    "Eltwise": _eltwise,
    "Exp": _exp,
    "Flatten": _flatten,
    "HSwish": lambda _: nn.Hardswish(),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda _: nn.Hardswish(),
    "InnerProduct": _inner_product,
    "Interp": _interp,
    "LRN": _lrn,
    "Log": _log,
    "MVN": _mvn,
    "Mish": lambda _: nn.Mish(),
    "Normalize": _normalize,
    "PReLU": _prelu,
    "Permute": _permute,
    "Pooling": _pooling,
    "Power": _power,
    "ReLU": _relu,
    "ReLU6": lambda _: nn.ReLU6(),
    "Reduction": _reduction,
    "Reshape": _reshape,
    "Scale": _scale,
    "ShuffleChannel": lambda leaf: nn.ChannelShuffle(leaf.layer.params.shuffle_channel_param.group),
    "Sigmoid": lambda _: nn.Sigmoid(),
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": lambda leaf: functions.Copies(len(leaf.tops)),
    "Swish": lambda leaf: functions.TorchSwish(leaf.layer.params.swish_param.beta),
    "TanH": lambda _: nn.Tanh(),
    "Threshold": lambda leaf: functions.TorchThreshold(leaf.layer.params.threshold_param.threshold),
    "Tile": _tile,
}

_REFUSED = {"ArgMax": "gives indices, which have no gradient"}


def supported_types() -> tuple[str, ...]:
    """List Caffe's types that have a PyTorch form, sorted."""
    return tuple(sorted(_MAKERS))
