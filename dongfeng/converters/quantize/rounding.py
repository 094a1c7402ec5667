"""Rounding of weights that heeds the inputs they meet, and biases that undo what is left of the error on average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dongfeng.converters.quantize.graph import Float, Graph, attribute, copied, run
from dongfeng.converters.quantize.qdq import Rounded, Scheme, insert, weight_scale

if TYPE_CHECKING:
    import onnx

Double = npt.NDArray[np.float64]

_PIXELS = 4000  # of each batch that a layer's rounding is fitted to
_MOST_INPUTS = 600  # weights per output up to which rounding is fitted; the cost grows with the cube
_DAMPING = 1e-2  # of the mean square of the inputs, as in the paper


def round_weights(
    model: onnx.ModelProto, scheme: Scheme, batches: Sequence[Float]
) -> tuple[onnx.ModelProto, dict[str, Rounded]]:
    """Round layer after layer, each for the inputs that the quantized layers before it give.

    Weights are rounded one input at a time; those still to come, and at last the bias, take over the error as far as
    their inputs go along with the one that was rounded.

    Source: Frantar et al., "GPTQ" (2022), without its blocks; the bias stands last, as an input that is always 1.

    Args:
        model: The float model.
        scheme: How it is quantized.
        batches: Calibration inputs.

    Returns:
        The model with its new biases, and the weights, for `Scheme.rounded`.
    """
    result = copied(model)
    graph = Graph(result)
    rounded: dict[str, Rounded] = {}
    for node in graph.convolutions():
        fan_in = int(np.prod(graph.weights[node.input[1]].dims[1:]))
        if node.name in scheme.in_float or fan_in > _MOST_INPUTS or graph.shares_weights(node) or not _is_plain(node):
            continue
        quantized = insert(result, replace(scheme, rounded=rounded))
        inputs = [next(iter(values.values())) for values in run(quantized, [f"{node.input[0]}@dq"], batches)]
        weight, bias = graph.weight(node.input[1]), graph.bias(node)
        patches = _sampled_patches(inputs, node, weight.shape[2:])
        input_scale = float(Graph(quantized).weight(f"{node.input[0]}@scale"))
        scale = weight_scale(weight, scheme.weight_max, bias, input_scale)
        values, new_bias = _round_groups(weight, bias, patches, scale, scheme.weight_max)
        rounded[node.name] = Rounded(values, scale)
        graph.set_bias(node, new_bias)
    return result, rounded


def round_with_inputs(
    weight: Double, bias: Double, inputs: Double, scale: Float, weight_max: int
) -> tuple[npt.NDArray[np.int8], Double]:
    """Round the weights of linear outputs.

    Args:
        weight: (O, K).
        bias: (O,).
        inputs: (n, K), what the weights are multiplied by.
        scale: (O,), the distance between the values that a weight can have.
        weight_max: Largest quantized weight.

    Returns:
        (O, K) int8, in units of the scale, and the bias that goes with them.
    """
    count, size = inputs.shape
    extended = np.column_stack([inputs, np.ones(count)])
    moments = extended.T @ extended / count
    moments[np.diag_indices(size + 1)] += _DAMPING * np.mean(np.diag(moments)[:size]) + 1e-9
    follow = np.linalg.cholesky(np.linalg.inv(moments)).T
    left = np.column_stack([weight, bias])
    values = np.zeros((len(weight), size), np.int8)
    for index in range(size):
        whole = np.clip(np.rint(left[:, index] / scale), -weight_max, weight_max)
        values[:, index] = whole
        error = (left[:, index] - whole * scale) / follow[index, index]
        left[:, index + 1 :] -= np.outer(error, follow[index, index + 1 :])
    return values, left[:, size]


def _round_groups(
    weight: Float, bias: Float, patches: Float, scale: Float, weight_max: int
) -> tuple[npt.NDArray[np.int8], Float]:
    """Each group of a convolution reads channels of its own."""
    per_group = weight.shape[1]
    groups = patches.shape[1] // per_group
    values, biases = [], []
    for index, outputs in enumerate(np.split(np.arange(len(weight)), groups)):
        inputs = patches[:, index * per_group : (index + 1) * per_group].reshape(len(patches), -1).astype(np.float64)
        flat = weight[outputs].reshape(len(outputs), -1).astype(np.float64)
        whole, new_bias = round_with_inputs(flat, bias[outputs].astype(np.float64), inputs, scale[outputs], weight_max)
        values.append(whole)
        biases.append(new_bias)
    return np.concatenate(values).reshape(weight.shape), np.concatenate(biases).astype(np.float32)


def _is_plain(node: onnx.NodeProto) -> bool:
    return bool(attribute(node, "auto_pad", b"NOTSET") == b"NOTSET")


def _sampled_patches(inputs: Sequence[Float], node: onnx.NodeProto, kernel: tuple[int, ...]) -> Float:
    """(n, C, h * w): what a convolution reads for some of its outputs, the same ones in every run."""
    strides, dilations = attribute(node, "strides", [1, 1]), attribute(node, "dilations", [1, 1])
    top, left, bottom, right = attribute(node, "pads", [0, 0, 0, 0])
    random = np.random.default_rng(0)
    found = []
    for batch in inputs:
        padded = np.pad(batch, ((0, 0), (0, 0), (top, bottom), (left, right)))
        spans = [dilation * (side - 1) + 1 for side, dilation in zip(kernel, dilations, strict=True)]
        rows, columns = (
            (side - span) // stride + 1 for side, span, stride in zip(padded.shape[2:], spans, strides, strict=True)
        )
        outputs = len(batch) * rows * columns
        chosen = random.choice(outputs, min(_PIXELS, outputs), replace=False)
        image, row, column = np.unravel_index(chosen, (len(batch), rows, columns))
        taps = [
            padded[image, :, row * strides[0] + y * dilations[0], column * strides[1] + x * dilations[1]]
            for y in range(kernel[0])
            for x in range(kernel[1])
        ]
        found.append(np.stack(taps, axis=-1))
    return np.concatenate(found)
