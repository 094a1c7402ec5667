"""Which opsets the installed onnx writes and ONNX Runtime reads."""

from __future__ import annotations

import onnx
import onnxruntime

import dongfeng
from dongfeng.formats.onnx import MAX_OPSET, MIN_OPSET


def is_readable(opset: int) -> bool:
    """Whether the installed onnx writes, and ONNX Runtime reads, models of that opset."""
    if opset > onnx.defs.onnx_opset_version():
        return False
    relu = dongfeng.Layer("r", "ReLU", ("data",), ("r",))
    model = dongfeng.to_onnx(dongfeng.Net("tiny", {"data": (1, 3, 4, 4)}, (relu,)), opset=opset)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:  # ONNX Runtime's exceptions have no common root but this
        return False
    return True


NEWEST = max(opset for opset in range(MIN_OPSET, MAX_OPSET + 1) if is_readable(opset))
