"""Engines of TensorRT and TensorRT-RTX, built from ONNX and audited.

1. `prepare`: the ONNX model gets the types that the engine shall have: fp16, or eight bits by explicit quantization;
2. `worker`: the library builds it, in a process of its own;
3. `audit`: what every layer with weights really became;
4. `sidecar`: all that has to be known to run the file, beside it.
"""

from __future__ import annotations

from dongfeng.backends.tensorrt.audit import Audit
from dongfeng.backends.tensorrt.build import EngineReport, build_engine
from dongfeng.backends.tensorrt.sidecar import Sidecar, read_sidecar, sidecar_path
from dongfeng.passes.head import Head

__all__ = ["Audit", "EngineReport", "Head", "Sidecar", "build_engine", "read_sidecar", "sidecar_path"]
