"""LSTM and RNN, unrolled over their (fixed) number of time steps."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError, UnsupportedLayer
from dongfeng.layers.base import LayerType, register
from dongfeng.layers.layer import Layer, Shape, show
from dongfeng.layers.onnx_graph import OnnxGraph
from dongfeng.layers.shapes import product


class _Recurrent(LayerType):
    """The base of LSTM and RNN.

    Bottoms are x (T, N, ...) and cont (T, N), which is 0 where a sequence begins; a third is the same at every step.
    """

    params_field: ClassVar[str | None] = "recurrent_param"
    min_bottoms: ClassVar[int] = 2
    max_bottoms: ClassVar[int | None] = 3
    refused: ClassVar[str] = "`expose_hidden`, states as bottoms and tops; dynamic sizes, for the steps are written out"
    gates: ClassVar[int]  # rows of the input weights per hidden value

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.hidden: int = self.param.num_output
        self.has_static = len(layer.bottoms) == 3
        if self.hidden < 1:
            raise ShapeError("num_output must be positive")
        if self.param.expose_hidden:
            raise UnsupportedLayer(["expose_hidden: true, with states as bottoms and tops, is not supported"])

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, cont = bottoms[:2]
        if len(x) < 2 or len(cont) != 2 or cont != x[:2]:
            raise ShapeError(f"expected x (T, N, ...) and cont (T, N), got {show(x)} and {show(cont)}")
        if self.has_static and bottoms[2][:1] != x[1:2]:
            raise ShapeError(f"the third bottom must begin with N = {x[1]}, its shape is {show(bottoms[2])}")
        return [(*x[:2], self.hidden)]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        rows = self.gates * self.hidden
        static = [(rows, product(bottoms[2][1:]))] if self.has_static else []
        return [(rows, product(bottoms[0][2:])), (rows,), *static, (rows, self.hidden)]

    def fillers(self) -> list[Message]:
        weight, bias = self.param.weight_filler, self.param.bias_filler
        return [weight, bias, *([weight] if self.has_static else []), weight]

    def macs(self, bottoms: Sequence[tuple[int, ...]], tops: Sequence[tuple[int, ...]]) -> int:
        matrices = [shape for shape in self.blob_shapes(bottoms) if len(shape) == 2]
        return math.prod(bottoms[0][:2]) * sum(product(shape) or 0 for shape in matrices)

    def emit(self, graph: OnnxGraph) -> None:
        steps, batch = graph.static(self.layer.bottoms[0])[:2]
        given = self._from_input(graph, steps, batch)
        cont = graph.reshape(self.layer.bottoms[1], (steps, batch, 1))
        state: dict[str, str] = {}
        tops = []
        for step in range(steps):
            keep = graph.reshape(graph.slice(cont, [step], [step + 1], [0]), (batch, 1))
            gates = graph.reshape(graph.slice(given, [step], [step + 1], [0]), (batch, -1))
            gates = self._from_state(graph, gates, keep, state.get("h"))
            tops.append(graph.unsqueeze(self.step(graph, gates, keep, state), [0]))
        graph.node("Concat", tops, self.layer.tops, axis=0)

    def _from_input(self, graph: OnnxGraph, steps: int, batch: int) -> str:
        """Compute the input's part of every gate, for all steps at once: (T, N, gates * hidden)."""
        x = graph.reshape(self.layer.bottoms[0], (steps * batch, -1))
        given = graph.node("Gemm", [x, graph.weight(self.blobs[0], "W_x"), graph.weight(self.blobs[1], "b")], transB=1)
        given = graph.reshape(given, (steps, batch, self.gates * self.hidden))
        if self.has_static:
            static = graph.node("Flatten", [self.layer.bottoms[2]], axis=1)
            same = graph.node("Gemm", [static, graph.weight(self.blobs[2], "W_static")], transB=1)
            given = graph.node("Add", [given, same])
        return given

    def _from_state(self, graph: OnnxGraph, gates: str, keep: str, hidden: str | None) -> str:
        """Add the previous hidden state's part to the gates."""
        if hidden is None:  # Caffe begins with zeros
            return gates
        kept = graph.node("Mul", [hidden, keep])
        weight = graph.weight(self.blobs[3 if self.has_static else 2], "W_h")
        return graph.node("Add", [gates, graph.node("Gemm", [kept, weight], transB=1)])

    @abstractmethod
    def step(self, graph: OnnxGraph, gates: str, keep: str, state: dict[str, str]) -> str:
        """Add the nodes of one step and return its output; `state` passes from step to step."""


@register("LSTM")
class LSTM(_Recurrent):
    """Source: Caffe, LSTMLayer and LSTMUnitLayer: gates i, f, o, g; c = cont f c + i g; h = o tanh(c)."""

    gates = 4

    def step(self, graph: OnnxGraph, gates: str, keep: str, state: dict[str, str]) -> str:
        names = [graph.fresh(gate) for gate in ("i", "f", "o", "g")]
        graph.split(gates, [self.hidden] * 4, 1, names)
        i, f, o = (graph.node("Sigmoid", [name]) for name in names[:3])
        cell = graph.node("Mul", [i, graph.node("Tanh", [names[3]])])
        if "c" in state:
            kept = graph.node("Mul", [graph.node("Mul", [keep, f]), state["c"]])
            cell = graph.node("Add", [kept, cell])
        state["c"] = cell
        state["h"] = graph.node("Mul", [o, graph.node("Tanh", [cell])])
        return state["h"]


@register("RNN")
class RNN(_Recurrent):
    """Source: Caffe, RNNLayer: h = tanh(W_hh cont h + W_xh x + b_h); the top is tanh(W_ho h + b_o)."""

    gates = 1

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [*super().blob_shapes(bottoms), (self.hidden, self.hidden), (self.hidden,)]

    def fillers(self) -> list[Message]:
        return [*super().fillers(), self.param.weight_filler, self.param.bias_filler]

    def step(self, graph: OnnxGraph, gates: str, keep: str, state: dict[str, str]) -> str:
        state["h"] = graph.node("Tanh", [gates])
        weights = [graph.weight(self.blobs[-2], "W_o"), graph.weight(self.blobs[-1], "b_o")]
        return graph.node("Tanh", [graph.node("Gemm", [state["h"], *weights], transB=1)])
