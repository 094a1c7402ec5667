"""From ncnn's layer types to Caffe's layers: all but those in `convolution` and `pooling`.

Parameter numbers and defaults: ncnn, docs/developer-guide/operators.md and src/layer/*.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from dongfeng.formats.ncnn import convolution, pooling
from dongfeng.formats.ncnn.param import Params
from dongfeng.formats.ncnn.parts import (
    Bottoms,
    Converter,
    DynamicSize,
    Part,
    caffe_axis,
    relu,
    require_equal,
    unsupported,
)

_REST = -233  # in a Slice: an equal share of the rest; in a Scale: another blob
_BILINEAR = 2
_OPERATIONS = ("PROD", "SUM", "MAX")


def _argmax(p: Params, bottoms: Bottoms) -> list[Part]:
    """Convert an ArgMax, which is over the channels.

    Label maps in files made from Caffe have lost their `axis: 1`. Stock ncnn then searches the whole blob, gaps
    between channels included; builds that carry segmentation nets search the channels of each pixel.
    """
    if p.integer(0, 0):
        raise unsupported("out_max_val=1: ncnn writes values before indices, Caffe after them")
    return [Part("ArgMax", "", {"argmax_param": {"axis": 1, "top_k": p.integer(1, 1)}})]


def _batch_norm(p: Params, bottoms: Bottoms) -> list[Part]:
    require_equal("channels", p.integer(0, 0), bottoms.channels)
    return [
        Part("BatchNorm", "", {"batch_norm_param": {"eps": p.real(1, 0.0)}}),
        Part("Scale", "_scale", {"scale_param": {"bias_term": True}}),
    ]


def _dropout(p: Params, bottoms: Bottoms) -> list[Part]:
    if p.real(0, 1.0) != 1:
        raise unsupported(f"scale {p.real(0, 1.0)}: Caffe's Dropout changes nothing in phase TEST")
    return [Part("Dropout")]


def _eltwise(p: Params, bottoms: Bottoms) -> list[Part]:
    number, coefficients = p.integer(0, 0), p.reals(1)
    if number not in range(len(_OPERATIONS)):
        raise unsupported(f"op_type {number}")
    if coefficients and _OPERATIONS[number] != "SUM":
        raise unsupported(f"coefficients with op_type {number}")
    return [Part("Eltwise", "", {"eltwise_param": {"operation": _OPERATIONS[number], "coeff": coefficients}})]


def _interp(p: Params, bottoms: Bottoms) -> list[Part]:
    if p.integer(0, 0) != _BILINEAR:
        raise unsupported(f"resize_type {p.integer(0, 0)}; Caffe's Interp is bilinear ({_BILINEAR})")
    if p.integer(5, 0) or len(bottoms.shapes) != 1:
        raise unsupported("a size that is taken from another blob")
    scales, size = (p.real(1, 1.0), p.real(2, 1.0)), (p.integer(3, 0), p.integer(4, 0))
    if len(bottoms.shapes[0]) != 4:
        raise unsupported("a bottom without height and width")
    if 0 in size:
        height, width = bottoms.shapes[0][2:]
        if height is None or width is None:
            raise DynamicSize("the output of height_scale and width_scale")
        exact = np.multiply((height, width), scales, dtype=np.float32)
        size = (int(exact[0]), int(exact[1]))
        if not np.array_equal(size, exact):
            raise unsupported(f"an output of {exact[0]:g}x{exact[1]:g} pixels, which versions of ncnn map differently")
    if min(size) < 1:
        raise unsupported(f"output size {size[0]}x{size[1]}")
    params = {"height": size[0], "width": size[1], "align_corners": None if p.integer(6, 0) else False}
    return [Part("Interp", "", {"interp_param": params})]


def _scale(p: Params, bottoms: Bottoms) -> list[Part]:
    size, bias = p.integer(0, 0), bool(p.integer(1, 0))
    if size == _REST:
        raise unsupported("a factor that is another blob")
    require_equal("scale_data_size", size, bottoms.channels)
    return [Part("Scale", "", {"scale_param": {"bias_term": bias}})]


def _shuffle_channel(p: Params, bottoms: Bottoms) -> list[Part]:
    group = p.integer(0, 1)
    if p.integer(1, 0):
        if bottoms.channels is None:
            raise DynamicSize("reverse=1")
        if group < 1 or bottoms.channels % group:
            raise unsupported(f"{bottoms.channels} channels in {group} groups")
        group = bottoms.channels // group
    return [Part("ShuffleChannel", "", {"shuffle_channel_param": {"group": group}})]


def _slice(p: Params, bottoms: Bottoms) -> list[Part]:
    axis, sizes = caffe_axis(p.integer(1, 0), bottoms), p.integers(0)
    if len(sizes) != bottoms.n_tops:
        raise unsupported(f"{len(sizes)} slices for {bottoms.n_tops} tops")
    total = bottoms.shapes[0][axis]
    if total is None:
        raise DynamicSize(f"where slices {list(sizes)} cut")
    points, start = [], 0
    for index, size in enumerate(sizes):
        start += (total - start) // (len(sizes) - index) if size == _REST else size
        points.append(start)
    if start != total:
        raise unsupported(f"slices {list(sizes)}, which do not add up to the {total} values there are")
    return [Part("Slice", "", {"slice_param": {"axis": axis, "slice_point": points[:-1]}})]


def _softmax(p: Params, bottoms: Bottoms) -> list[Part]:
    axis = p.integer(0, 0)
    if not p.integer(1, 0) and axis != 0:
        raise unsupported(f"axis {axis} without fixbug0=1, which ncnn refuses as too old a file")
    return [Part("Softmax", "", {"softmax_param": {"axis": caffe_axis(axis, bottoms)}})]


# `graph` converts Input itself.
CONVERTERS: Mapping[str, Converter] = {
    "ArgMax": _argmax,
    "BatchNorm": _batch_norm,
    "Concat": lambda p, bottoms: [Part("Concat", "", {"concat_param": {"axis": caffe_axis(p.integer(0, 0), bottoms)}})],
    "Convolution": convolution.convolution,
    "ConvolutionDepthWise": partial(convolution.convolution, is_grouped=True),
    "Deconvolution": partial(convolution.convolution, is_backward=True),
    "DeconvolutionDepthWise": partial(convolution.convolution, is_grouped=True, is_backward=True),
    "Dropout": _dropout,
    "Eltwise": _eltwise,
    "InnerProduct": convolution.inner_product,
    "Interp": _interp,
    "Pooling": pooling.pooling,
    "ReLU": lambda p, bottoms: [relu("", p.real(0, 0.0))],
    "Scale": _scale,
    "ShuffleChannel": _shuffle_channel,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": lambda p, bottoms: [Part("Split")],
}
