"""The blob that holds a network's scores: the last one before layers that only turn scores into labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dongfeng.errors import ConversionError, ShapeError
from dongfeng.layers.layer import Layer
from dongfeng.layers.shapes import read_window
from dongfeng.net.cut import needed_layers
from dongfeng.net.graph import Net
from dongfeng.net.weights import bilinear


def find_score_blob(net: Net) -> str:
    """Find the blob whose labels, probabilities or enlargements all outputs are.

    From each output the search goes back through ArgMax, Softmax and fixed bilinear deconvolutions. None of them
    changes the labels that half-pixel interpolation and argmax give. Where outputs end in different blobs, it is the
    one that the others are computed from.

    Raises:
        ConversionError: the outputs have no such blob in common.
    """
    producers = {top: layer for layer in net.layers for top in layer.tops}
    found = {_behind(blob, producers) for blob in net.outputs}
    for blob in sorted(found):
        if all(blob == other or blob in _ancestors(other, net) for other in found):
            return blob
    raise ConversionError(
        f"net {net.name!r}: its outputs {', '.join(net.outputs)} come from different scores "
        f"({', '.join(sorted(found))}); write the one you want with dongfeng.to_onnx(net, path, outputs=[...]), "
        "and load that file"
    )


def _behind(blob: str, producers: Mapping[str, Layer]) -> str:
    while (layer := producers.get(blob)) is not None and _keeps_labels(layer):
        blob = layer.bottoms[0]
    return blob


def _ancestors(blob: str, net: Net) -> set[str]:
    """Return the blobs that `blob` is computed from."""
    return {bottom for layer in needed_layers(net.layers, [blob]) for bottom in layer.bottoms}


def _keeps_labels(layer: Layer) -> bool:
    if layer.type == "ArgMax":
        return not layer.params.argmax_param.has("axis") or bool(layer.params.argmax_param.axis == 1)
    if layer.type == "Softmax":
        return bool(layer.params.softmax_param.axis == 1)
    return layer.type == "Deconvolution" and len(layer.bottoms) == 1 and is_bilinear_enlargement(layer)


def is_bilinear_enlargement(layer: Layer) -> bool:
    """Return whether a deconvolution enlarges each channel s times by half-pixel bilinear interpolation, s even.

    That is kernel 2 s, stride s, padding s / 2, one group per channel, the kernel of Caffe's bilinear filler, no bias.
    """
    param = layer.params.convolution_param
    try:
        window = read_window(param, 2)
    except ShapeError:
        return False
    stride = window.stride[0]
    if (
        stride % 2
        or param.bias_term
        or param.axis != 1
        or param.group != param.num_output
        or (window.kernel, window.stride, window.pad, window.dilation)
        != ((2 * stride,) * 2, (stride,) * 2, (stride // 2,) * 2, (1, 1))
    ):
        return False
    if not layer.blobs:
        return bool(param.weight_filler.type == "bilinear")
    weight = layer.blobs[0]
    return weight.shape[1] == 1 and np.allclose(weight, bilinear(weight.shape), rtol=1e-5, atol=1e-7)
