"""Audits of engines: what each layer with weights is really computed in, by the engine's kernels.

Libraries fuse and split layers; each kernel says which ONNX nodes it stands for and what types it reads and writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from dongfeng.backends.tensorrt.kernels import EngineKernel, is_fp32, kernel_precision

AuditSource = Literal["builder", "inspector"]
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")

_HELPERS = frozenset({"kgen", "runtime_function"})  # generated element-wise kernels, copies


@dataclass(frozen=True)
class AuditedLayer:
    """A layer with weights, and what the engine computes it in.

    Attributes:
        name: Name of its ONNX node.
        op_type: The node's type, such as "Conv".
        precision: "fp32", "fp16" or "int8"; None where the list does not mention it.
        reason: Why it is not what was asked for; empty where it is.
    """

    name: str
    op_type: str
    precision: str | None
    reason: str = ""


@dataclass(frozen=True)
class Audit:
    """The precisions that an engine computes in.

    Attributes:
        source: "builder": its list, made without a GPU, of planned types; "inspector": the engine on its GPU.
        asked: The precision asked for.
        layers: Every layer with weights.
        others_in_fp32: Further nodes that are computed in fp32 though less was asked for.
    """

    source: AuditSource
    asked: str
    layers: tuple[AuditedLayer, ...]
    others_in_fp32: tuple[str, ...] = ()

    @property
    def exceptions(self) -> tuple[AuditedLayer, ...]:
        """The layers that are not in the precision asked for."""
        return tuple(layer for layer in self.layers if layer.precision != self.asked)

    @property
    def convolutions(self) -> dict[str, str | None]:
        """Precision of each convolution."""
        return {layer.name: layer.precision for layer in self.layers if layer.op_type == "Conv"}

    def summary(self) -> str:
        """Return one line: how many layers are in the precision asked for, and which are not."""
        where = "the engine inspector" if self.source == "inspector" else "the builder's plan (no GPU)"
        count = len(self.layers) - len(self.exceptions)
        line = f"{count} of {len(self.layers)} layers with weights in {self.asked}, by {where}"
        others = "; ".join(f"{layer.name} in {layer.precision} ({layer.reason})" for layer in self.exceptions)
        return f"{line}; not: {others}" if others else line


def audit(kernels: Sequence[EngineKernel], nodes: Iterable[OnnxNode], asked: str, source: AuditSource) -> Audit:
    """Compare an engine's kernels with what was asked for.

    Args:
        kernels: The engine's.
        nodes: The nodes of the ONNX model that it was built from.
        asked: "fp32", "fp16" or "int8".
        source: Where the kernels are from.
    """
    nodes = list(nodes)
    layers = []
    for node in nodes:
        if node.op_type in WEIGHTED:
            precision = _precision([kernel for kernel in kernels if node.name in kernel.nodes])
            reason = "" if precision == asked else _reason(node, precision, asked)
            layers.append(AuditedLayer(node.name, node.op_type, precision, reason))
    return Audit(source, asked, tuple(layers), () if asked == "fp32" else _others_in_fp32(kernels, nodes))


@dataclass(frozen=True)
class OnnxNode:
    """A node of an ONNX model, as an audit needs it.

    Attributes:
        name: Its name, which no other has.
        op_type: Its type.
        is_quantized: Whether its data and weights come from DequantizeLinear.
        is_fp32: Whether the model itself has it in fp32: the casts at the ends, the head.
    """

    name: str
    op_type: str
    is_quantized: bool
    is_fp32: bool


def _precision(kernels: Sequence[EngineKernel]) -> str | None:
    """Return what a layer is computed in: what the one of its kernels is that multiplies."""
    typed = [kernel for kernel in kernels if kernel.inputs]
    multiplying = [kernel for kernel in typed if kernel.layer_type not in _HELPERS] or typed
    found = {kernel_precision(kernel) for kernel in multiplying}
    return next((name for name in ("fp32", "int8", "fp16") if name in found), None if not found else found.pop())


def _reason(node: OnnxNode, precision: str | None, asked: str) -> str:
    if precision is None:
        return "the list of kernels does not mention it"
    if asked == "int8" and not node.is_quantized:
        return "the quantizer kept it in float" if node.op_type == "Conv" else f"a {node.op_type} is not quantized"
    return f"the builder computes it in {precision}"


def _others_in_fp32(kernels: Sequence[EngineKernel], nodes: Sequence[OnnxNode]) -> tuple[str, ...]:
    """Return the nodes without weights in kernels of fp32, but for those that the model itself has in fp32."""
    expected = {node.name for node in nodes if node.is_fp32}
    known = {node.name for node in nodes if node.op_type not in (*WEIGHTED, "QuantizeLinear", "DequantizeLinear")}
    found = dict.fromkeys(name for kernel in kernels if is_fp32(kernel) for name in kernel.nodes)
    return tuple(name for name in found if name in known and name not in expected)
