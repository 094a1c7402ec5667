"""The self-check of a backend: it computes three numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dongfeng.backends.base import Backend

if TYPE_CHECKING:
    from dongfeng.net.graph import Net

INPUT, OUTPUT = "x", "y"
_EXPECTED = [1.0, 3.0, 5.0]


def three_numbers() -> Net:
    """Return a net on (1, 3, 1, 1) numbers: y = 2 x + 1, as a convolution."""
    from dongfeng.caffe.message import message
    from dongfeng.net.graph import Layer, Net

    params = message("LayerParameter", convolution_param={"num_output": 3, "kernel_size": 1})
    weight, bias = 2 * np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1), np.ones(3, np.float32)
    layer = Layer("check", "Convolution", (INPUT,), (OUTPUT,), params, (weight, bias))
    return Net("check", {INPUT: (1, 3, 1, 1)}, (layer,))


def three_numbers_onnx() -> bytes:
    """Return the same net as the content of an ONNX file."""
    from dongfeng.formats.onnx import to_onnx

    return to_onnx(three_numbers(), opset=13).SerializeToString()


def wrong_numbers(backend: Backend) -> str | None:
    """Say what is wrong with the numbers that a backend computes with that net; None if nothing is."""
    got = backend.run(np.arange(3, dtype=np.float32).reshape(1, 3, 1, 1), OUTPUT).ravel().tolist()
    return None if got == _EXPECTED else f"2 x + 1 for 0, 1, 2 gave {got}; expected {_EXPECTED}"
