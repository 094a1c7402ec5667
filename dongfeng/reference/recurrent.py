"""Recurrent layers, unrolled: LSTM and RNN."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dongfeng.errors import ShapeError
from dongfeng.net.graph import Layer
from dongfeng.reference.axes import show
from dongfeng.reference.neurons import sigmoid
from dongfeng.reference.registry import AnyArray, Array, forward_of
from dongfeng.reference.weights import weights


@forward_of("LSTM", bottoms=(2, 5), tops=(1, 3))
def lstm(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Long short-term memory; gates input, forget, output, candidate; a cont of 0 forgets everything."""
    n_hidden = layer.params.recurrent_param.num_output
    inputs, keep, static, (hidden, cell) = _inputs(layer, bottoms, n_states=2)
    driven, from_hidden = _driven(layer, inputs, static, [(4 * n_hidden, n_hidden)])
    outputs = []
    for step, kept in zip(driven, keep, strict=True):
        gates = step + (kept * hidden) @ from_hidden.T
        enter, forget, leave, candidate = np.split(gates, 4, 1)
        cell = kept * sigmoid(forget) * cell + sigmoid(enter) * np.tanh(candidate)
        hidden = sigmoid(leave) * np.tanh(cell)
        outputs.append(hidden)
    return _tops(layer, outputs, [hidden, cell])


@forward_of("RNN", bottoms=(2, 4), tops=(1, 2))
def rnn(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Hidden state tanh(W_hh h + W_xh x + b_h), output tanh(W_ho h + b_o); a cont of 0 forgets everything."""
    n_hidden = layer.params.recurrent_param.num_output
    inputs, keep, static, (hidden,) = _inputs(layer, bottoms, n_states=1)
    square = (n_hidden, n_hidden)
    driven, from_hidden, to_output, output_bias = _driven(layer, inputs, static, [square, square, (n_hidden,)])
    outputs = []
    for step, kept in zip(driven, keep, strict=True):
        hidden = np.tanh(step + (kept * hidden) @ from_hidden.T)
        outputs.append(np.tanh(hidden @ to_output.T + output_bias))
    return _tops(layer, outputs, [hidden])


def _driven(
    layer: Layer, inputs: AnyArray, static: AnyArray | None, others: Sequence[tuple[int, ...]]
) -> list[AnyArray]:
    """Return the gates as far as the inputs alone decide them, (T, N, gates * H), and the blobs of the other shapes."""
    param, rows = layer.params.recurrent_param, others[0][0]
    from_static = [] if static is None else [(rows, static.shape[1])]
    shapes = [(rows, inputs.shape[2]), (rows,), *from_static, *others]
    fillers = [param.weight_filler if len(shape) == 2 else param.bias_filler for shape in shapes]
    weight, bias, *blobs = (blob.astype(np.float64) for blob in weights(layer, shapes, fillers))
    driven = inputs @ weight.T + bias
    if static is not None:
        driven += static @ blobs.pop(0).T
    return [driven, *blobs]


def _inputs(
    layer: Layer, bottoms: Sequence[Array], n_states: int
) -> tuple[AnyArray, AnyArray, AnyArray | None, list[AnyArray]]:
    """Return inputs (T, N, D), continuation marks (T, N, 1), static input (N, D) if any, and initial states (N, H)."""
    param = layer.params.recurrent_param
    n_exposed = n_states if param.expose_hidden else 0
    has_static = len(bottoms) == 3 + n_exposed
    if param.num_output < 1 or len(bottoms) != 2 + has_static + n_exposed or len(layer.tops) != 1 + n_exposed:
        raise ShapeError(
            f"{len(bottoms)} bottoms and {len(layer.tops)} tops with expose_hidden: "
            f"{str(param.expose_hidden).lower()} and num_output: {param.num_output}"
        )
    x, cont = bottoms[:2]
    if x.ndim < 2 or cont.shape != x.shape[:2]:
        raise ShapeError(f"inputs of {show(x.shape)} with continuation marks of {show(cont.shape)}; expected T x N")
    steps, streams = cont.shape
    static = bottoms[2].reshape(streams, -1).astype(np.float64) if has_static else None
    states = [np.zeros((streams, param.num_output)) for _ in range(n_states)]
    if n_exposed:
        states = [bottom.reshape(streams, param.num_output).astype(np.float64) for bottom in bottoms[-n_states:]]
    inputs = x.reshape(steps, streams, math.prod(x.shape[2:])).astype(np.float64)
    return inputs, cont[..., None].astype(np.float64), static, states


def _tops(layer: Layer, outputs: Sequence[AnyArray], states: Sequence[AnyArray]) -> list[AnyArray]:
    """Return outputs (T, N, H) and, where they are exposed, the last states (1, N, H)."""
    exposed = [state[None] for state in states] if layer.params.recurrent_param.expose_hidden else []
    return [np.stack(outputs), *exposed]
