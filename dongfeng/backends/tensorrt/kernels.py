"""The kernels of an engine, as the builder or the engine inspector lists them.

The builder's list has the planned types; which kernels run is chosen on the GPU.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_LINE = re.compile(
    r"Name: .*?, LayerType: (?P<layer_type>[^,]*), Inputs: (?P<inputs>.*?), Constants: (?P<constants>.*), "
    r"Outputs: (?P<outputs>.*?), TacticName: .*?Metadata: (?P<metadata>.*)"
)
_TENSOR = re.compile(r"Dimensions: \[([\d,\- ]*)\].*?Datatype: (\w+)")
_NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_PRECISIONS = {"Float": "fp32", "FP32": "fp32", "Half": "fp16", "FP16": "fp16", "Int8": "int8", "INT8": "int8"}


@dataclass(frozen=True)
class EngineKernel:
    """One step of an engine, which may stand for several ONNX nodes, or for a part of one.

    Attributes:
        layer_type: What it does, in the library's words.
        inputs: Types that it reads.
        weights: Types of its constants of more than one element.
        outputs: Types that it writes.
        nodes: Names of the ONNX nodes it stands for, or for a part of.
    """

    layer_type: str
    inputs: tuple[str, ...]
    weights: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[str, ...]


def parse_builder(text: str) -> list[EngineKernel]:
    """Read the kernels of the builder's message that begins with `Layers:`."""
    found = (_LINE.fullmatch(line.strip()) for line in text.splitlines())
    return [_kernel(match) for match in found if match is not None]


def _kernel(match: re.Match[str]) -> EngineKernel:
    constants = _TENSOR.findall(match["constants"])
    return EngineKernel(
        match["layer_type"],
        tuple(type_ for _, type_ in _TENSOR.findall(match["inputs"])),
        tuple(type_ for dims, type_ in constants if dims not in ("", "1")),
        tuple(type_ for _, type_ in _TENSOR.findall(match["outputs"])),
        tuple(dict.fromkeys(_NODE.findall(match["metadata"]))),
    )


def parse_inspector(text: str) -> list[EngineKernel]:
    """Read the kernels of the engine inspector's JSON, of an engine that was built with detailed profiling."""
    kernels = []
    for entry in json.loads(text).get("Layers", ()):
        if not isinstance(entry, dict):  # only names: it was built without details
            continue
        constants = [value for value in entry.get("Constants", ()) if value.get("Dimensions") not in ([], [1])]
        weights = entry.get("Weights", {}).get("Type")
        kernels.append(
            EngineKernel(
                str(entry.get("LayerType", "")),
                tuple(map(_type_of, entry.get("Inputs", ()))),
                (*map(_type_of, constants), *([weights] if weights else [])),
                tuple(map(_type_of, entry.get("Outputs", ()))),
                tuple(dict.fromkeys(_NODE.findall(entry.get("Metadata", "")))),
            )
        )
    return kernels


def _type_of(tensor: Mapping[str, Any]) -> str:
    """Return a tensor's type; older libraries write it behind the layout, such as "Row major linear FP32"."""
    words = str(tensor.get("Datatype") or tensor.get("Format/Datatype") or "").split()
    return next((word for word in reversed(words) if word in _PRECISIONS), words[-1] if words else "")


def kernel_precision(kernel: EngineKernel) -> str:
    """Return what a kernel computes in.

    int8 needs Int8 inputs and weights; fp16 Half inputs and weights; anything with Float is fp32.
    """
    inputs = {_PRECISIONS.get(type_, type_) for type_ in kernel.inputs}
    weights = {_PRECISIONS.get(type_, type_) for type_ in kernel.weights}
    if "int8" in inputs and "int8" in weights:
        return "int8"
    both = inputs | weights
    return "fp32" if "fp32" in both else "/".join(sorted(both))


def is_fp32(kernel: EngineKernel) -> bool:
    """Whether a kernel reads and writes fp32 alone."""
    return all(_PRECISIONS.get(type_) == "fp32" for type_ in (*kernel.inputs, *kernel.outputs))
