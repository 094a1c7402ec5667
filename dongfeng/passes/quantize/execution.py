"""Running an ONNX model, or a part of it, on ONNX Runtime's CPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dongfeng.errors import ConversionError
from dongfeng.passes.graph import Float, Graph, copied, replace_nodes
from dongfeng.support.exceptions import first_line

if TYPE_CHECKING:
    import onnx

_FATAL_ONLY = 4  # log severity: exceptions carry the same messages
_MOST_BYTES = 1 << 28  # of activations that one run keeps


def run(model: onnx.ModelProto, tensors: Sequence[str], batches: Iterable[Float]) -> Iterator[dict[str, Float]]:
    """Compute any tensors of a model, batch by batch, and nothing but what they need.

    Raises:
        ConversionError: ONNX Runtime refuses the model or a batch.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    inputs = Graph(model).inputs
    computed = [name for name in tensors if name not in inputs]
    try:
        content = _part(model, computed).SerializeToString()
        providers = ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(content, options, providers=providers) if computed else None
        for batch in batches:
            values = session.run(computed, {inputs[0]: batch}) if session else []
            yield {**{name: batch for name in tensors if name in inputs}, **dict(zip(computed, values, strict=True))}
    except Exception as error:  # ONNX Runtime's exceptions have no common root but this
        raise ConversionError(f"the model cannot be run on ONNX Runtime: {first_line(error)}") from error


def in_portions(model: onnx.ModelProto, tensors: Sequence[str]) -> Iterator[list[str]]:
    """Divide tensors into portions whose values for one batch fit into a quarter of a gigabyte."""
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
    """Compute the first output for each batch."""
    output = model.graph.output[0].name
    return [values[output] for values in run(model, [output], batches)]


def relative_error(expected: Sequence[Float], got: Sequence[Float]) -> float:
    """Root of the summed squared differences over the root of the summed squares."""
    power = sum(float(np.sum(np.square(a, dtype=np.float64))) for a in expected)
    noise = sum(
        float(np.sum(np.square(np.subtract(a, b, dtype=np.float64)))) for a, b in zip(expected, got, strict=True)
    )
    return float(np.sqrt(noise / power)) if power else float(np.sqrt(noise))


def _part(model: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """Return the part of a model that computes the tensors."""
    from onnx import helper

    part = copied(model)
    needed, kept = set(tensors), []
    for node in reversed(part.graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    replace_nodes(part, kept[::-1])
    del part.graph.output[:]
    part.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in tensors)
    return part


def _bytes(value: onnx.ValueInfoProto) -> int:
    """Size of a float32 tensor of known shape."""
    return 4 * int(np.prod([dim.dim_value for dim in value.type.tensor_type.shape.dim], dtype=np.int64))
