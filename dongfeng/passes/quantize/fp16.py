"""Conversion of a model to 16-bit floats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dongfeng.passes.graph import copied

if TYPE_CHECKING:
    import onnx

_COMPUTES_IN_16_BITS = frozenset({"Resize", "Upsample"})  # the library would leave them in 32 bits


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a float32 model that computes in float16; its inputs and outputs stay float32.

    Weights beyond 65504 become 65504, and those below 1e-7 become 1e-7.

    Args:
        model: The model; it is not changed.

    Returns:
        The model, with the same names of inputs and outputs, and metadata.
    """
    from onnxruntime.transformers import float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    blocked = [operator for operator in float16.DEFAULT_OP_BLOCK_LIST if operator not in _COMPUTES_IN_16_BITS]
    # Shapes need no inference: the exported model has them.
    result: onnx.ModelProto = float16.convert_float_to_float16(
        copied(model), keep_io_types=True, op_block_list=blocked, disable_shape_infer=True
    )
    OnnxModel.graph_topological_sort(result.graph)  # the casts were put last
    return result
