"""What of the golden corpus is refused, and with which words."""

from __future__ import annotations

from typing import NamedTuple

from dongfeng.errors import CaffemodelError, DongfengError, PrototxtError, ShapeError, UnsupportedLayer, WeightsMismatch


class Refusal(NamedTuple):
    """An error and how its message ends, behind the path of the file."""

    error: type[DongfengError]
    text: str


# Cases that Caffe computes: evaluation layers, and values that follow from how its memory is laid out.
REFUSED = {
    "accuracy_top2": Refusal(
        UnsupportedLayer, 'net.prototxt:3: layer "a" (Accuracy): the net has nothing but losses and metrics'
    ),
    "alias_reshape_inplace": Refusal(
        UnsupportedLayer,
        'net.prototxt:4: layer "r" (ReLU): works in place on memory that "late" still reads; give its top a name of '
        "its own",
    ),
    "eltwise_inplace_sum": Refusal(
        UnsupportedLayer,
        'net.prototxt:3: layer "op" (Eltwise): SUM works in place, where Caffe loses the first bottom; give its top a '
        "name of its own",
    ),
    "pool_empty_window_ave": Refusal(
        UnsupportedLayer,
        'net.prototxt:2: layer "op" (Pooling): the last window (stride [4, 4], kernel [2, 2]) lies wholly outside the '
        "7x11 input, where Caffe's value is an accident; use round_mode: FLOOR or another size",
    ),
    "pool_empty_window_max": Refusal(
        UnsupportedLayer,
        'net.prototxt:2: layer "op" (Pooling): the last window (stride [3, 3], kernel [1, 1]) lies wholly outside the '
        "9x7 input, where Caffe's value is an accident; use round_mode: FLOOR or another size",
    ),
    "softmax_loss": Refusal(
        UnsupportedLayer, 'net.prototxt:3: layer "a" (SoftmaxWithLoss): the net has nothing but losses and metrics'
    ),
}
REFUSED_WHEN_RUN = {"pool_empty_window_ave", "pool_empty_window_max"}  # the others cannot even be read

# Cases whose batch cannot be dynamic.
_SIZE = "so it cannot be dynamic"
REFUSED_DYNAMIC_BATCH = {
    "ip_axis0": 'layer "op" (InnerProduct) has weights for one batch size, so not even the batch can be dynamic',
    "lstm": f'layer "l" (LSTM): needs the size of "x" (?x2x5), {_SIZE}',
    "rnn": f'layer "l" (RNN): needs the size of "x" (?x2x3), {_SIZE}',
    "scale_axis0": 'layer "op" (Scale) has weights for one batch size, so not even the batch can be dynamic',
    "slice_axis0": 'layer "op" (Slice): cuts axis 0, which cannot be dynamic',
    "spp_ave2": f'layer "op" (SPP): needs the size of "data" (?x3x9x11), {_SIZE}',
    "spp_max3": f'layer "op" (SPP): needs the size of "data" (?x8x13x17), {_SIZE}',
    "spp_one": f'layer "op" (SPP): needs the size of "data" (?x3x9x11), {_SIZE}',
}

# Files that Caffe refuses too.
REJECTS = {
    "bottom_before_top": Refusal(
        PrototxtError, 'net.prototxt:2: layer "r" (ReLU): bottom "c" is made by no earlier layer'
    ),
    "concat_shapes": Refusal(
        ShapeError, 'net.prototxt:3: layer "e" (Concat): bottoms differ in more than axis 1: 2x3x4x5, 2x3x4x4'
    ),
    "crop_out_of_bounds": Refusal(
        ShapeError, 'net.prototxt:3: layer "e" (Crop): axis 2: 4 values from offset 3 on do not fit in 6'
    ),
    "eltwise_shapes": Refusal(
        ShapeError, 'net.prototxt:3: layer "e" (Eltwise): bottoms 0 and 1 differ in shape: 2x3x4x5 and 2x3x4x4'
    ),
    "include_and_exclude": Refusal(
        PrototxtError, 'net.prototxt:2: layer "p" has include and exclude rules; Caffe takes one or the other'
    ),
    "layer_and_layers": Refusal(
        PrototxtError,
        'net.prototxt:2: both "layer" (line 2) and "layers" (line 1), the current and the old form, in one file; '
        'Caffe refuses that: rewrite the "layers" as "layer"',
    ),
    "lrn_even": Refusal(ShapeError, 'net.prototxt:2: layer "p" (LRN): local_size must be odd, got 4'),
    "pool_pad_ge_kernel": Refusal(
        ShapeError,
        'net.prototxt:2: layer "p" (Pooling): padding [2, 2] must be smaller than the kernel [2, 2]',
    ),
    "reader_before_inplace": Refusal(
        PrototxtError,
        'net.prototxt:4: layer "r" (ReLU): top "a" cannot be computed in place, for it is read more than once (by '
        '"b"); give the top a name of its own',
    ),
    "reshape_count": Refusal(
        ShapeError, 'net.prototxt:2: layer "p" (Reshape): shape [7, 7] does not hold the 594 values of 2x3x9x11'
    ),
    "top_twice": Refusal(
        PrototxtError,
        'net.prototxt:3: layer "c" (TanH): top "x" is made by two layers; give each a name of its own',
    ),
    "unknown_bottom": Refusal(
        PrototxtError, 'net.prototxt:2: layer "r" (ReLU): bottom "dta" is made by no earlier layer'
    ),
    "unknown_field": Refusal(
        PrototxtError,
        'net.prototxt:2:58: layer "r": LayerParameter has no field "foo_param"; strict=False skips what is unknown',
    ),
    "unknown_layer_type": Refusal(
        UnsupportedLayer,
        'net.prototxt:2: layer "r" (Foo): unsupported layer type; end the net before it, or write it as a layer of '
        "your own (docs/own-layers.md)",
    ),
    "weights_blob_count": Refusal(
        WeightsMismatch, 'weights.caffemodel: layer "fc": the file has 1 blobs, the net wants 2'
    ),
    "weights_data_count": Refusal(
        CaffemodelError, 'weights.caffemodel: layer "conv1": blob at byte 30: 107 values for shape 4x3x3x3'
    ),
    "weights_shape": Refusal(WeightsMismatch, 'weights.caffemodel: layer "fc": blob 0 is 80x5, the net wants 5x80'),
    "weights_truncated": Refusal(
        CaffemodelError,
        "weights.caffemodel: damaged, or no caffemodel: 1659 bytes should follow, 1622 are left: is the file cut "
        "short? (byte 502)",
    ),
}
