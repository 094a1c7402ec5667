"""An ONNX model as a graph that can be searched, changed and run in part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dongfeng.errors import ConversionError

if TYPE_CHECKING:
    import onnx

Float = npt.NDArray[np.float32]

_FATAL_ONLY = 4  # what ONNX Runtime would log is in its exceptions
_MOST_BYTES = 1 << 28  # of activations that one run keeps


class Graph:
    """Who makes and who reads each tensor of a model; the model is changed in place.

    Attributes:
        model: The model.
        inputs: Names of the graph's inputs that are no weights.
        outputs: Names of its outputs.
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
        """The nodes, in the order they are computed."""
        return list(self.model.graph.node)

    def convolutions(self) -> list[onnx.NodeProto]:
        """The two-dimensional convolutions whose weights are in the model."""
        return [
            node
            for node in self.nodes
            if node.op_type == "Conv"
            and all(name in self.weights for name in node.input[1:])
            and len(self.weights[node.input[1]].dims) == 4
        ]

    def weight(self, name: str) -> Float:
        """A weight as an array."""
        from onnx import numpy_helper

        return np.asarray(numpy_helper.to_array(self.weights[name]), np.float32)

    def bias(self, node: onnx.NodeProto) -> Float:
        """A convolution's bias, zeros where it has none."""
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
        """Whether another node reads one of this one's weights."""
        return any(len(self.readers[name]) > 1 for name in node.input[1:] if name in self.readers)

    def activation(self, node: onnx.NodeProto) -> str:
        """What the next layers read of a node: its output, behind the ReLU where only one follows."""
        output = str(node.output[0])
        readers = self.readers.get(output, [])
        if len(readers) == 1 and readers[0].op_type == "Relu" and output not in self.outputs:
            return str(readers[0].output[0])
        return output

    def channel_counts(self) -> dict[str, int]:
        """The length of the second dimension, of tensors where it is known."""
        import onnx

        known = onnx.shape_inference.infer_shapes(self.model).graph
        values = [*known.input, *known.value_info, *known.output]
        shapes = {value.name: value.type.tensor_type.shape.dim for value in values}
        return {name: dims[1].dim_value for name, dims in shapes.items() if len(dims) > 1 and dims[1].dim_value}

    def tensors(self) -> list[str]:
        """Every activation: the inputs and what nodes make."""
        return [*self.inputs, *(str(name) for node in self.nodes for name in node.output)]


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """The value of a node's attribute."""
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
    known = node.op_type == "Conv" and all(name in graph.weights for name in node.input[1:])
    return known and len(graph.weights[node.input[1]].dims) == 4 and attribute(node, "group", 1) == 1


def constant(graph: Graph, name: str) -> npt.NDArray[Any]:
    """A constant of any type; empty where it is not in the model."""
    from onnx import numpy_helper

    return numpy_helper.to_array(graph.weights[name]) if name in graph.weights else np.zeros(0)


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that shares nothing."""
    import onnx

    other = onnx.ModelProto()
    other.CopyFrom(model)
    return other


def replace_nodes(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """Put nodes, which may be the model's own, in place of all; weights that nobody reads are dropped."""
    import onnx

    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    read = {name for node in kept for name in node.input}
    weights = [tensor for tensor in map(_copied_tensor, model.graph.initializer) if tensor.name in read]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(kept)
    model.graph.initializer.extend(weights)


def _copied_tensor(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """A copy that survives the model's own field being emptied."""
    import onnx

    other = onnx.TensorProto()
    other.CopyFrom(tensor)
    return other


def run(model: onnx.ModelProto, tensors: Sequence[str], batches: Iterable[Float]) -> Iterator[dict[str, Float]]:
    """Any tensors of a model, batch by batch, on ONNX Runtime's CPU; only what they need is computed.

    Raises:
        ConversionError: ONNX Runtime refuses the model or a batch.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    inputs = Graph(model).inputs
    made = [name for name in tensors if name not in inputs]
    try:
        content = _part(model, made).SerializeToString()
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"]) if made else None
        for batch in batches:
            values = session.run(made, {inputs[0]: batch}) if session else []
            yield {**{name: batch for name in tensors if name in inputs}, **dict(zip(made, values, strict=True))}
    except Exception as error:  # ONNX Runtime's exceptions have no common root but this
        raise ConversionError(
            f"the model cannot be run on ONNX Runtime: {str(error).strip().splitlines()[0]}"
        ) from error


def in_portions(model: onnx.ModelProto, tensors: Sequence[str]) -> Iterator[list[str]]:
    """The tensors in portions whose activations for one batch fit into a quarter of a gigabyte."""
    sizes = {value.name: _bytes(value) for value in model.graph.value_info}
    portion: list[str] = []
    total = 0
    for name in tensors:
        size = sizes.get(name, 0)
        if portion and total + size > _MOST_BYTES:
            yield portion
            portion, total = [], 0
        portion.append(name)
        total += size
    if portion:
        yield portion


def scores(model: onnx.ModelProto, batches: Iterable[Float]) -> list[Float]:
    """The first output for each batch."""
    output = model.graph.output[0].name
    return [values[output] for values in run(model, [output], batches)]


def relative_error(expected: Sequence[Float], got: Sequence[Float]) -> float:
    """Root of the summed squared differences over that of the summed squares."""
    power = sum(float(np.sum(np.square(a, dtype=np.float64))) for a in expected)
    noise = sum(
        float(np.sum(np.square(np.subtract(a, b, dtype=np.float64)))) for a, b in zip(expected, got, strict=True)
    )
    return float(np.sqrt(noise / power)) if power else float(np.sqrt(noise))


def _part(model: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """The nodes that make the tensors."""
    from onnx import helper

    part = copied(model)
    need, kept = set(tensors), []
    for node in reversed(part.graph.node):
        if need.intersection(node.output):
            kept.append(node)
            need.update(node.input)
    replace_nodes(part, kept[::-1])
    del part.graph.output[:]
    part.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in tensors)
    return part


def _bytes(value: Any) -> int:
    dims: Mapping[int, int] = {index: dim.dim_value for index, dim in enumerate(value.type.tensor_type.shape.dim)}
    return 4 * int(np.prod(list(dims.values()), dtype=np.int64))
