"""What an engine really computes in, layer by layer, from the builder's list of kernels or from the engine itself.

Libraries fuse and split layers; each kernel says which ONNX nodes it stands for and what types it reads and writes. The
builder's list has the planned types; which kernels run is chosen on the GPU.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Source = Literal["builder", "inspector"]
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")

_LINE = re.compile(
    r"Name: (?P<name>.*?), LayerType: (?P<kind>[^,]*), Inputs: (?P<inputs>.*?), Constants: (?P<constants>.*), "
    r"Outputs: (?P<outputs>.*?), TacticName: .*?Metadata: (?P<metadata>.*)"
)
_TENSOR = re.compile(r"Dimensions: \[([\d,\- ]*)\].*?Datatype: (\w+)")
_NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_TYPES = {"Float": "fp32", "FP32": "fp32", "Half": "fp16", "FP16": "fp16", "Int8": "int8", "INT8": "int8"}
_HELPERS = frozenset({"kgen", "runtime_function"})  # generated element-wise kernels, copies


@dataclass(frozen=True)
class Kernel:
    """One step of an engine.

    Attributes:
        name: Its name.
        kind: The library's word for what it does.
        inputs: Types that it reads.
        weights: Types of its constants of more than one element.
        outputs: Types that it writes.
        nodes: Names of the ONNX nodes it stands for, or for a part of.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    weights: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Layer:
    """What one layer with weights became.

    Attributes:
        name: Name of its ONNX node.
        op_type: Its kind there, such as "Conv".
        precision: "fp32", "fp16" or "int8"; None where the list does not mention it.
        reason: Why it is not what was asked for; empty where it is.
    """

    name: str
    op_type: str
    precision: str | None
    reason: str = ""


@dataclass(frozen=True)
class Audit:
    """What an engine computes in.

    Attributes:
        source: "builder": its list, made without a GPU, of planned types; "inspector": the engine on its GPU.
        asked: The precision asked for.
        layers: Every layer with weights.
        others_in_fp32: Further nodes that are computed in fp32 though less was asked for.
    """

    source: Source
    asked: str
    layers: tuple[Layer, ...]
    others_in_fp32: tuple[str, ...] = ()

    @property
    def exceptions(self) -> tuple[Layer, ...]:
        """The layers that are not in the precision asked for."""
        return tuple(layer for layer in self.layers if layer.precision != self.asked)

    @property
    def convolutions(self) -> dict[str, str | None]:
        """Precision of each convolution."""
        return {layer.name: layer.precision for layer in self.layers if layer.op_type == "Conv"}

    def summary(self) -> str:
        """One line: how many layers are in what was asked for, and which are not."""
        where = "the engine inspector" if self.source == "inspector" else "the builder's plan (no GPU)"
        count = len(self.layers) - len(self.exceptions)
        line = f"{count} of {len(self.layers)} layers with weights in {self.asked}, by {where}"
        others = "; ".join(f"{layer.name} in {layer.precision} ({layer.reason})" for layer in self.exceptions)
        return f"{line}; not: {others}" if others else line


def parse_builder(text: str) -> list[Kernel]:
    """The kernels of the builder's message that begins with `Layers:`."""
    found = (_LINE.fullmatch(line.strip()) for line in text.splitlines())
    return [_kernel(match) for match in found if match is not None]


def _kernel(match: re.Match[str]) -> Kernel:
    constants = _TENSOR.findall(match["constants"])
    return Kernel(
        match["name"],
        match["kind"],
        tuple(kind for _, kind in _TENSOR.findall(match["inputs"])),
        tuple(kind for dims, kind in constants if dims not in ("", "1")),
        tuple(kind for _, kind in _TENSOR.findall(match["outputs"])),
        tuple(dict.fromkeys(_NODE.findall(match["metadata"]))),
    )


def parse_inspector(text: str) -> list[Kernel]:
    """The kernels of the engine inspector's JSON, of an engine that was built with detailed profiling."""
    kernels = []
    for entry in json.loads(text).get("Layers", ()):
        if not isinstance(entry, dict):  # only names: it was built without details
            continue
        constants = [value for value in entry.get("Constants", ()) if value.get("Dimensions") not in ([], [1])]
        weights = entry.get("Weights", {}).get("Type")
        kernels.append(
            Kernel(
                str(entry.get("Name", "")),
                str(entry.get("LayerType", "")),
                tuple(map(_type_of, entry.get("Inputs", ()))),
                (*map(_type_of, constants), *([weights] if weights else [])),
                tuple(map(_type_of, entry.get("Outputs", ()))),
                tuple(dict.fromkeys(_NODE.findall(entry.get("Metadata", "")))),
            )
        )
    return kernels


def _type_of(tensor: dict[str, Any]) -> str:
    """A tensor's type; older libraries write it behind the layout, such as "Row major linear FP32"."""
    said = str(tensor.get("Datatype") or tensor.get("Format/Datatype") or "").split()
    return next((word for word in reversed(said) if word in _TYPES), said[-1] if said else "")


def audit(kernels: Sequence[Kernel], nodes: Iterable[Node], asked: str, source: Source) -> Audit:
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
            layers.append(Layer(node.name, node.op_type, precision, reason))
    return Audit(source, asked, tuple(layers), () if asked == "fp32" else _others_in_fp32(kernels, nodes))


@dataclass(frozen=True)
class Node:
    """A node of an ONNX model.

    Attributes:
        name: Its name, which no other has.
        op_type: Its kind.
        is_quantized: Whether its data and weights come from DequantizeLinear.
        is_fp32: Whether the model itself has it in fp32: the casts at the ends, the head.
    """

    name: str
    op_type: str
    is_quantized: bool
    is_fp32: bool


def _precision(kernels: Sequence[Kernel]) -> str | None:
    """What a layer is computed in, by the kernels that stand for it: by the one that multiplies."""
    typed = [kernel for kernel in kernels if kernel.inputs]
    multiplying = [kernel for kernel in typed if kernel.kind not in _HELPERS] or typed
    found = {kernel_precision(kernel) for kernel in multiplying}
    return next((kind for kind in ("fp32", "int8", "fp16") if kind in found), None if not found else found.pop())


def kernel_precision(kernel: Kernel) -> str:
    """int8 needs Int8 inputs and weights; fp16 Half inputs and weights; anything with Float is fp32."""
    inputs = {_TYPES.get(kind, kind) for kind in kernel.inputs}
    weights = {_TYPES.get(kind, kind) for kind in kernel.weights}
    if "int8" in inputs and "int8" in weights:
        return "int8"
    both = inputs | weights
    return "fp32" if "fp32" in both else "/".join(sorted(both))


def _reason(node: Node, precision: str | None, asked: str) -> str:
    if precision is None:
        return "the list of kernels does not mention it"
    if asked == "int8" and not node.is_quantized:
        return "the quantizer kept it in float" if node.op_type == "Conv" else f"a {node.op_type} is not quantized"
    return f"the builder computes it in {precision}"


def _others_in_fp32(kernels: Sequence[Kernel], nodes: Sequence[Node]) -> tuple[str, ...]:
    """Nodes without weights in kernels that write fp32, but for those that the model itself has in fp32."""
    expected = {node.name for node in nodes if node.is_fp32}
    known = {node.name for node in nodes if node.op_type not in (*WEIGHTED, "QuantizeLinear", "DequantizeLinear")}
    found = dict.fromkeys(
        name
        for kernel in kernels
        if all(_TYPES.get(kind) == "fp32" for kind in (*kernel.inputs, *kernel.outputs))
        for name in kernel.nodes
    )
    return tuple(name for name in found if name in known and name not in expected)
