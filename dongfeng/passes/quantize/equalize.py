"""Exact rewritings of a network that leave less for eight bits to lose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from dongfeng.passes.graph import Float, Graph, attribute, is_depthwise, replace_nodes
from dongfeng.passes.quantize.ranges import Observed

if TYPE_CHECKING:
    import onnx

_FEW = 4  # channels up to which a depthwise and a 1x1 convolution cost less as one
_SMALLEST = 1e-6  # largest value below which a channel counts as dead
_MOST = 1e3  # a channel is scaled at most so far, up or down


def merge_stem(model: onnx.ModelProto) -> int:
    """Make one convolution of a depthwise one on an image's few channels and the 1x1 one behind it.

    Between the two stands no ReLU, and the second pads nothing, so the product of the weights computes the same. It
    spares quantizing what lies between, and runtimes are slow at depthwise convolutions of three channels.

    Returns:
        The number of pairs.
    """
    graph = Graph(model)
    gone: list[str] = []
    for node in graph.convolutions():
        behind = graph.readers.get(node.output[0], [])
        if len(behind) != 1 or node.output[0] in graph.outputs or not is_depthwise(graph, node):
            continue
        (second,) = behind
        if second.op_type != "Conv" or second.input[1] not in graph.weights or attribute(second, "group", 1) != 1:
            continue
        first_weight, weight = graph.weight(node.input[1]), graph.weight(second.input[1])
        plain = weight.shape[2:] == (1, 1) and set(attribute(second, "strides", [1])) == {1}
        pads = set(attribute(second, "pads", [0])) | {int(attribute(second, "auto_pad", b"NOTSET") != b"NOTSET")}
        shared = graph.shares_weights(node) or graph.shares_weights(second)
        if len(first_weight) > _FEW or not plain or pads != {0} or shared:
            continue
        graph.set_bias(second, graph.bias(second) + weight[:, :, 0, 0] @ graph.bias(node))
        graph.set_weight(second.input[1], weight * first_weight[:, 0][None])
        second.input[0] = node.input[0]
        del second.attribute[:]
        second.attribute.extend(entry for entry in node.attribute if entry.name != "group")
        gone.append(node.name)
    replace_nodes(model, [node for node in model.graph.node if node.name not in gone])
    return len(gone)


def equalize(model: onnx.ModelProto, seen: Mapping[str, Observed]) -> int:
    """Scale channels up or down between convolutions so that one scale for all of them loses less.

    What a convolution (and its ReLU) makes of channel c is divided by s[c], and the weights that read it are multiplied
    by s[c]: in exact arithmetic nothing changes. Weights have a scale for each output channel, so before a depthwise
    convolution s is free and makes all channels equally large; elsewhere it balances activations and weights.

    Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019); the balance
    is that of Xiao et al., "SmoothQuant" (2022), with alpha 0.5.

    Args:
        model: Changed in place.
        seen: Its activations.

    Returns:
        The number of tensors that were scaled.
    """
    graph = Graph(model)
    count = 0
    for node in graph.convolutions():
        name = graph.activation(node)
        readers = graph.readers.get(name, [])
        if name in graph.outputs or not readers or not all(_can_scale(graph, one, name) for one in (node, *readers)):
            continue
        scale = _scales(graph, readers, seen[name].channel_max)
        graph.set_weight(node.input[1], graph.weight(node.input[1]) / scale[:, None, None, None])
        graph.set_bias(node, graph.bias(node) / scale)
        for reader in readers:
            along = (slice(None), None) if is_depthwise(graph, reader) else (None, slice(None))
            weight = graph.weight(reader.input[1])
            graph.set_weight(reader.input[1], weight * scale[along][:, :, None, None])
        count += 1
    return count


def _scales(graph: Graph, readers: list[onnx.NodeProto], largest: Float) -> Float:
    """What each channel is divided by; on the (geometric) mean 1."""
    alive = largest > _SMALLEST
    mixing = [reader for reader in readers if not is_depthwise(graph, reader)]
    scale = np.where(alive, largest, 1).astype(np.float64)
    if mixing:
        weights = [np.abs(graph.weight(reader.input[1])).max(axis=(0, 2, 3)) for reader in mixing]
        scale = np.sqrt(scale / np.maximum(np.maximum.reduce(weights), 1e-8))
    if alive.any():
        scale /= np.exp(np.mean(np.log(scale[alive])))
    return np.where(alive, np.clip(scale, 1 / _MOST, _MOST), 1).astype(np.float32)


def _can_scale(graph: Graph, node: onnx.NodeProto, name: str) -> bool:
    if node.op_type != "Conv" or any(weight not in graph.weights for weight in node.input[1:]):
        return False
    one_way = attribute(node, "group", 1) == 1 or is_depthwise(graph, node) or name not in node.input
    return one_way and len(graph.weights[node.input[1]].dims) == 4 and not graph.shares_weights(node)
