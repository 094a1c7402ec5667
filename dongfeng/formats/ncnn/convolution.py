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


def convolution(p: Params, bottoms: Bottoms, *, is_grouped: bool = False, is_backward: bool = False) -> list[Part]:
    """Convert a Convolution or Deconvolution, or a ...DepthWise, which is any such with groups."""
    if is_backward and any(p.sides(19, 18, 0) + p.sides(21, 20, 0)):
        raise unsupported("output_pad or output_w/output_h, which Caffe's Deconvolution does not have")
    num_output, bias, size = p.integer(0, 0), bool(p.integer(5, 0)), p.integer(6, 0)
    kernel, dilation, stride = p.sides(11, 1, 0), p.sides(12, 2, 1), p.sides(13, 3, 1)
    group = p.integer(7, 1) if is_grouped else 1
    require_float_weights(p.integer(8, 0))
    if num_output < 1 or group < 1 or num_output % group or min(*kernel, *dilation, *stride) < 1:
        raise unsupported(
            f"num_output {num_output}, group {group}, kernel {kernel}, dilation {dilation}, stride {stride}"
        )
    top, left = p.sides(14, 4, 0)
    right, bottom = p.integer(15, left), p.integer(16, top)
    if not is_backward and {left, right, top, bottom} <= _SAME:
        pad = same_padding(kernel, stride, dilation)
    else:
        pad = symmetric(left, right, top, bottom)
    if bottoms.channels is not None:
        require_equal("weight_data_size", size, num_output * (bottoms.channels // group) * math.prod(kernel))
    params: dict[str, Any] = {"num_output": num_output, "bias_term": bias}
    params |= by_side("pad", pad) | by_side("kernel", kernel, square="kernel_size") | by_side("stride", stride)
    if dilation != (1, 1):
        params["dilation"] = dilation
    if group != 1:
        params["group"] = group
    type_ = "Deconvolution" if is_backward else "Convolution"
    return [Part(type_, "", {"convolution_param": params}), *activation(p)]
