"""`quantize`: from a float model and calibration inputs to a quantized model, every choice by measurement."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from dongfeng.errors import ConversionError
from dongfeng.passes.graph import Float, Graph, copied, read_onnx
from dongfeng.passes.quantize.cpu import pad_depthwise_channels, resize_instead_of_deconvolution
from dongfeng.passes.quantize.equalize import equalize, fuse_stem
from dongfeng.passes.quantize.execution import relative_error, scores
from dongfeng.passes.quantize.qdq import Scheme, candidates, insert
from dongfeng.passes.quantize.ranges import METHODS, ActivationStatistics, Ranges, collect_statistics
from dongfeng.passes.quantize.rounding import round_weights
from dongfeng.passes.quantize.saturation import saturates
from dongfeng.passes.quantize.shuffle import absorb_shuffles

if TYPE_CHECKING:
    import onnx

TARGETS = ("cpu", "tensorrt")
QUANTIZER_VERSION = 2  # raised whenever the same model and images give another result: caches depend on it
MIN_OPSET = 13  # the first whose DequantizeLinear has a scale for each channel

_WEIGHT_MAX = 127  # largest quantized weight; half of it where products saturate
_SMALL_ERROR = 0.04  # relative error of the scores up to which every layer computes in eight bits
_FLOAT_SHARE = 0.05  # share of the noise of all layers from which on a layer stays in float
_CHEAP_COST = 0.006  # share of the cost of all layers up to which a layer on the smallest maps stays in float too
_MOVE_COST = 16  # cost of reading or writing a value, in multiplications
_SENSITIVITY_BATCHES, _SENSITIVITY_VALUES = 4, 4_000_000  # inputs that layers are tried on, and values in all of them


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """A quantized model and the choices that led to it.

    Attributes:
        model: The quantized model; inputs, outputs and metadata are those of the float one, and float32.
        float_model: The float model, rewritten: it computes the same scores, and its activations are scaled as those
            of `model`.
        target: "cpu" or "tensorrt".
        method: Method by which ranges were found: "mse", "percentile" or "minmax".
        method_errors: Relative error of the scores on the calibration inputs, by method.
        in_float: Layers that stay in float, those that make the most noise first; at last those that read average
            pools.
        alone: Relative error of the scores where only that layer is quantized, by layer; empty where layers were not
            tried, because the error of all is at most 4 %.
        reduced_range: Whether weights are 7 bits, for CPUs whose int8 products saturate.
        error: Relative error of the scores on the calibration inputs.
    """

    model: onnx.ModelProto
    float_model: onnx.ModelProto
    target: str
    method: str
    method_errors: dict[str, float]
    in_float: tuple[str, ...]
    alone: dict[str, float]
    reduced_range: bool
    error: float


def quantize(
    model: onnx.ModelProto | str | PathLike[str],
    batches: Iterable[Float],
    *,
    target: str = "cpu",
    method: str = "auto",
    in_float: Collection[str] | None = None,
    reduce_range: bool | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Quantized:
    """Quantize a float model to eight bits, for inputs like those given.

    Args:
        model: Model or file, opset 13 or later, of one input; BatchNorm has to be folded. The first output is what the
            errors are measured on.
        batches: Calibration inputs, (N, C, H, W) float32, as the network takes them; about ten. All are kept.
        target: "cpu": uint8 activations, int32 biases, for ONNX Runtime and OpenVINO; "tensorrt": int8 activations
            with zero point 0, biases in float.
        method: How ranges are found: "mse", "percentile", "minmax", or "auto" for the one with the least error.
        in_float: Names of nodes that stay in float; None: found by measurement.
        reduce_range: Weights of 7 bits; None: where this CPU's int8 products saturate (x86 before VNNI), which TensorRT
            never does.
        progress: Called with the name of each step.

    Raises:
        ConversionError: the model cannot be quantized, or there are no inputs, or they do not fit it.
    """
    inputs = [np.asarray(batch, np.float32) for batch in batches]
    reduced = reduce_range if reduce_range is not None else target == "cpu" and saturates()
    original = read_onnx(model) if isinstance(model, str | PathLike) else model
    _check(original, inputs, target, method, in_float)
    progress("equalize")
    plain = _rewritten(original, inputs, target)
    progress("ranges")
    search = _SchemeSearch(
        model=plain,
        inputs=inputs,
        expected=scores(original, inputs),
        symmetric=target == "tensorrt",
        weight_max=_WEIGHT_MAX // 2 if reduced else _WEIGHT_MAX,
        statistics=collect_statistics(plain, inputs),
    )
    methods = METHODS if method == "auto" else (method,)
    errors = {name: search.error(search.scheme(name)) for name in methods}
    chosen = min(errors, key=lambda name: errors[name])
    scheme = search.scheme(chosen)
    alone = {}
    if in_float is None and errors[chosen] > _SMALL_ERROR:
        progress("sensitivity of each layer")
        alone = search.errors_alone(scheme)
    kept = tuple(in_float) if in_float is not None else _float_layers(search, target, alone)
    scheme = replace(scheme, in_float=frozenset(kept))
    progress("rounding")
    biased, rounded = round_weights(plain, scheme, inputs)
    result = insert(biased, replace(scheme, rounded=rounded))
    return Quantized(
        model=result,
        float_model=plain,
        target=target,
        method=chosen,
        method_errors=errors,
        in_float=kept,
        alone=alone,
        reduced_range=reduced,
        error=relative_error(search.expected, scores(result, inputs)),
    )


@dataclass(frozen=True, kw_only=True)
class _SchemeSearch:
    """A float model, and the inputs and scores on which schemes of its quantization are compared."""

    model: onnx.ModelProto
    inputs: Sequence[Float]
    expected: Sequence[Float]
    symmetric: bool
    weight_max: int
    statistics: Mapping[str, ActivationStatistics]

    def scheme(self, method: str) -> Scheme:
        """Return the scheme of a method, with all layers in eight bits."""
        return Scheme(Ranges(self.statistics, method, symmetric=self.symmetric), weight_max=self.weight_max)

    def error(self, scheme: Scheme) -> float:
        """Measure the relative error of the scores that a scheme makes."""
        return relative_error(self.expected, scores(insert(self.model, scheme), self.inputs))

    def errors_alone(self, scheme: Scheme) -> dict[str, float]:
        """Measure the error that each layer makes alone, on a few of the inputs."""
        count = min(_SENSITIVITY_BATCHES, max(1, _SENSITIVITY_VALUES // self.inputs[0].size))
        few = slice(None, None, -(-len(self.inputs) // count))
        part = replace(self, inputs=self.inputs[few], expected=self.expected[few])
        names = candidates(self.model)
        found = {name: part.error(replace(scheme, in_float=frozenset(names) - {name})) for name in names}
        return {name: error for name, error in found.items() if error > 0}


def _float_layers(search: _SchemeSearch, target: str, alone: Mapping[str, float]) -> tuple[str, ...]:
    """Choose the layers that stay in float; where no errors were measured, only those behind averages."""
    noisy = [*_noisiest(alone), *_cheapest(search.model, search.statistics)] if alone else []
    return tuple(dict.fromkeys([*noisy, *(_behind_averages(search.model) if target == "cpu" else [])]))


def _noisiest(alone: Mapping[str, float]) -> tuple[str, ...]:
    """List the layers that make more than their share of the noise; errors of layers add up in squares."""
    total = sum(error**2 for error in alone.values())
    order = sorted(alone, key=lambda name: -alone[name])
    return tuple(name for name in order if alone[name] ** 2 >= _FLOAT_SHARE * total > 0)


def _cheapest(model: onnx.ModelProto, statistics: Mapping[str, ActivationStatistics]) -> list[str]:
    """List layers on the smallest maps that cost next to nothing in float; together they make much of the noise."""
    graph = Graph(model)
    averages = _behind_averages(model)
    layers = [node for node in graph.convolutions() if node.name not in averages]
    pixels = {node.name: statistics[node.output[0]].elements // graph.weights[node.input[1]].dims[0] for node in layers}
    costs = _costs(model, statistics)
    most = _CHEAP_COST * sum(costs.values())
    smallest = min(pixels.values(), default=0)
    return [name for name in pixels if pixels[name] == smallest and costs[name] <= most]


def _costs(model: onnx.ModelProto, statistics: Mapping[str, ActivationStatistics]) -> dict[str, int]:
    """Estimate the cost of each layer, in multiplications."""
    graph = Graph(model)
    convolutions = {node.name for node in graph.convolutions()}
    elements = {name: one.elements for name, one in statistics.items()}
    costs = {}
    for node in graph.nodes:
        written = elements.get(node.output[0], 0)
        moved = written + sum(elements.get(name, 0) for name in node.input)
        per_value = int(np.prod(graph.weights[node.input[1]].dims[1:])) if node.name in convolutions else 0
        costs[node.name] = per_value * written + _MOVE_COST * moved
    return {name: max(costs[name], 1) for name in candidates(model)}


def _behind_averages(model: onnx.ModelProto) -> list[str]:
    """List the layers that read an average pool: they cost nothing, but ONNX Runtime is slow at averages of bytes."""
    graph = Graph(model)
    operators = {name: node.op_type for node in graph.nodes for name in node.output}
    return [node.name for node in graph.convolutions() if operators.get(node.input[0]) == "AveragePool"]


def _rewritten(original: onnx.ModelProto, inputs: Sequence[Float], target: str) -> onnx.ModelProto:
    """Return a copy that computes the same scores and loses less in eight bits."""
    import onnx

    plain = copied(original)
    fuse_stem(plain)
    if target == "cpu":
        absorb_shuffles(plain)
        resize_instead_of_deconvolution(plain)
        pad_depthwise_channels(plain)
        plain = onnx.shape_inference.infer_shapes(plain)
    equalize(plain, collect_statistics(plain, inputs))
    return plain


def _check(
    model: onnx.ModelProto, inputs: Sequence[Float], target: str, method: str, in_float: Collection[str] | None
) -> None:
    """Refuse what cannot be quantized."""
    if target not in TARGETS:
        raise ConversionError(f'no target is called "{target}"; there are: {", ".join(TARGETS)}')
    if method not in ("auto", *METHODS):
        raise ConversionError(f'no calibration method is called "{method}"; there are: auto, {", ".join(METHODS)}')
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < MIN_OPSET:
        raise ConversionError(f"the model has opset {opset}; quantizing needs {MIN_OPSET} or later: convert it again")
    graph = Graph(model)
    if any(node.op_type == "QuantizeLinear" for node in graph.nodes):
        raise ConversionError("the model is quantized already; start from the float model")
    if not graph.convolutions():
        raise ConversionError("the model has no convolution with weights of its own; there is nothing to quantize")
    if len(graph.inputs) != 1:
        raise ConversionError(f"the model has {len(graph.inputs)} inputs ({', '.join(graph.inputs)}); expected one")
    names = [node.name for node in graph.nodes]
    if len(set(names)) < len(names):
        raise ConversionError("nodes of the model have no names, or share them; name each node once")
    unknown = sorted(set(in_float or ()) - set(names))
    if unknown:
        raise ConversionError(f"in_float: the model has no node {', '.join(unknown)}")
    if not inputs:
        raise ConversionError("no calibration inputs were given; about ten that are like those in use are enough")
    if not all(np.isfinite(batch).all() for batch in inputs):
        raise ConversionError("a calibration input holds NaN or infinity")
