"""From Caffe's layer types to ncnn's layers: the counterpart of `layers`, `convolution` and `pooling`.

ncnn's blobs have no batch axis, so Caffe's axis a is its axis a - 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from dongfeng.formats.ncnn.emit_pooling import pooling
from dongfeng.formats.ncnn.emitted import Context, Emitted, Emitter, Weights, params
from dongfeng.formats.ncnn.param import Value
from dongfeng.formats.ncnn.parts import unsupported
from dongfeng.layers.channels import Concat, Slice
from dongfeng.layers.heads import ArgMax
from dongfeng.layers.layer import Array, Layer
from dongfeng.layers.normalization import BatchNorm
from dongfeng.layers.shapes import canonical_axis, read_window

_BILINEAR = 2
_OPERATIONS = {"PROD": 0, "SUM": 1, "MAX": 2}
_RELU, _LEAKY_RELU = 1, 2


def activation(relu: Layer) -> dict[int, Value]:
    """Return the parameters that make a convolution or inner product apply the ReLU behind it."""
    slope = float(relu.params.relu_param.negative_slope)
    return {9: _LEAKY_RELU, 10: (slope,)} if slope else {9: _RELU}


def normalization(norm: Layer, scale: Layer | None, n_channels: int) -> list[Weights]:
    """Return the four vectors of ncnn's BatchNorm, which is Caffe's BatchNorm and the Scale behind it."""
    mean, variance, total = norm.blobs
    factor = np.float32(1 / total.item() if total.item() else 0)
    ones, zeros = np.ones(n_channels, np.float32), np.zeros(n_channels, np.float32)
    slope, bias = scale.blobs if scale else (ones, zeros)
    return [Weights(slope), Weights(mean * factor), Weights(variance * factor), Weights(bias)]


def _arg_max(context: Context) -> list[Emitted]:
    argmax = ArgMax(context.layer)
    if argmax.axis is None or canonical_axis(argmax.axis, context.bottoms[0]) != 1:
        raise unsupported("an axis other than the channels")
    if argmax.values:
        raise unsupported("out_max_val: ncnn writes values before indices")
    return [Emitted("ArgMax", {1: argmax.top_k})]


def _batch_norm(context: Context) -> list[Emitted]:
    norm, n_channels = BatchNorm(context.layer), context.bottoms[0][1]
    if norm.by_batch:
        raise unsupported("use_global_stats: false: ncnn has no statistics of the batch")
    weights = normalization(norm.layer, None, n_channels) if norm.blobs else []
    return [Emitted("BatchNorm", params({0: n_channels, 1: float(norm.eps)}), weights)]


def _convolution(context: Context) -> list[Emitted]:
    layer, sizes = context.layer, context.blob_sizes()
    if len(layer.bottoms) > 1:
        raise unsupported("several bottoms that share the weights")
    if len(context.bottoms[0]) != 4 or canonical_axis(layer.params.convolution_param.axis, context.bottoms[0]) != 1:
        raise unsupported("anything but height and width to slide over")
    type_ = "Deconvolution" if layer.type == "Deconvolution" else "Convolution"
    n_out = context.tops[0][1]
    group = (n_out if type_ == "Deconvolution" else context.bottoms[0][1]) // sizes[0][1]
    window = read_window(layer.params.convolution_param, 2)
    (kernel_h, kernel_w), (stride_h, stride_w) = window.kernel, window.stride
    (pad_h, pad_w), (dilation_h, dilation_w) = window.pad, window.dilation
    values = {0: n_out, 1: kernel_w, 2: dilation_w, 3: stride_w, 4: pad_w, 5: len(sizes) > 1, 6: math.prod(sizes[0])}
    values |= {7: group, 11: kernel_h, 12: dilation_h, 13: stride_h, 14: pad_h}
    defaults = {2: 1, 3: 1, 7: 1, 11: kernel_w, 12: dilation_w, 13: stride_w, 14: pad_w}
    blobs = layer.blobs
    if type_ == "Deconvolution" and blobs:
        blobs = (_by_output(blobs[0], group), *blobs[1:])
    return [Emitted(type_ + ("DepthWise" if group > 1 else ""), params(values, defaults), _matrix(blobs))]


def _by_output(weight: Array, group: int) -> Array:
    """Reorder Caffe's (in, out / group, height, width) to ncnn's (group, out / group, in / group, height, width)."""
    n_in, *rest = weight.shape
    return weight.reshape(group, n_in // group, *rest).swapaxes(1, 2)


def _matrix(blobs: tuple[Array, ...]) -> list[Weights]:
    return [Weights(blob, is_matrix=not index) for index, blob in enumerate(blobs)]


def _dropout(context: Context) -> list[Emitted]:
    if context.layer_type.trains:
        raise unsupported("phase TRAIN, where it drops values at random")
    return [Emitted("Dropout", {})]


def _eltwise(context: Context) -> list[Emitted]:
    param = context.layer.params.eltwise_param
    coefficients = tuple(float(value) for value in param.coeff)
    return [Emitted("Eltwise", params({0: _OPERATIONS[param.operation], 1: coefficients}, {1: ()}))]


def _flatten(context: Context) -> list[Emitted]:
    if len(context.tops[0]) != 2:
        raise unsupported("axes that stay apart; ncnn's Flatten makes one of all")
    return [Emitted("Flatten", {})]


def _inner_product(context: Context) -> list[Emitted]:
    param, (bottom,) = context.layer.params.inner_product_param, context.bottoms
    if canonical_axis(param.axis, bottom) != 1 or len(bottom) == 3:
        raise unsupported("rows that are multiplied one by one, or a bottom of two axes, which ncnn takes for such")
    sizes, blobs = context.blob_sizes(), context.layer_type.blobs
    if param.transpose and blobs:
        blobs = (blobs[0].T, *blobs[1:])
    values = params({0: param.num_output, 1: len(sizes) > 1, 2: math.prod(sizes[0])})
    return [Emitted("InnerProduct", values, _matrix(blobs))]


def _interp(context: Context) -> list[Emitted]:
    param = context.layer.params.interp_param
    if param.pad_beg or param.pad_end:
        raise unsupported("pad_beg or pad_end")
    _, _, height, width = context.tops[0]
    return [Emitted("Interp", params({0: _BILINEAR, 3: height, 4: width, 6: bool(param.align_corners)}))]


def _power(context: Context) -> list[Emitted]:
    param = context.layer.params.power_param
    if param.power == 0 or param.scale == 0:
        raise unsupported("a power or scale of 0")
    values = {0: float(param.power), 1: float(param.scale), 2: float(param.shift)}
    return [Emitted("Power", params(values, {0: 1.0, 1: 1.0}))]


def _prelu(context: Context) -> list[Emitted]:
    (size,) = context.blob_sizes()
    return [Emitted("PReLU", {0: math.prod(size)}, [Weights(blob) for blob in context.layer_type.blobs])]


def _scale(context: Context) -> list[Emitted]:
    param, sizes = context.layer.params.scale_param, context.blob_sizes()
    if len(context.bottoms) > 1:
        raise unsupported("a factor that is another blob")
    if canonical_axis(param.axis, context.bottoms[0]) != 1 or sizes[0] != context.bottoms[0][1:2]:
        raise unsupported("a factor that is not one number a channel")
    values = params({0: sizes[0][0], 1: len(sizes) > 1})
    return [Emitted("Scale", values, [Weights(blob) for blob in context.layer_type.blobs])]


def _shuffle_channel(context: Context) -> list[Emitted]:
    if len(context.bottoms[0]) != 4:
        raise unsupported("a bottom without height and width")
    return [Emitted("ShuffleChannel", params({0: context.layer.params.shuffle_channel_param.group}, {0: 1}))]


def _slice(context: Context) -> list[Emitted]:
    axis = _axis(Slice(context.layer).axis, context)
    return [Emitted("Slice", params({0: tuple(top[axis + 1] for top in context.tops), 1: axis}))]


def _softmax(context: Context) -> list[Emitted]:
    axis = _axis(context.layer.params.softmax_param.axis, context)
    return [Emitted("Softmax", params({0: axis, 1: 1}))]  # 1: the file is new enough for its axis to count


def _axis(axis: int, context: Context) -> int:
    """Return an axis of the first bottom as ncnn counts it."""
    number = canonical_axis(axis, context.bottoms[0])
    if number == 0:
        raise unsupported("the batch as its axis, which ncnn does not have")
    return number - 1


def _parameterless(context: Context) -> list[Emitted]:
    return [Emitted(context.layer.type, {})]  # ncnn has the type by the same name


EMITTERS: Mapping[str, Emitter] = {
    "AbsVal": _parameterless,
    "ArgMax": _arg_max,
    "BatchNorm": _batch_norm,
    "Concat": lambda context: [Emitted("Concat", params({0: _axis(Concat(context.layer).axis, context)}))],
    "Convolution": _convolution,
    "ConvolutionDepthwise": _convolution,
    "Deconvolution": _convolution,
    "DepthwiseConvolution": _convolution,
    "Dropout": _dropout,
    "Eltwise": _eltwise,
    "Flatten": _flatten,
    "InnerProduct": _inner_product,
    "Interp": _interp,
    "PReLU": _prelu,
    "Pooling": pooling,
    "Power": _power,
    "ReLU": lambda context: [Emitted("ReLU", params({0: float(context.layer.params.relu_param.negative_slope)}))],
    "Scale": _scale,
    "ShuffleChannel": _shuffle_channel,
    "Sigmoid": _parameterless,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _parameterless,
    "TanH": _parameterless,
}
