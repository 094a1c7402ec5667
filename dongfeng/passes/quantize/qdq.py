"""Insertion of QuantizeLinear and DequantizeLinear around the layers that compute in eight bits.

ONNX Runtime's own quantizer puts them between a convolution and its ReLU where activations are symmetric, which keeps
TensorRT from fusing the two, and takes weights only as it rounds them itself; ours are rounded by `rounding`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dongfeng.passes.graph import Float, Graph, attribute, copied, replace_nodes
from dongfeng.passes.quantize.ranges import Ranges, scale_and_zero

if TYPE_CHECKING:
    import onnx

# Operators that only move values.
MOVING = frozenset({"Flatten", "MaxPool", "Pad", "Reshape", "Resize", "Slice", "Split", "Transpose"})
MIXING = frozenset({"Add", "Concat"})  # averages stay in float, where they cost nothing

_INT32_SHARE = 2.0**30  # a quantized bias stays below this, so that sums have room in int32
_SMALLEST_SCALE = 1e-8


@dataclass(frozen=True)
class Rounded:
    """Weights of a convolution on their integer grid.

    Attributes:
        values: (O, I, h, w) int8.
        scale: (O,) distance between two values of each output's weights.
    """

    values: npt.NDArray[np.int8]
    scale: Float


@dataclass(frozen=True)
class Scheme:
    """Choices that decide a quantized model.

    Attributes:
        ranges: Ranges of the activations. Symmetric ones make int8 activations with zero point 0 and float biases, as
            TensorRT takes them; others uint8 activations and int32 biases.
        in_float: Names of the layers that stay in float.
        weight_max: Largest quantized weight: 127, or 63 where the CPU's int8 products saturate.
        rounded: Weights that are rounded already, by layer.
    """

    ranges: Ranges
    in_float: frozenset[str] = frozenset()
    weight_max: int = 127
    rounded: Mapping[str, Rounded] = field(default_factory=dict)


def candidates(model: onnx.ModelProto) -> list[str]:
    """List the layers that can compute in eight bits, by the names of their nodes."""
    graph = Graph(model)
    convolutions = {node.name for node in graph.convolutions()}
    return [node.name for node in graph.nodes if node.name in convolutions or node.op_type in MIXING]


def insert(model: onnx.ModelProto, scheme: Scheme) -> onnx.ModelProto:
    """Return a quantized copy of a model; its float activations keep their names."""
    graph = Graph(copied(model))
    layers, groups = _choose_layers(graph, scheme.in_float)
    writer = _QdqWriter(graph, scheme)
    for group in groups:
        writer.share_scale(group)
    nodes = [node for name in graph.inputs for node in writer.quantized(name)]
    for node in graph.nodes:
        if node.name in layers:
            nodes += writer.with_weights(node)
        nodes.append(writer.rewired(node))
        for name in list(node.output):
            nodes += writer.quantized(name.removesuffix("@float"))
    replace_nodes(graph.model, nodes)
    del graph.model.graph.value_info[:]  # it names tensors that are gone
    return graph.model


def weight_scale(weight: Float, weight_max: int, bias: Float, input_scale: float) -> Float:
    """Return the scale of each output channel's weights.

    Args:
        weight: (O, I, h, w).
        weight_max: Largest quantized weight.
        bias: (O,).
        input_scale: Scale of the input. A channel of tiny weights takes a coarser scale than it might: its bias, which
            runtimes quantize where we do not, would overflow.
    """
    scale = np.maximum(np.abs(weight).max(axis=(1, 2, 3)) / weight_max, _SMALLEST_SCALE)
    return np.asarray(np.maximum(scale, np.abs(bias) / (input_scale * _INT32_SHARE)), np.float32)


def _choose_layers(graph: Graph, in_float: Collection[str]) -> tuple[set[str], list[tuple[str, ...]]]:
    """Choose the convolutions to quantize, and the tensors, in groups that share a scale.

    A layer that only moves values keeps the scale of its input. So do the inputs of a concatenation, which then only
    copies: values are rounded once, however often they are concatenated and split.
    """
    convolutions = {node.name for node in graph.convolutions()}
    layers: set[str] = set()
    groups: dict[str, set[str]] = {}  # that a tensor shares its scale with
    for node in graph.nodes:
        if node.name in in_float:
            continue
        moves = node.op_type in MOVING and attribute(node, "mode", b"") != b"linear"  # averages: they stay in float
        data = [name for name in node.input if name and name not in graph.weights]
        if node.name in convolutions:
            layers.add(node.name)
        elif not (moves or node.op_type in MIXING) or not any(name in groups for name in data):
            continue
        tensors = [*data, *(node.output if moves else [graph.activation(node)])]
        for name in tensors:
            groups.setdefault(name, {name})
        if node.op_type == "Concat" or moves:
            joined = set[str]().union(*(groups[name] for name in tensors))
            groups.update(dict.fromkeys(joined, joined))
    return layers, list(dict.fromkeys(tuple(sorted(group)) for group in groups.values()))


class _QdqWriter:
    """Write the nodes of a quantized model, and keeps the scale of each tensor."""

    def __init__(self, graph: Graph, scheme: Scheme) -> None:
        self.graph, self.scheme = graph, scheme
        self.scales: dict[str, np.float32] = {}

    def share_scale(self, group: tuple[str, ...]) -> None:
        scale, zero = scale_and_zero(self.scheme.ranges.of(group), symmetric=self.scheme.ranges.symmetric)
        for name in group:
            self.scales[name] = scale
            self._add(f"{name}@scale", scale)
            self._add(f"{name}@zero", np.array(zero, np.int8 if self.scheme.ranges.symmetric else np.uint8))

    def quantized(self, name: str) -> list[onnx.NodeProto]:
        """Return the nodes that bring a tensor to eight bits and back."""
        from onnx import helper

        if name not in self.scales:
            return []
        is_output = name in self.graph.outputs
        source, result = (f"{name}@float", name) if is_output else (name, f"{name}@dq")
        steps = [f"{name}@scale", f"{name}@zero"]
        return [
            helper.make_node("QuantizeLinear", [source, *steps], [f"{name}@q"], name=f"{name}@Q"),
            helper.make_node("DequantizeLinear", [f"{name}@q", *steps], [result], name=f"{name}@DQ"),
        ]

    def rewired(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """Let a node read quantized tensors, and leave the names of the model's outputs to them."""
        for index, name in enumerate(node.input):
            if name in self.scales and name not in self.graph.outputs:
                node.input[index] = f"{name}@dq"
        for index, name in enumerate(node.output):
            if name in self.scales and name in self.graph.outputs:
                node.output[index] = f"{name}@float"
        return node

    def with_weights(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Quantize a convolution's weights, and its bias where activations are not symmetric."""
        name, scheme = node.input[1], self.scheme
        weight, bias = self.graph.weight(name), self.graph.bias(node)
        rounded = scheme.rounded.get(node.name)
        if rounded is None:
            scale = weight_scale(weight, scheme.weight_max, bias, float(self.scales[node.input[0]]))
            on_grid = np.clip(np.rint(weight / scale[:, None, None, None]), -scheme.weight_max, scheme.weight_max)
            rounded = Rounded(on_grid.astype(np.int8), scale)
        nodes = self._weight(node, 1, f"{node.name}@weight", rounded.values, rounded.scale)
        if len(node.input) > 2 and not scheme.ranges.symmetric:
            steps = rounded.scale * self.scales[node.input[0]]
            limit = 2.0 * _INT32_SHARE - 1  # a bias that was corrected may have grown past its share
            whole = np.clip(np.rint(bias.astype(np.float64) / steps), -limit, limit).astype(np.int32)
            nodes += self._weight(node, 2, f"{node.name}@bias", whole, steps)
        return nodes

    def _weight(
        self, node: onnx.NodeProto, index: int, name: str, values: npt.NDArray[np.integer], scale: Float
    ) -> list[onnx.NodeProto]:
        """Let a node read integer weights; return the node that brings them to float."""
        from onnx import helper

        self._add(f"{name}@q", values)
        self._add(f"{name}@scale", scale)
        self._add(f"{name}@zero", np.zeros(len(scale), values.dtype))
        node.input[index] = f"{name}@dq"
        inputs = [f"{name}@{part}" for part in ("q", "scale", "zero")]
        return [helper.make_node("DequantizeLinear", inputs, [f"{name}@dq"], name=f"{name}@DQ", axis=0)]

    def _add(self, name: str, values: npt.ArrayLike) -> None:
        from onnx import numpy_helper

        self.graph.model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
