"""Exact rewritings of a model after which eight bits lose less."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from dongfeng.passes.graph import Float, Graph, attribute, is_dense, is_depthwise, replace_nodes
from dongfeng.passes.quantize.ranges import ActivationStatistics

if TYPE_CHECKING:
    import onnx

_MOST_STEM_CHANNELS = 4  # up to which a depthwise and a 1x1 convolution cost less as one
_SMALLEST = 1e-6  # largest value below which a channel counts as dead
_LARGEST_SCALE = 1e3  # of a channel, up or down


def fuse_stem(model: onnx.ModelProto) -> int:
    """Fuse a depthwise convolution of an image's few channels with the 1x1 convolution behind it.

    Between the two stands no ReLU, and the second pads nothing, so the product of the weights computes the same. No
    tensor between them has to be quantized, and runtimes are slow at depthwise convolutions of three channels.

    Returns:
        The number of pairs.
    """
    graph = Graph(model)
    fused: list[str] = []
    for first in graph.convolutions():
        second = _pointwise_behind(graph, first)
        if second is None:
            continue
        weight = graph.weight(second.input[1])
        graph.set_bias(second, graph.bias(second) + weight[:, :, 0, 0] @ graph.bias(first))
        graph.set_weight(second.input[1], weight * graph.weight(first.input[1])[:, 0][None])
        second.input[0] = first.input[0]
        del second.attribute[:]
        second.attribute.extend(entry for entry in first.attribute if entry.name != "group")
        fused.append(first.name)
    replace_nodes(model, [node for node in model.graph.node if node.name not in fused])
    return len(fused)


def _pointwise_behind(graph: Graph, first: onnx.NodeProto) -> onnx.NodeProto | None:
    """Find the 1x1 convolution that a depthwise one can be fused with."""
    readers = graph.readers.get(first.output[0], [])
    few = is_depthwise(graph, first) and graph.weights[first.input[1]].dims[0] <= _MOST_STEM_CHANNELS
    if not few or len(readers) != 1 or first.output[0] in graph.outputs:
        return None
    (second,) = readers
    if second.op_type != "Conv" or second.input[1] not in graph.weights or attribute(second, "group", 1) != 1:
        return None
    plain = graph.weights[second.input[1]].dims[2:] == [1, 1] and set(attribute(second, "strides", [1])) == {1}
    pads = set(attribute(second, "pads", [0])) | {int(attribute(second, "auto_pad", b"NOTSET") != b"NOTSET")}
    shared = graph.shares_weights(first) or graph.shares_weights(second)
    return second if plain and pads == {0} and not shared else None


def equalize(model: onnx.ModelProto, statistics: Mapping[str, ActivationStatistics]) -> int:
    """Scale channels up or down between convolutions so that one scale for all of them loses less.

    Channel c behind a convolution (and its ReLU) is divided by s[c], and the weights that read it are multiplied
    by s[c]: in exact arithmetic nothing changes. Weights have a scale for each output channel, so before a depthwise
    convolution s is free and makes all channels equally large; elsewhere it balances activations and weights.

    Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019); the balance
    is that of Xiao et al., "SmoothQuant" (2022), with alpha 0.5.

    Args:
        model: The model, which is changed.
        statistics: Statistics of its activations.

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
        scale = _scales(graph, readers, statistics[name].channel_max)
        graph.set_weight(node.input[1], graph.weight(node.input[1]) / scale[:, None, None, None])
        graph.set_bias(node, graph.bias(node) / scale)
        for reader in readers:
            along = (slice(None), None) if is_depthwise(graph, reader) else (None, slice(None))
            weight = graph.weight(reader.input[1])
            graph.set_weight(reader.input[1], weight * scale[along][:, :, None, None])
        count += 1
    return count


def _scales(graph: Graph, readers: list[onnx.NodeProto], largest: Float) -> Float:
    """Return the divisor of each channel; their geometric mean is 1."""
    alive = largest > _SMALLEST
    mixing = [reader for reader in readers if not is_depthwise(graph, reader)]
    scale = np.where(alive, largest, 1).astype(np.float64)
    if mixing:
        weights = [np.abs(graph.weight(reader.input[1])).max(axis=(0, 2, 3)) for reader in mixing]
        scale = np.sqrt(scale / np.maximum(np.maximum.reduce(weights), 1e-8))
    if alive.any():
        scale /= np.exp(np.mean(np.log(scale[alive])))
    return np.where(alive, np.clip(scale, 1 / _LARGEST_SCALE, _LARGEST_SCALE), 1).astype(np.float32)


def _can_scale(graph: Graph, node: onnx.NodeProto, name: str) -> bool:
    """Whether the weights of a node can take over scales of the channels of a tensor that it reads or makes."""
    if not graph.is_convolution(node) or graph.shares_weights(node):
        return False
    return name not in node.input or is_dense(graph, node) or is_depthwise(graph, node)
