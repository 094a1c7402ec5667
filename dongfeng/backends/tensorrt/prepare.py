"""Preparing an ONNX model for TensorRT: the types in it are those that the engine shall have."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dongfeng.backends.tensorrt.audit import WEIGHTED, OnnxNode
from dongfeng.errors import ConversionError
from dongfeng.passes.graph import copied, read_onnx
from dongfeng.passes.head import SCOPE

if TYPE_CHECKING:
    import onnx


def read_model(model: onnx.ModelProto | str | PathLike[str]) -> tuple[onnx.ModelProto, str]:
    """Return a copy of a model in which every node has a name of its own, and the SHA-256 of the original.

    Raises:
        ConversionError: the file is no ONNX file.
        OSError: it cannot be read.
    """
    if isinstance(model, str | PathLike):
        content, named, label = Path(model).read_bytes(), read_onnx(model), str(model)
    else:
        content, named, label = model.SerializeToString(deterministic=True), copied(model), "the model"
    if not named.graph.node:
        raise ConversionError(f"{label}: computes nothing")
    taken: set[str] = set()
    for index, node in enumerate(named.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{index}@named"
        taken.add(node.name)
    return named, hashlib.sha256(content).hexdigest()


def in_precision(
    model: onnx.ModelProto,
    precision: str,
    batches: Iterable[npt.NDArray[np.float32]],
    *,
    in_float: Collection[str] | None,
    progress: Callable[[str], None],
) -> onnx.ModelProto:
    """Return the model with the types of a precision in it; a float one is quantized with batches for int8.

    Raises:
        ConversionError: there are no batches, or batches for another precision, or the model is of another precision.
    """
    from dongfeng.passes.quantize import quantize, to_fp16

    given = list(batches)
    is_quantized = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    if given and precision != "int8":
        raise ConversionError(f"calibration inputs are for int8; the precision is {precision}")
    if is_quantized and (precision != "int8" or given):
        raise ConversionError("the model is quantized already: build it in int8, without calibration inputs")
    if precision == "fp32":
        return model
    if is_quantized:
        _check_quantized(model)
    if precision == "int8" and not is_quantized:
        if not given:
            raise ConversionError("int8 needs about ten inputs to calibrate with, or a model that is quantized already")
        model = quantize(model, given, target="tensorrt", in_float=in_float, progress=progress).model
    progress("fp16")
    return to_fp16(model)


def nodes_of(model: onnx.ModelProto) -> list[OnnxNode]:
    """Return the nodes as an audit needs them."""
    makers = {name: node for node in model.graph.node for name in node.output}

    def is_dequantized(name: str) -> bool:
        return name in makers and makers[name].op_type == "DequantizeLinear"

    return [
        OnnxNode(
            node.name,
            node.op_type,
            node.op_type in WEIGHTED and len(node.input) > 1 and all(map(is_dequantized, node.input[:2])),
            node.op_type == "Cast" or node.name.startswith(SCOPE),
        )
        for node in model.graph.node
    ]


def _check_quantized(model: onnx.ModelProto) -> None:
    """Refuse a quantized model that TensorRT does not take.

    Raises:
        ConversionError: it is quantized for CPUs, with zero points.
    """
    from onnx import numpy_helper

    values = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or len(node.input) < 3:
            continue
        zero = values.get(node.input[2])
        if zero is not None and (numpy_helper.to_array(zero).dtype != np.int8 or numpy_helper.to_array(zero).any()):
            raise ConversionError(
                f"{node.name}: TensorRT takes int8 with zero point 0 and float biases; quantize the float model for "
                "it: dongfeng quantize ... --target tensorrt"
            )
