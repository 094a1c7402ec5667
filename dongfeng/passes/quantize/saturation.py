"""Test of this CPU: whether its eight-bit products saturate."""

from __future__ import annotations

import functools

import numpy as np

_LENGTH = 64
_PRODUCT = """<ir_version: 8, opset_import: ["": 13]>
    saturation (uint8[64, 64] a, int8[64, 64] b) => (int32[64, 64] y) { y = MatMulInteger(a, b) }"""


@functools.cache
def saturates() -> bool:
    """Whether sums of uint8 x int8 products come out wrong where all of them are large.

    x86 without VNNI adds two products in 16 bits, which overflow; weights of 7 bits avoid that. This is measured,
    because runtimes choose their kernels themselves.
    """
    import onnxruntime
    from onnx.parser import parse_model

    model = parse_model(_PRODUCT)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    square = (_LENGTH, _LENGTH)
    (got,) = session.run(None, {"a": np.full(square, 255, np.uint8), "b": np.full(square, 127, np.int8)})
    return bool(np.any(got != 255 * 127 * _LENGTH))
