"""Absorption of channel shuffles, splits and concatenations into the weights that read their channels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dongfeng.passes.graph import Graph, attribute, constant, is_dense, is_depthwise, replace_nodes

if TYPE_CHECKING:
    import onnx

_CHANNELWISE = frozenset({"AveragePool", "GlobalAveragePool", "MaxPool", "Relu", "Resize"})


class _Channel(NamedTuple):
    """One channel of a computed tensor, by its number before the rewriting."""

    tensor: str
    number: int


def absorb_shuffles(model: onnx.ModelProto) -> int:
    """Remove channel shuffles (Reshape, Transpose, Reshape), each with the splits and concatenations around it.

    The weights that read shuffled channels are put into another order instead. Outputs of convolutions come in an order
    in which channels that are read together lie together: each is split once, and each reader's channels are
    concatenated. In exact arithmetic nothing changes. A model stays as it is unless every reader of moved channels
    takes them in any order.

    Returns:
        The number of shuffles that were removed.
    """
    absorption = _Absorption(Graph(model))
    if not absorption.shuffles or not absorption.is_possible():
        return 0
    replace_nodes(model, absorption.rewritten())
    return absorption.shuffles


class _Absorption:
    """Contents of each tensor in terms of computed channels, and the rewriting that follows from them.

    Attributes:
        shuffles: Number of channel shuffles.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.shuffles = 0
        self._counts = graph.channel_counts()
        self._contents: dict[str, list[_Channel]] = {}  # of tensors that only hold channels of others
        self._removed: set[str] = set()  # names of nodes
        for node in graph.nodes:
            self._follow(node)
        self._kept = [node for node in graph.nodes if node.name not in self._removed]
        names = (name for node in self._kept for name in node.input if name in self._contents)
        self._read_together = list(dict.fromkeys(frozenset(self._contents[name]) for name in names))  # sets of channels
        self._orders: dict[str, list[int]] = {}  # new order of the channels of computed tensors
        self._parts: dict[str, list[tuple[str, list[int]]]] = {}
        self._gathered: dict[frozenset[_Channel], tuple[str, list[_Channel]]] = {}
        self._nodes: list[onnx.NodeProto] = []

    def is_possible(self) -> bool:
        """Whether every tensor that changes its order is read by layers that take any order."""
        changed = set(self._contents) | {channel.tensor for group in self._read_together for channel in group}
        for node in self._kept:
            touched = [name for name in node.input if name in changed]
            plain = _takes_any_order(self.graph, node)
            if touched and (not plain or node.input[0] not in touched or self.graph.shares_weights(node)):
                return False
            if touched and not is_dense(self.graph, node):
                changed.update(node.output)
        return not changed.intersection(self.graph.outputs)

    def rewritten(self) -> list[onnx.NodeProto]:
        """Rewrite the nodes for the new order of channels."""
        for tensor in dict.fromkeys(channel.tensor for group in self._read_together for channel in group):
            self._order_outputs(tensor)
        for node in self._kept:
            order = self._rewire(node)
            if order != sorted(order):
                self._reorder_inputs(node, order)
            self._nodes.append(node)
        return self._nodes

    def _channels(self, name: str) -> list[_Channel]:
        """List the computed channels that a tensor holds; none where that is not known."""
        return self._contents.get(name) or [_Channel(name, index) for index in range(self._counts.get(name, 0))]

    def _follow(self, node: onnx.NodeProto) -> None:
        """Note the contents of the outputs of a node that only moves channels."""
        if node.name in self._removed:
            return
        if node.op_type == "Concat" and attribute(node, "axis", 0) == 1 and all(map(self._channels, node.input)):
            self._contents[node.output[0]] = [channel for name in node.input for channel in self._channels(name)]
        elif node.op_type == "Split" and attribute(node, "axis", 0) == 1 and len(node.input) == 2:
            channels = self._channels(node.input[0])
            ends = np.cumsum(constant(self.graph, node.input[1])).tolist()
            for name, start, end in zip(node.output, [0, *ends], ends, strict=False):
                self._contents[name] = channels[start:end]
        elif (shuffle := self._shuffle(node)) is not None:
            groups, chain = shuffle
            order = np.arange(len(self._channels(node.input[0]))).reshape(groups, -1).T.ravel()
            self._contents[chain[-1].output[0]] = [self._channels(node.input[0])[index] for index in order]
            self._removed.update(one.name for one in chain)
            self.shuffles += 1
        else:
            return
        self._removed.add(node.name)

    def _shuffle(self, node: onnx.NodeProto) -> tuple[int, list[onnx.NodeProto]] | None:
        """Return the number of groups and the three nodes of a channel shuffle that begins at a node."""
        chain = [node]
        while len(chain) < 3 and len(readers := self.graph.readers.get(chain[-1].output[0], [])) == 1:
            chain.append(readers[0])
        if [one.op_type for one in chain] != ["Reshape", "Transpose", "Reshape"] or not self._counts.get(node.input[0]):
            return None
        shape = constant(self.graph, node.input[1])
        channels = self._counts[node.input[0]]
        swapped = list(attribute(chain[1], "perm", []))[:3] == [0, 2, 1]
        same = self._counts.get(chain[2].output[0]) == channels and len(shape) > 2 and shape[1] * shape[2] == channels
        return (int(shape[1]), chain) if swapped and same else None

    def _readers(self, channel: _Channel) -> list[int]:
        """Number the sets in which a channel is read."""
        return [number for number, group in enumerate(self._read_together) if channel in group]

    def _order_outputs(self, tensor: str) -> None:
        """Order a convolution's output channels so that those with the same readers lie together."""
        producers = {name: node for node in self._kept for name in node.output}
        node = producers.get(tensor)
        if node is not None and node.op_type == "Relu":
            node = producers[node.input[0]]
        indices = list(range(self._counts[tensor]))
        if node is not None and is_dense(self.graph, node) and self.graph.activation(node) == tensor:
            indices.sort(key=lambda index: (self._readers(_Channel(tensor, index)), index))
            self.graph.set_weight(node.input[1], self.graph.weight(node.input[1])[indices])
            self.graph.set_bias(node, self.graph.bias(node)[indices])
            self._orders[node.output[0]] = indices
        self._orders[tensor] = indices

    def _rewire(self, node: onnx.NodeProto) -> list[int]:
        """Let a node read its channels where they are now; return the order that they have there."""
        name = node.input[0] if node.input else ""
        if name not in self._contents:
            return self._orders.get(name, [])
        position = {channel: index for index, channel in enumerate(self._contents[name])}
        node.input[0], channels = self._gather(name)
        return [position[channel] for channel in channels]

    def _gather(self, name: str) -> tuple[str, list[_Channel]]:
        """Provide a tensor of the channels that `name` holds, in any order; return its name and that order."""
        from onnx import helper

        wanted = frozenset(self._contents[name])
        if wanted not in self._gathered:
            parts = [
                (part, [_Channel(tensor, index) for index in indices])
                for tensor in dict.fromkeys(channel.tensor for channel in self._contents[name])
                for part, indices in self._split(tensor)
                if _Channel(tensor, indices[0]) in wanted
            ]
            result = parts[0][0]
            if len(parts) > 1:
                result = f"{name}@gathered"
                inputs = [part for part, _ in parts]
                self._nodes.append(helper.make_node("Concat", inputs, [result], name=f"{name}@Concat", axis=1))
            self._gathered[wanted] = result, [channel for _, channels in parts for channel in channels]
        return self._gathered[wanted]

    def _split(self, tensor: str) -> list[tuple[str, list[int]]]:
        """Split a tensor into parts of channels that have the same readers; return their names and channels."""
        from onnx import helper, numpy_helper

        if tensor not in self._parts:
            by_readers = groupby(self._orders[tensor], lambda index: self._readers(_Channel(tensor, index)))
            runs = [list(run) for _, run in by_readers]
            names = [tensor] if len(runs) == 1 else [f"{tensor}@part{number}" for number in range(len(runs))]
            if len(runs) > 1:
                sizes = np.array([len(run) for run in runs], np.int64)
                self.graph.model.graph.initializer.append(numpy_helper.from_array(sizes, f"{tensor}@sizes"))
                node = helper.make_node("Split", [tensor, f"{tensor}@sizes"], names, name=f"{tensor}@Split", axis=1)
                self._nodes.append(node)
            self._parts[tensor] = list(zip(names, runs, strict=True))
        return self._parts[tensor]

    def _reorder_inputs(self, node: onnx.NodeProto, order: Sequence[int]) -> None:
        """Let a node take its input channels in another order; channelwise nodes hand the order on."""
        if is_dense(self.graph, node):
            self.graph.set_weight(node.input[1], self.graph.weight(node.input[1])[:, order])
            return
        if node.op_type == "Conv":
            self.graph.set_weight(node.input[1], self.graph.weight(node.input[1])[order])
            self.graph.set_bias(node, self.graph.bias(node)[order])
        self._orders.setdefault(node.output[0], list(order))


def _takes_any_order(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node computes the same from input channels in another order, once its weights are in that order."""
    if node.op_type == "Pad":
        pads = constant(graph, node.input[1])
        return pads.size == 8 and not pads[[0, 1, 4, 5]].any()
    if node.op_type == "Mul":  # corrects an average at the border
        factors = constant(graph, node.input[1])
        return factors.ndim == 4 and factors.shape[1] == 1
    return node.op_type in _CHANNELWISE or is_dense(graph, node) or is_depthwise(graph, node)
