"""`quantize`: from a float model and calibration inputs to a quantized one; every choice is made by measurement."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from dongfeng.errors import ConversionError
from dongfeng.passes.graph import Float, Graph, copied, relative_error, scores
from dongfeng.passes.quantize.cpu import fill_lanes, resize_instead_of_deconvolution
from dongfeng.passes.quantize.equalize import equalize, merge_stem
from dongfeng.passes.quantize.qdq import Scheme, candidates, insert
from dongfeng.passes.quantize.ranges import METHODS, Observed, find_range, observe
from dongfeng.passes.quantize.rounding import round_weights
from dongfeng.passes.quantize.saturation import saturates
from dongfeng.passes.quantize.shuffle import absorb_shuffles

if TYPE_CHECKING:
    import onnx

TARGETS = ("cpu", "tensorrt")
QUANTIZER_VERSION = 2  # raised whenever the same model and images give another result: caches depend on it
MIN_OPSET = 13  # the first whose DequantizeLinear has a scale for each channel

_SMALL_ERROR = 0.04  # of the scores: with no more, every layer computes in eight bits
_FLOAT_SHARE = 0.05  # of the noise that all layers make: one that alone makes so much stays in float
_CHEAP_COST = 0.006  # of what all layers cost: a layer on the smallest maps that costs no more stays in float too
_MOVE_COST = 16  # what it costs to read or write a value, in multiplications
_SENSITIVITY_BATCHES, _SENSITIVITY_VALUES = 4, 4_000_000  # inputs that layers are tried on, and values in all of them


@dataclass(frozen=True)
class Quantized:
    """A quantized model and how it came about.

    Attributes:
        model: The quantized model; inputs, outputs and metadata are those of the float one, and float32.
        float_model: The float model, rewritten: it computes the same scores, and its activations are scaled as those
            of `model`.
        target: "cpu" or "tensorrt".
        method: How ranges were found: "mse", "percentile" or "minmax".
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
        progress: Called with what is being done.

    Returns:
        The quantized model, and how it came about.

    Raises:
        ConversionError: the model cannot be quantized, or there are no inputs, or they do not fit it.
    """
    inputs = [np.asarray(batch, np.float32) for batch in batches]
    reduced = reduce_range if reduce_range is not None else target == "cpu" and saturates()
    original = _read(model)
    _check(original, inputs, target, method, in_float)
    progress("equalize")
    plain = _rewritten(original, inputs, target)
    progress("ranges")
    seen = observe(plain, inputs)
    search = _Search(plain, inputs, scores(original, inputs), target == "tensorrt", 63 if reduced else 127, seen)
    errors = {name: search.error(search.scheme(name)) for name in (METHODS if method == "auto" else (method,))}
    chosen = min(errors, key=lambda name: errors[name])
    scheme = search.scheme(chosen)
    alone = {}
    kept = tuple(in_float or ())
    if in_float is None and errors[chosen] > _SMALL_ERROR:
        progress("sensitivity of each layer")
        alone = search.alone(scheme)
        kept = _noisiest(alone)
        kept = tuple(dict.fromkeys((*kept, *_cheapest(plain, seen))))
    if target == "cpu" and in_float is None:
        kept = (*kept, *(name for name in _behind_averages(plain) if name not in kept))
    scheme = replace(scheme, in_float=frozenset(kept))
    progress("rounding")
    biased, rounded = round_weights(plain, scheme, inputs)
    result = insert(biased, replace(scheme, rounded=rounded))
    error = relative_error(search.expected, scores(result, inputs))
    return Quantized(result, plain, target, chosen, errors, kept, alone, reduced, error)


@dataclass(frozen=True)
class _Search:
    """What schemes are compared on."""

    model: onnx.ModelProto
    inputs: Sequence[Float]
    expected: Sequence[Float]
    symmetric: bool
    weight_max: int
    seen: dict[str, Observed]

    def scheme(self, method: str) -> Scheme:
        found: dict[tuple[str, ...], tuple[float, float]] = {}

        def ranges(names: tuple[str, ...]) -> tuple[float, float]:
            if names not in found:
                found[names] = find_range([self.seen[name] for name in names], method, symmetric=self.symmetric)
            return found[names]

        return Scheme(ranges, self.symmetric, weight_max=self.weight_max)

    def error(self, scheme: Scheme) -> float:
        return relative_error(self.expected, scores(insert(self.model, scheme), self.inputs))

    def alone(self, scheme: Scheme) -> dict[str, float]:
        """The error that each layer makes alone, on a few of the inputs."""
        count = min(_SENSITIVITY_BATCHES, max(1, _SENSITIVITY_VALUES // self.inputs[0].size))
        few = slice(None, None, -(-len(self.inputs) // count))
        part = replace(self, inputs=self.inputs[few], expected=self.expected[few])
        names = candidates(self.model)
        found = {name: part.error(replace(scheme, in_float=frozenset(names) - {name})) for name in names}
        return {name: error for name, error in found.items() if error > 0}


def _noisiest(alone: Mapping[str, float]) -> tuple[str, ...]:
    """The layers that make more than their share of the noise; errors of layers add up in squares."""
    total = sum(error**2 for error in alone.values())
    order = sorted(alone, key=lambda name: -alone[name])
    return tuple(name for name in order if alone[name] ** 2 >= _FLOAT_SHARE * total > 0)


def _cheapest(model: onnx.ModelProto, seen: Mapping[str, Observed]) -> list[str]:
    """Layers on the smallest maps that cost next to nothing in float; together they make a good part of the noise."""
    graph = Graph(model)
    averages = _behind_averages(model)
    layers = [node for node in graph.convolutions() if node.name not in averages]
    pixels = {node.name: seen[node.output[0]].elements // graph.weights[node.input[1]].dims[0] for node in layers}
    costs = _costs(model, seen)
    most = _CHEAP_COST * sum(costs.values())
    smallest = min(pixels.values(), default=0)
    return [name for name in pixels if pixels[name] == smallest and costs[name] <= most]


def _costs(model: onnx.ModelProto, seen: Mapping[str, Observed]) -> dict[str, int]:
    """What each layer costs, in multiplications."""
    graph = Graph(model)
    convolutions = {node.name for node in graph.convolutions()}
    found = {}
    for node in graph.nodes:
        made = seen[node.output[0]].elements if node.output[0] in seen else 0
        moved = made + sum(seen[name].elements for name in node.input if name in seen)
        per_value = int(np.prod(graph.weights[node.input[1]].dims[1:])) if node.name in convolutions else 0
        found[node.name] = per_value * made + _MOVE_COST * moved
    return {name: max(found[name], 1) for name in candidates(model)}


def _behind_averages(model: onnx.ModelProto) -> list[str]:
    """The layers that read an average pool: they cost nothing, but ONNX Runtime is slow at averages of bytes."""
    graph = Graph(model)
    makers = {name: node.op_type for node in graph.nodes for name in node.output}
    return [node.name for node in graph.convolutions() if makers.get(node.input[0]) == "AveragePool"]


def _rewritten(original: onnx.ModelProto, inputs: Sequence[Float], target: str) -> onnx.ModelProto:
    import onnx

    plain = copied(original)
    merge_stem(plain)
    if target == "cpu":
        absorb_shuffles(plain)
        resize_instead_of_deconvolution(plain)
        fill_lanes(plain)
        plain = onnx.shape_inference.infer_shapes(plain)
    equalize(plain, observe(plain, inputs))
    return plain


def _read(model: onnx.ModelProto | str | PathLike[str]) -> onnx.ModelProto:
    import onnx

    if isinstance(model, onnx.ModelProto):
        return model
    try:
        return onnx.load(model)
    except OSError:
        raise
    except Exception as error:  # protobuf's own class differs between its versions
        raise ConversionError(f"{model}: is no ONNX file, or is damaged") from error


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
