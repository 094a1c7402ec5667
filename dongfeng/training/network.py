"""The network that a training begins with: architecture, number of classes, first weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat

import numpy as np

from dongfeng.architectures import ARCHITECTURES, backbone_net, segmentation_net
from dongfeng.caffe.caffemodel import LayerBlobs
from dongfeng.errors import ConversionError, DongfengError, WeightsMismatch
from dongfeng.layers.layer import Array, Layer, frozen
from dongfeng.net.graph import Net
from dongfeng.net.preprocessing import Preprocessing
from dongfeng.net.random_weights import random_weights
from dongfeng.net.score_blob import find_score_blob
from dongfeng.runtime.source import find_net
from dongfeng.training.config import TrainConfig
from dongfeng.training.samples import Task

_ENCODING = re.compile(r"[0-9,/:]+")
_AFTER_SCORES = ("BatchNorm", "BN", "Scale")  # may stand between the layer that makes the scores and the blob
_USUAL_MEAN_BGR = {"segmentation": (72.0, 83.0, 73.0), "classification": (104.0, 117.0, 123.0)}
_USUAL_SCALE = 0.008
# Values of the blobs with which a normalisation is the identity; all further ones are 0.
_IDENTITY = {"BatchNorm": (0, 1, 1, 1), "BN": (1, 0, 0, 1), "Scale": (1,)}


@dataclass(frozen=True)
class InitializedNet:
    """A network with its first weights.

    Attributes:
        net: The network.
        loaded: Names of the layers whose weights come from the network or a file.
        random: Names of the layers with random weights.
    """

    net: Net
    loaded: tuple[str, ...]
    random: tuple[str, ...]


def build_net(config: TrainConfig) -> Net:
    """Build the architecture that a configuration names, without weights, at the size that it names.

    `config.net` is a zoo name or a network file, as for `dongfeng.to_torch`; or an encoding, the widths of the blocks
    of stages 3, 4 and 5, as `64,64/128,128/256,512` for a classifier, and `64,64/128,128/256,512:32,32,512` with the
    widths of the decoder for a segmentation.

    Raises:
        DongfengError: there is no such network, or it does not fit the size.
    """
    name, size_hw = config.net, config.size_hw
    if name is None:
        raise DongfengError(f"which network is to be trained? Give a name ({', '.join(ARCHITECTURES)}) or a prototxt")
    if _ENCODING.fullmatch(name):
        return _from_encoding(name, size_hw)
    source = find_net(name)
    net = source.template()
    net = replace(net, preprocessing=source.spec().preprocessing or net.preprocessing)
    if size_hw is None or size_hw == _size_hw(net):
        return net
    return net.resize(*size_hw)


def input_size(net: Net) -> tuple[int, int]:
    """Return height and width of a network's one input.

    Raises:
        DongfengError: it has several inputs, a dynamic size, or another number of channels than three.
    """
    shapes = list(net.inputs.values())
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] != 3 or None in shapes[0][2:]:
        listed = ", ".join(f"{blob} {shape}" for blob, shape in net.inputs.items())
        raise DongfengError(f"{net.name}: has the inputs {listed}; training needs one of 1x3xHxW: give size_hw")
    return _size_hw(net)


def input_preprocessing(net: Net, config: TrainConfig, task: Task) -> Preprocessing:
    """Return the input arithmetic: that of the configuration, else of the network, else the usual one of the task."""
    known = net.preprocessing or Preprocessing(_USUAL_MEAN_BGR[task], _USUAL_SCALE)
    mean_bgr = known.mean_bgr if config.mean_bgr is None else config.mean_bgr
    scale = known.scale if config.input_scale is None else config.input_scale
    return Preprocessing(mean_bgr, scale)  # the whole image is resized: prototxts have no word for anything else


def with_classes(net: Net, classes: int) -> Net:
    """Return the network with another number of classes: in its last learned layer and the enlargements of its scores.

    Raises:
        ConversionError: the scores are not made by a convolution or an inner product.
    """
    last, *others = _score_layers(net)
    field = "convolution_param" if last.type == "Convolution" else "inner_product_param"
    if getattr(last.params, field).num_output == classes:
        return net
    new = {last.name: _with(last, field, num_output=classes)}
    for layer in others:
        new[layer.name] = replace(layer, blobs=())
        if layer.type == "Deconvolution":
            new[layer.name] = _with(layer, "convolution_param", num_output=classes, group=classes)
    return net.with_layers(new.get(layer.name, layer) for layer in net.layers)


def initialize_weights(net: Net, records: Sequence[LayerBlobs], *, seed: int, source: str = "") -> InitializedNet:
    """Give a network its first weights: its own, else those of a file under the same layer names, else random ones.

    Random ones are drawn as He et al. (2015) do; BatchNorm and Scale begin as the identity. Where the number of classes
    differs, the layers that make the scores are random, and the file's are left.

    Args:
        net: The network; layers that have weights keep them.
        records: Layers of a weight file.
        seed: Seed of the random weights.
        source: Name of the weight file, for messages.

    Raises:
        WeightsMismatch: weights of a layer have other shapes, or no layer of the file is in the net.
    """
    by_name = {record.name: record for record in records if record.blobs}
    scores = {layer.name for layer in _score_layers(net)}
    layers, loaded, random = [], [], []
    for own, layer in zip(net.layers, random_weights(net, seed).layers, strict=True):
        blobs = own.blobs or _blobs_of(by_name.get(layer.name), layer, source, may_differ=layer.name in scores)
        if layer.blobs and blobs is not None:
            loaded.append(layer.name)
        elif layer.blobs:
            random.append(layer.name)
        layers.append(replace(layer, blobs=_neutral(layer) if blobs is None else blobs))
    if records and not loaded:
        raise WeightsMismatch(f"{source}: no layer of this file is in the net {net.name!r}")
    return InitializedNet(net.with_layers(layers), tuple(loaded), tuple(random))


def _blobs_of(record: LayerBlobs | None, layer: Layer, source: str, *, may_differ: bool) -> tuple[Array, ...] | None:
    """Return a file's weights in the shapes of a layer; None where it has none for it."""
    if record is None or not layer.blobs:
        return None
    got, wanted = [blob.shape for blob in record.blobs], [blob.shape for blob in layer.blobs]
    if [_plain(shape) for shape in got] == [_plain(shape) for shape in wanted]:
        return tuple(frozen(blob.reshape(shape)) for blob, shape in zip(record.blobs, wanted, strict=True))
    if may_differ:
        return None
    raise WeightsMismatch(
        f'{source}: layer "{layer.name}": its weights are {got}, the net {wanted}; other architecture?'
    )


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Drop the leading ones of a shape, which old files have more of."""
    while shape and shape[0] == 1:
        shape = shape[1:]
    return shape


def _neutral(layer: Layer) -> tuple[Array, ...]:
    """Random weights with normalisation as the identity and biases of 0."""
    values = chain(_IDENTITY.get(layer.type, (None,)), repeat(0))
    return tuple(
        blob if value is None else frozen(np.full_like(blob, value))
        for blob, value in zip(layer.blobs, values, strict=False)
    )


def _from_encoding(text: str, size_hw: tuple[int, int] | None) -> Net:
    backbone, _, decoder = text.partition(":")
    encoding = [_widths(stage, text) for stage in backbone.split("/")]
    if not decoder:
        return backbone_net(encoding, size_hw=size_hw or (224, 224))
    return segmentation_net(encoding, _widths(decoder, text), size_hw=size_hw or (1024, 2048))


def _widths(text: str, whole: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdigit() for part in parts):
        raise DongfengError(f"net {whole}: expected widths as in 64,64/128,128/256,512 or 64,64/128/256:32,32,64")
    return [int(part) for part in parts]


def _size_hw(net: Net) -> tuple[int, int]:
    height, width = next(iter(net.inputs.values()))[2:]
    return height or 0, width or 0


def _with(layer: Layer, field: str, **values: int) -> Layer:
    """Return a layer with other parameters, without its weights, which no longer fit."""
    params = layer.params.replace(**{field: getattr(layer.params, field).replace(**values)})
    return replace(layer, params=params, blobs=())


def _score_layers(net: Net) -> list[Layer]:
    """List the layers whose weights have the number of classes in their shape: first the learned one of the scores."""
    producers = {top: layer for layer in net.layers for top in layer.tops}
    scores = find_score_blob(net)
    found: list[Layer] = []
    last = producers.get(scores)
    while last is not None and last.type in _AFTER_SCORES:
        found.append(last)
        last = producers.get(last.bottoms[0])
    if last is None or last.type not in ("Convolution", "InnerProduct"):
        what = "nothing" if last is None else f'"{last.name}" ({last.type})'
        raise ConversionError(f"net {net.name!r}: its scores are made by {what}; expected Convolution or InnerProduct")
    behind = {scores}
    for layer in net.layers:
        if behind.intersection(layer.bottoms):
            behind.update(layer.tops)
            found.append(layer)
    return [last, *found]
