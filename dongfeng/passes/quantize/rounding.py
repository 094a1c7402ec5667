"""Rounding of weights for the inputs they meet, and of biases that make up for the mean error that is left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dongfeng.passes.graph import Float, Graph, attribute, copied
from dongfeng.passes.quantize.execution import in_portions, run
from dongfeng.passes.quantize.qdq import Rounded, Scheme, insert, weight_scale

if TYPE_CHECKING:
    import onnx

Double = npt.NDArray[np.float64]

_STEPS = 20  # in which the layers are rounded; each runs the network once more
_PIXELS, _PIXELS_PER_WEIGHT = 4000, 200  # outputs of a batch that rounding is fitted to; the fewer of the two
_MOST_INPUTS = 600  # weights per output up to which rounding is fitted; the cost grows with the cube
_DAMPING = 1e-2  # share of the mean square of the inputs, as in the paper


def round_weights(
    model: onnx.ModelProto, scheme: Scheme, batches: Sequence[Float]
) -> tuple[onnx.ModelProto, dict[str, Rounded]]:
    """Round layer after layer, each for the inputs that it gets from the quantized layers before it.

    Weights are rounded one input at a time; those still to come, and at last the bias, take over the error as far as
    their inputs go along with the one that was rounded. Neighbours are rounded at once, in `_STEPS` steps.

    Source: Frantar et al., "GPTQ" (2022), without its blocks; the bias stands last, as an input that is always 1.

    Args:
        model: The float model.
        scheme: Scheme of its quantization.
        batches: Calibration inputs.

    Returns:
        The model with its new biases, and the weights, for `Scheme.rounded`.
    """
    result = copied(model)
    graph = Graph(result)
    rounded: dict[str, Rounded] = {}
    for layers in _steps(graph, [node for node in graph.convolutions() if _can_be_rounded(graph, node, scheme)]):
        quantized = insert(result, replace(scheme, rounded=rounded))
        scales = Graph(quantized)
        moments = _moments(quantized, layers, batches)
        for node in layers:
            weight, bias = graph.weight(node.input[1]), graph.bias(node)
            input_scale = float(scales.weight(f"{node.input[0]}@scale"))
            scale = weight_scale(weight, scheme.weight_max, bias, input_scale)
            values, new_bias = _round_groups(weight, bias, moments[node.name], scale, scheme.weight_max)
            rounded[node.name] = Rounded(values, scale)
            graph.set_bias(node, new_bias)
    return result, rounded


def round_with_inputs(
    weight: Double, bias: Double, moments: Double, scale: Float, weight_max: int
) -> tuple[npt.NDArray[np.int8], Double]:
    """Round the weights of linear outputs.

    Args:
        weight: (O, K).
        bias: (O,).
        moments: (K + 1, K + 1) mean products of the inputs that the weights multiply; the last input is 1.
        scale: (O,) distance between the values that a weight can have.
        weight_max: Largest quantized weight.

    Returns:
        (O, K) int8, in units of the scale, and the (O,) bias that goes with them.
    """
    size = len(moments) - 1
    damped = moments + np.eye(size + 1) * (_DAMPING * np.mean(np.diag(moments)[:size]) + 1e-9)
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T
    rest = np.column_stack([weight, bias])
    values = np.zeros((len(weight), size), np.int8)
    for index in range(size):
        whole = np.clip(np.rint(rest[:, index] / scale), -weight_max, weight_max)
        values[:, index] = whole
        error = (rest[:, index] - whole * scale) / factor[index, index]
        rest[:, index + 1 :] -= np.outer(error, factor[index, index + 1 :])
    return values, rest[:, size]


def moments_of(inputs: Double) -> Double:
    """Return the (K + 1, K + 1) mean products of (n, K) inputs with each other and, as the last, with 1."""
    extended = np.column_stack([inputs, np.ones(len(inputs))])
    return np.asarray(extended.T @ extended / len(inputs))


def _round_groups(
    weight: Float, bias: Float, moments: Sequence[Double], scale: Float, weight_max: int
) -> tuple[npt.NDArray[np.int8], Float]:
    """Round the weights of a convolution, group by group: each reads channels of its own."""
    flat = weight.reshape(len(weight), -1).astype(np.float64)
    groups = (np.split(values, len(moments)) for values in (flat, bias.astype(np.float64), scale))
    found = [
        round_with_inputs(group, group_bias, group_moments, group_scale, weight_max)
        for group, group_bias, group_scale, group_moments in zip(*groups, moments, strict=True)
    ]
    values = np.concatenate([whole for whole, _ in found]).reshape(weight.shape)
    return values, np.concatenate([new_bias for _, new_bias in found]).astype(np.float32)


def _can_be_rounded(graph: Graph, node: onnx.NodeProto, scheme: Scheme) -> bool:
    """Whether the rounding of a layer can be fitted to its inputs, at a bearable cost."""
    fan_in = int(np.prod(graph.weights[node.input[1]].dims[1:]))
    plain = attribute(node, "auto_pad", b"NOTSET") == b"NOTSET" and not graph.shares_weights(node)
    return plain and node.name not in scheme.in_float and fan_in <= _MOST_INPUTS


def _steps(graph: Graph, layers: Sequence[onnx.NodeProto]) -> Iterator[list[onnx.NodeProto]]:
    """Divide layers into those that are rounded at once: a few neighbours whose inputs fit into memory."""
    at_once = max(1, -(-len(layers) // _STEPS))
    for index in range(0, len(layers), at_once):
        neighbours = layers[index : index + at_once]
        names = list(dict.fromkeys(node.input[0] for node in neighbours))
        for portion in in_portions(graph.model, names):
            yield [node for node in neighbours if node.input[0] in portion]


def _moments(
    quantized: onnx.ModelProto, layers: Sequence[onnx.NodeProto], batches: Sequence[Float]
) -> dict[str, list[Double]]:
    """Return `moments_of` the inputs of each group of each layer."""
    weights = Graph(quantized).weights
    names = {node.name: f"{node.input[0]}@dq" for node in layers}
    sums: dict[str, list[Double]] = {}
    for values in run(quantized, list(dict.fromkeys(names.values())), batches):
        for node in layers:
            per_group, *kernel = weights[f"{node.name}@weight@q"].dims[1:]
            patches = _sampled_patches(values[names[node.name]], node, tuple(kernel)).astype(np.float64)
            groups = np.split(patches, patches.shape[1] // per_group, axis=1)
            new = [moments_of(group.reshape(len(group), -1)) for group in groups]
            old = sums.get(node.name)
            sums[node.name] = [a + b for a, b in zip(old, new, strict=True)] if old else new
    return {name: [one / len(batches) for one in found] for name, found in sums.items()}


def _sampled_patches(batch: Float, node: onnx.NodeProto, kernel: tuple[int, ...]) -> Float:
    """Return the (n, C, h * w) patches that a convolution reads for some of its outputs, the same in every run."""
    strides, dilations = attribute(node, "strides", [1, 1]), attribute(node, "dilations", [1, 1])
    top, left, bottom, right = attribute(node, "pads", [0, 0, 0, 0])
    padded = np.pad(batch, ((0, 0), (0, 0), (top, bottom), (left, right)))
    spans = [dilation * (side - 1) + 1 for side, dilation in zip(kernel, dilations, strict=True)]
    rows, columns = (
        (side - span) // stride + 1 for side, span, stride in zip(padded.shape[2:], spans, strides, strict=True)
    )
    outputs = len(batch) * rows * columns
    weights_per_output = batch.shape[1] // attribute(node, "group", 1) * int(np.prod(kernel))
    count = min(_PIXELS, _PIXELS_PER_WEIGHT * weights_per_output, outputs)
    chosen = np.random.default_rng(0).choice(outputs, count, replace=False)
    image, row, column = np.unravel_index(chosen, (len(batch), rows, columns))
    taps = [
        padded[image, :, row * strides[0] + y * dilations[0], column * strides[1] + x * dilations[1]]
        for y in range(kernel[0])
        for x in range(kernel[1])
    ]
    return np.stack(taps, axis=-1)
