"""Post-training quantization: eight-bit models by calibration, and models in 16-bit floats.

`quantize` starts from a float ONNX model and arrays like those that the network will get:

1. `equalize` rewrites the model, exactly but for rounding, so that eight bits lose less; `shuffle` and `cpu`
   rewrite it so that CPU runtimes are faster;
2. `ranges` finds the range of each activation on the calibration inputs; the error of the scores decides the method;
3. `calibrate` quantizes each layer alone, and leaves those in float that make much of the noise, unless that of all is
   small;
4. `rounding` rounds weights for the inputs they meet;
5. `qdq` inserts QuantizeLinear and DequantizeLinear.
"""

from __future__ import annotations

from dongfeng.passes.quantize.calibrate import Quantized, quantize
from dongfeng.passes.quantize.fp16 import to_fp16
from dongfeng.passes.quantize.report import Agreement, agreement, layer_snr_db

__all__ = ["Agreement", "Quantized", "agreement", "layer_snr_db", "quantize", "to_fp16"]
