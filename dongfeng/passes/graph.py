"""`Graph`: an ONNX model as a graph that can be searched and changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from dongfeng.errors import ConversionError

if TYPE_CHECKING:
    import onnx
    from google.protobuf.message import Message

_Message = TypeVar("_Message", bound="Message")
Float = npt.NDArray[np.float32]


class Graph:
    """Nodes, weights and readers of each tensor of a model; changes go to the model itself.

    Attributes:
        model: The model.
        weights: Its initializers by name.
        inputs: Names of its inputs that are no weights.
        outputs: Names of its outputs.
        readers: Nodes that read a tensor, by the tensor's name.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self.inputs = [value.name for value in model.graph.input if value.name not in self.weights]
        self.outputs = [value.name for value in model.graph.output]
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    @property
    def nodes(self) -> Sequence[onnx.NodeProto]:
        """The nodes in the order in which they are computed."""
        return list(self.model.graph.node)

    def convolutions(self) -> list[onnx.NodeProto]:
        """List the two-dimensional convolutions whose weights are in the model."""
        return [node for node in self.nodes if self.is_convolution(node)]

    def is_convolution(self, node: onnx.NodeProto) -> bool:
        """Whether a node is a two-dimensional convolution whose weights are in the model."""
        known = node.op_type == "Conv" and all(name in self.weights for name in node.input[1:])
        return known and len(self.weights[node.input[1]].dims) == 4

    def weight(self, name: str) -> Float:
        """Return a weight as an array."""
        from onnx import numpy_helper

        return np.asarray(numpy_helper.to_array(self.weights[name]), np.float32)

    def bias(self, node: onnx.NodeProto) -> Float:
        """Return a convolution's bias, zeros where it has none."""
        if len(node.input) > 2:
            return self.weight(node.input[2])
        return np.zeros(self.weights[node.input[1]].dims[0], np.float32)

    def set_weight(self, name: str, values: npt.NDArray[Any]) -> None:
        """Replace a weight."""
        from onnx import numpy_helper

        self.weights[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))

    def set_bias(self, node: onnx.NodeProto, values: npt.NDArray[Any]) -> None:
        """Replace a convolution's bias, or give it one."""
        if len(node.input) < 3:
            name = f"{node.input[1]}@bias"
            node.input.append(name)
            self.weights[name] = self.model.graph.initializer.add(name=name)
        self.set_weight(node.input[2], values)

    def shares_weights(self, node: onnx.NodeProto) -> bool:
        """Whether another node reads a weight of this one."""
        return any(len(self.readers[name]) > 1 for name in node.input[1:] if name in self.readers)

    def activation(self, node: onnx.NodeProto) -> str:
        """Name the tensor that the next layers read: the node's output, or that of the one ReLU behind it."""
        output = str(node.output[0])
        readers = self.readers.get(output, [])
        if len(readers) == 1 and readers[0].op_type == "Relu" and output not in self.outputs:
            return str(readers[0].output[0])
        return output

    def channel_counts(self) -> dict[str, int]:
        """Return the number of channels of each tensor whose second dimension is known."""
        import onnx

        known = onnx.shape_inference.infer_shapes(self.model).graph
        values = [*known.input, *known.value_info, *known.output]
        shapes = {value.name: value.type.tensor_type.shape.dim for value in values}
        return {name: dims[1].dim_value for name, dims in shapes.items() if len(dims) > 1 and dims[1].dim_value}

    def tensors(self) -> list[str]:
        """List all activations: the inputs and the outputs of nodes."""
        return [*self.inputs, *(str(name) for node in self.nodes for name in node.output)]


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return the value of a node's attribute."""
    from onnx import helper

    return next((helper.get_attribute_value(entry) for entry in node.attribute if entry.name == name), default)


def is_depthwise(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node is a convolution of each channel on its own, its weights in the model."""
    if node.op_type != "Conv" or node.input[1] not in graph.weights:
        return False
    channels, per_group = graph.weights[node.input[1]].dims[:2]
    return bool(per_group == 1 and attribute(node, "group", 1) == channels)


def is_dense(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node is a convolution in which each output reads every channel, its weights in the model."""
    return graph.is_convolution(node) and bool(attribute(node, "group", 1) == 1)


def constant(graph: Graph, name: str) -> npt.NDArray[Any]:
    """Return a constant of any type; an empty array where it is not in the model."""
    from onnx import numpy_helper

    return numpy_helper.to_array(graph.weights[name]) if name in graph.weights else np.zeros(0)


def read_onnx(path: str | PathLike[str]) -> onnx.ModelProto:
    """Read an ONNX file.

    Raises:
        ConversionError: it is none.
        OSError: it cannot be read.
    """
    import onnx

    try:
        return onnx.load(path)
    except OSError:
        raise
    except Exception as error:  # protobuf's own class differs between its versions
        raise ConversionError(f"{path}: is no ONNX file, or is damaged") from error


def copied(message: _Message) -> _Message:
    """Return a copy of a model or a part of it, which shares nothing with it."""
    other = type(message)()
    other.CopyFrom(message)
    return other


def replace_nodes(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """Replace all nodes by these, which may be the model's own, and drop weights that nobody reads."""
    kept = [copied(node) for node in nodes]  # copies survive the model's own field being emptied
    read = {name for node in kept for name in node.input}
    weights = [copied(tensor) for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(kept)
    model.graph.initializer.extend(weights)
