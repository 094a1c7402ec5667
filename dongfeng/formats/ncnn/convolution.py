"""From ncnn's layers with a weight matrix to Caffe's: convolutions, deconvolutions, inner product."""

from __future__ import annotations

import math
from typing import Any

from dongfeng.formats.ncnn.param import Params
from dongfeng.formats.ncnn.parts import (
    Bottoms,
    Part,
    activation,
    by_side,
    require_equal,
    require_float_weights,
    same_padding,
    symmetric,
    unsupported,
)

_SAME = {-233, -234}  # in place of a padding; upper and lower differ only where Caffe has neither


def convolution(p: Params, bottoms: Bottoms) -> list[Part]:
    """Convert a Convolution."""
    return _convolving("Convolution", p, bottoms, group=1)


def convolution_depthwise(p: Params, bottoms: Bottoms) -> list[Part]:
    """Convert a ConvolutionDepthWise, which is any convolution with groups."""
    return _convolving("Convolution", p, bottoms, group=p.integer(7, 1))


def deconvolution(p: Params, bottoms: Bottoms) -> list[Part]:
    """Convert a Deconvolution."""
    _refuse_output_size(p)
    return _convolving("Deconvolution", p, bottoms, group=1)


def deconvolution_depthwise(p: Params, bottoms: Bottoms) -> list[Part]:
    """Convert a DeconvolutionDepthWise, which is any deconvolution with groups."""
    _refuse_output_size(p)
    return _convolving("Deconvolution", p, bottoms, group=p.integer(7, 1))


def inner_product(p: Params, bottoms: Bottoms) -> list[Part]:
    """Convert an InnerProduct."""
    inputs = bottoms.shapes[0][1:]
    if len(inputs) == 2:
        raise unsupported("a bottom with two axes, whose rows ncnn multiplies one by one")
    num_output, bias, size = p.integer(0, 0), bool(p.integer(1, 0)), p.integer(2, 0)
    require_float_weights(p.integer(8, 0))
    known = [dim for dim in inputs if dim is not None]
    if len(known) == len(inputs):
        require_equal("weight_data_size", size, num_output * math.prod(known))
    params = {"inner_product_param": {"num_output": num_output, "bias_term": bias}}
    return [Part("InnerProduct", "", params), *activation(p)]


def _convolving(type_: str, p: Params, bottoms: Bottoms, group: int) -> list[Part]:
    num_output, bias, size = p.integer(0, 0), bool(p.integer(5, 0)), p.integer(6, 0)
    kernel_w, dilation_w, stride_w = p.integer(1, 0), p.integer(2, 1), p.integer(3, 1)
    kernel = (p.integer(11, kernel_w), kernel_w)
    dilation = (p.integer(12, dilation_w), dilation_w)
    stride = (p.integer(13, stride_w), stride_w)
    require_float_weights(p.integer(8, 0))
    if num_output < 1 or group < 1 or num_output % group or min(*kernel, *dilation, *stride) < 1:
        raise unsupported(
            f"num_output {num_output}, group {group}, kernel {kernel}, dilation {dilation}, stride {stride}"
        )
    pad = _padding(p, kernel, stride, dilation, may_be_same=type_ == "Convolution")
    if bottoms.channels is not None:
        require_equal("weight_data_size", size, num_output * (bottoms.channels // group) * math.prod(kernel))
    params: dict[str, Any] = {"num_output": num_output, "bias_term": bias}
    params |= by_side("pad", pad) | by_side("kernel", kernel, square="kernel_size") | by_side("stride", stride)
    if dilation != (1, 1):
        params["dilation"] = dilation
    if group != 1:
        params["group"] = group
    return [Part(type_, "", {"convolution_param": params}), *activation(p)]


def _padding(
    p: Params, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], *, may_be_same: bool
) -> tuple[int, int]:
    left = p.integer(4, 0)
    right, top = p.integer(15, left), p.integer(14, left)
    bottom = p.integer(16, top)
    if may_be_same and {left, right, top, bottom} <= _SAME:
        return same_padding(kernel, stride, dilation)
    return symmetric(left, right, top, bottom)


def _refuse_output_size(p: Params) -> None:
    right, width = p.integer(18, 0), p.integer(20, 0)
    if right or p.integer(19, right) or width or p.integer(21, width):
        raise unsupported("output_pad or output_w/output_h, which Caffe's Deconvolution does not have")
