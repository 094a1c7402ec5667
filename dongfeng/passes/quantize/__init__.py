"""Eight-bit networks by calibration (post-training quantization), and 16-bit floats.

`quantize` starts from a float ONNX model and arrays such as the network shall see:

1. `equalize`: rewritings that change nothing in exact arithmetic but leave less to lose; `shuffle` and `cpu`: those for
   which CPU runtimes are faster;
2. `ranges`: what each activation covers on the calibration inputs; the method is chosen by the error of the scores;
3. sensitivity: each layer is quantized alone, and those that make too much of the noise stay in float, unless
   that of all is small;
4. `rounding`: weights are rounded for the inputs they meet;
5. `qdq`: QuantizeLinear and DequantizeLinear are put in.
"""

from __future__ import annotations

from dongfeng.passes.quantize.calibrate import Quantized, quantize
from dongfeng.passes.quantize.fp16 import to_fp16
from dongfeng.passes.quantize.report import Agreement, agreement, layer_snr_db

__all__ = ["Agreement", "Quantized", "agreement", "layer_snr_db", "quantize", "to_fp16"]
