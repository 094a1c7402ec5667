"""Test of this CPU: whether its eight-bit products saturate."""

from __future__ import annotations

import functools

import numpy as np

_LENGTH = 64


@functools.cache
def saturates() -> bool:
    """Whether sums of uint8 x int8 products come out wrong where all of them are large.

    x86 without VNNI adds two products in 16 bits, which overflow; weights of 7 bits avoid that. This is measured,
    because runtimes choose their kernels themselves.
    """
    import onnxruntime
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["y"])],
        "saturation",
        [
            helper.make_tensor_value_info("a", TensorProto.UINT8, (_LENGTH, _LENGTH)),
            helper.make_tensor_value_info("b", TensorProto.INT8, (_LENGTH, _LENGTH)),
        ],
        [helper.make_tensor_value_info("y", TensorProto.INT32, (_LENGTH, _LENGTH))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    square = (_LENGTH, _LENGTH)
    (got,) = session.run(None, {"a": np.full(square, 255, np.uint8), "b": np.full(square, 127, np.int8)})
    return bool(np.any(got != 255 * 127 * _LENGTH))
