"""Upgrades of older Caffe networks to the current form.

V0 nests a `layer` with all parameters in each `layers`; V1 has an enum for the type and parallel lists for weight
settings; the current form is `layer`. Input headers (`input`, `input_dim`) stay as they are.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from dongfeng.caffe.message import Message, closest, message
from dongfeng.caffe.schema import message_type
from dongfeng.caffe.tokens import quote
from dongfeng.errors import DongfengWarning, PrototxtError

# V1LayerParameter.LayerType -> LayerParameter.type, where that is not the same words in camel case
_RENAMED = {
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "IM2COL": "Im2col",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}

# V0LayerParameter.type -> V1LayerParameter.LayerType
V0_TO_V1 = {
    "accuracy": "ACCURACY",
    "bnll": "BNLL",
    "concat": "CONCAT",
    "conv": "CONVOLUTION",
    "data": "DATA",
    "dropout": "DROPOUT",
    "euclidean_loss": "EUCLIDEAN_LOSS",
    "flatten": "FLATTEN",
    "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL",
    "images": "IMAGE_DATA",
    "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING",
    "relu": "RELU",
    "sigmoid": "SIGMOID",
    "softmax": "SOFTMAX",
    "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT",
    "tanh": "TANH",
    "window_data": "WINDOW_DATA",
}

# V0LayerParameter.type -> the V1 parameter message that takes its fields
_V0_PARAMETERS = {
    "concat": "concat_param",
    "conv": "convolution_param",
    "data": "data_param",
    "dropout": "dropout_param",
    "hdf5_data": "hdf5_data_param",
    "images": "image_data_param",
    "infogain_loss": "infogain_loss_param",
    "innerproduct": "inner_product_param",
    "lrn": "lrn_param",
    "pool": "pooling_param",
    "window_data": "window_data_param",
}
_V0_FIELDS = {
    "num_output": ("num_output", ("conv", "innerproduct")),
    "biasterm": ("bias_term", ("conv", "innerproduct")),
    "weight_filler": ("weight_filler", ("conv", "innerproduct")),
    "bias_filler": ("bias_filler", ("conv", "innerproduct")),
    "pad": ("pad", ("conv", "pool")),
    "kernelsize": ("kernel_size", ("conv", "pool")),
    "group": ("group", ("conv",)),
    "stride": ("stride", ("conv", "pool")),
    "pool": ("pool", ("pool",)),
    "dropout_ratio": ("dropout_ratio", ("dropout",)),
    "local_size": ("local_size", ("lrn",)),
    "alpha": ("alpha", ("lrn",)),
    "beta": ("beta", ("lrn",)),
    "k": ("k", ("lrn",)),
    "source": ("source", ("data", "hdf5_data", "images", "infogain_loss", "window_data")),
    "batchsize": ("batch_size", ("data", "hdf5_data", "images", "window_data")),
    "rand_skip": ("rand_skip", ("data", "images")),
    "shuffle_images": ("shuffle", ("images",)),
    "new_height": ("new_height", ("images",)),
    "new_width": ("new_width", ("images",)),
    "concat_dim": ("concat_dim", ("concat",)),
    "det_fg_threshold": ("fg_threshold", ("window_data",)),
    "det_bg_threshold": ("bg_threshold", ("window_data",)),
    "det_fg_fraction": ("fg_fraction", ("window_data",)),
    "det_context_pad": ("context_pad", ("window_data",)),
    "det_crop_mode": ("crop_mode", ("window_data",)),
}
_V0_TRANSFORM = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size", "mirror": "mirror"}
_V0_SAME = ("name", "blobs", "blobs_lr", "weight_decay")
_V1_DATA = {"DATA": "data_param", "IMAGE_DATA": "image_data_param", "WINDOW_DATA": "window_data_param"}
_V1_WEIGHT_LISTS = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}


def current_type(v1_type: str) -> str:
    """Return the type string of a V1LayerParameter.LayerType; empty for NONE."""
    return "" if v1_type == "NONE" else _RENAMED.get(v1_type, v1_type.title().replace("_", ""))


def upgrade(net: Message, *, filename: str | None = None) -> Message:
    """Bring a network of any Caffe version into the current form.

    Args:
        net: A NetParameter as read from a file.
        filename: For errors.

    Returns:
        A NetParameter whose layers all are `layer`; lines are kept. It is equal to `net` if that was current.

    Raises:
        PrototxtError: the file mixes `layer` and `layers`, or uses what no Caffe version defines.

    Warns:
        DongfengWarning: a V0 layer sets fields that its type does not have; Caffe ignores them.

    Source: Caffe, util/upgrade_proto.cpp.
    """
    if net.layer and net.layers:
        raise PrototxtError(
            f'both "layer" (line {net.line("layer")}) and "layers" (line {net.line("layers")}), '
            'the current and the old form, in one file; Caffe refuses that: rewrite the "layers" as "layer"',
            file=filename,
            line=max(net.line("layer") or 0, net.line("layers") or 0) or None,
        )
    if not net.layers:
        return net.replace(layer=tuple(map(_without_old_batch_norm, net.layer)))
    layers = net.layers
    if any(layer.has("layer") for layer in layers):
        layers = [_v0_to_v1(layer, filename) for layer in _without_padding(net, filename)]
    upgraded = (_v1_to_current(_with_transform_param(layer)) for layer in layers)
    return net.replace(layers=None, layer=tuple(map(_without_old_batch_norm, upgraded)))


def _without_old_batch_norm(layer: Message) -> Message:
    """Remove the learning rates of 0 that BatchNorm once declared for its statistics; they are never learned now."""
    is_old = layer.type == "BatchNorm" and len(layer.param) == 3
    return layer.replace(param=None) if is_old else layer


def _without_padding(net: Message, filename: str | None) -> Iterator[Message]:
    """Yield V0 layers, each `padding` layer folded into the convolutions and poolings that read it."""
    made_by: dict[str, Message] = {}
    for layer in net.layers:
        type_ = layer.layer.type
        sources = [made_by[bottom] for bottom in layer.bottom if bottom in made_by]
        padding = next((source for source in sources if source.layer.type == "padding"), None)
        made_by.update(dict.fromkeys(layer.top, layer))
        problem = ""
        if padding is not None and (type_ not in ("conv", "pool") or len(layer.bottom) != 1):
            problem = (
                f"layer {quote(layer.layer.name)} ({type_}) reads the padding layer {quote(padding.layer.name)}; "
                "only a conv or pool layer with one bottom can"
            )
        elif type_ == "padding" and (len(layer.bottom) != 1 or len(layer.top) != 1):
            problem = f"padding layer {quote(layer.layer.name)} needs one bottom and one top"
        if problem:
            raise PrototxtError(problem, file=filename, line=layer.line())
        if padding is not None:
            yield layer.replace(layer=layer.layer.replace(pad=padding.layer.pad), bottom=padding.bottom)
        elif type_ != "padding":
            yield layer


def _v0_to_v1(outer: Message, filename: str | None) -> Message:
    if not outer.has("layer"):
        return outer
    layer = outer.layer
    if layer.type not in V0_TO_V1:
        raise PrototxtError(
            f"layer {quote(layer.name)}: there is no V0 layer type {quote(layer.type)}{closest(layer.type, V0_TO_V1)}",
            file=filename,
            line=outer.line(),
        )
    values: dict[str, Any] = {"type": V0_TO_V1[layer.type], "bottom": outer.bottom, "top": outer.top}
    parameters: dict[str, Any] = {}
    transform: dict[str, Any] = {}
    ignored = []
    for name, value in layer.items():
        new_name, types = _V0_FIELDS.get(name, ("", ()))
        if name in _V0_SAME:
            values[name] = value
        elif name in _V0_TRANSFORM:
            transform[_V0_TRANSFORM[name]] = value
        elif name == "hdf5_output_param" and layer.type == "hdf5_output":
            values[name] = value
        elif layer.type in types:
            parameters[new_name] = value
        elif name != "type":
            ignored.append(name)
    if ignored:
        where = f"{filename or 'network'}:{outer.line()}"
        warnings.warn(
            f"{where}: layer {quote(layer.name)} ({layer.type}): {', '.join(ignored)} ignored, as in Caffe",
            DongfengWarning,
            stacklevel=2,
        )
    if parameters:
        values[_V0_PARAMETERS[layer.type]] = parameters
    return message("V1LayerParameter", **values, transform_param=transform or None).with_lines_of(outer)


def _with_transform_param(layer: Message) -> Message:
    """Move scale, mean, crop and mirror of an old data layer into a transform_param."""
    parameter = _V1_DATA.get(layer.type)
    if parameter is None:
        return layer
    own = getattr(layer, parameter)
    moved = {name: getattr(own, name) for name in ("scale", "mean_file", "crop_size", "mirror") if own.has(name)}
    if not moved:
        return layer
    transform = layer.transform_param.replace(**moved)
    return layer.replace(**{parameter: own.replace(**dict.fromkeys(moved)), "transform_param": transform})


def _v1_to_current(layer: Message) -> Message:
    known = message_type("LayerParameter").fields
    values = {name: value for name, value in layer.items() if name in known and name not in ("param", "type")}
    lists = [[(name, value) for value in getattr(layer, old)] for old, name in _V1_WEIGHT_LISTS.items()]
    settings = [dict(pair for pair in pairs if pair is not None) for pairs in zip_longest(*lists)]
    return message("LayerParameter", **values, type=current_type(layer.type), param=settings).with_lines_of(layer)
