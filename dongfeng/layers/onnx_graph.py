"""`OnnxGraph`, which collects the nodes and constants that layers emit, for one opset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dongfeng.errors import UnsupportedLayer
from dongfeng.layers.layer import Shape, show

if TYPE_CHECKING:
    import onnx


FLOAT, INT64 = 1, 7  # of onnx.TensorProto, which is not imported just to read a net


class OnnxGraph:
    """An ONNX graph under construction.

    Blobs keep their Caffe names. Values between the nodes of one layer get names that collide with no blob. Nodes and
    constants go straight into `model`, so that the weights are in memory once.

    Args:
        opset: ONNX opset the nodes must be valid in.
        shapes: Shape of every blob of the net; None where a dimension is only known when the model runs.
        reserved: Names that new values must not take.
    """

    def __init__(self, opset: int, shapes: Mapping[str, Shape], reserved: Iterable[str] = ()) -> None:
        from onnx import ModelProto

        self.opset = opset
        self.shapes = shapes
        self.model: onnx.ModelProto = ModelProto()
        self.integer_blobs: set[str] = set()
        self.scope = ""
        self._taken = set(reserved) | set(shapes)
        self.size_of: dict[str, str] = {}  # top of an Interp -> blob whose height and width it takes
        self._shape_values: dict[str, str] = {}
        self._floats: dict[str, str] = {}
        self._small_constants: dict[tuple[Any, ...], str] = {}
        self._weights: dict[tuple[str, int], tuple[str, npt.NDArray[Any]]] = {}

    def node(self, op: str, inputs: Sequence[str], outputs: Sequence[str] | None = None, **attrs: Any) -> str:
        """Add a node and return the name of its first output; outputs without a name get one."""
        from onnx import helper

        sources = [self._as_float(value) if value in self.integer_blobs else value for value in inputs]
        names = list(outputs) if outputs is not None else [self.fresh(op)]
        self.model.graph.node.append(helper.make_node(op, sources, names, name=self.fresh(f"{op}_node"), **attrs))
        return names[0]

    def _as_float(self, blob: str) -> str:
        """Cast an integer result, once, for a layer that reads it: Caffe's blobs are all float."""
        from onnx import helper

        if blob not in self._floats:
            self._floats[blob] = self.fresh(f"{blob}_float")
            self.model.graph.node.append(helper.make_node("Cast", [blob], [self._floats[blob]], to=FLOAT))
        return self._floats[blob]

    def fresh(self, hint: str) -> str:
        """Return an unused value name that begins with the current layer's."""
        base = f"{self.scope}/{hint}" if self.scope else hint
        name, count = base, 1
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name

    def weight(self, array: npt.NDArray[Any], hint: str) -> str:
        """Add a constant of any size named after the current layer; the same array is stored once."""
        key = (hint, id(array))
        if key not in self._weights:
            # The array is kept so that its id is not used again.
            self._weights[key] = (self._initializer(array, hint), array)
        return self._weights[key][0]

    def ints(self, values: Iterable[int]) -> str:
        """Add an int64 vector; equal ones are shared."""
        return self._constant(np.asarray(list(values), dtype=np.int64))

    def floats(self, values: float | Iterable[float]) -> str:
        """Add a float32 scalar or vector; equal ones are shared."""
        return self._constant(np.asarray(values, dtype=np.float32))

    def _constant(self, array: npt.NDArray[Any]) -> str:
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._small_constants:
            scope, self.scope = self.scope, ""
            self._small_constants[key] = self._initializer(array, "constant")
            self.scope = scope
        return self._small_constants[key]

    def _initializer(self, array: npt.NDArray[Any], hint: str) -> str:
        from onnx import numpy_helper

        name = self.fresh(hint)
        self.model.graph.initializer.append(
            numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        )
        return name

    # ---- operators whose form changed between opsets --------------------------------------------------------------

    def unsqueeze(self, value: str, axes: Sequence[int]) -> str:
        """Add an Unsqueeze, whose axes are an input from opset 13 on."""
        if self.opset >= 13:
            return self.node("Unsqueeze", [value, self.ints(axes)])
        return self.node("Unsqueeze", [value], axes=list(axes))

    def split(self, value: str, sizes: Sequence[int], axis: int, outputs: Sequence[str]) -> None:
        """Add a Split, whose sizes are an input from opset 13 on."""
        if self.opset >= 13:
            self.node("Split", [value, self.ints(sizes)], outputs, axis=axis)
        else:
            self.node("Split", [value], outputs, axis=axis, split=list(sizes))

    def reduce(
        self, op: str, value: str, axes: Sequence[int], *, keepdims: bool, outputs: Sequence[str] | None = None
    ) -> str:
        """Add a reduction such as ReduceMean, whose axes are an input from opset 18 on, for ReduceSum from 13."""
        if self.opset >= (13 if op == "ReduceSum" else 18):
            return self.node(op, [value, self.ints(axes)], outputs, keepdims=int(keepdims))
        return self.node(op, [value], outputs, axes=list(axes), keepdims=int(keepdims))

    def slice(self, value: str, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int]) -> str:
        """Cut a value to the part between `starts` and `ends` along `axes`."""
        return self.node("Slice", [value, self.ints(starts), self.ints(ends), self.ints(axes)])

    def reshape(
        self, value: str, shape: Sequence[int | None], outputs: Sequence[str] | None = None, *, like: str | None = None
    ) -> str:
        """Add a Reshape; all dynamic dimensions but the last are those of the blob `like` at the same axes."""
        dynamic_axes = [axis for axis, dim in enumerate(shape) if dim is None]
        if len(dynamic_axes) <= 1:
            return self.node("Reshape", [value, self.ints(-1 if dim is None else dim for dim in shape)], outputs)
        parts = [
            self.dims(like or value, [axis]) if axis in dynamic_axes[:-1] else self.ints([-1 if dim is None else dim])
            for axis, dim in enumerate(shape)
        ]
        return self.node("Reshape", [value, self.node("Concat", parts, axis=0)], outputs)

    def dims(self, blob: str, axes: Sequence[int]) -> str:
        """Return dimensions of a blob as an int64 vector, read when the model runs where they are dynamic."""
        shape = self.shapes.get(blob)
        known = [None if shape is None else shape[axis] for axis in axes]
        if None not in known:
            return self.ints(dim for dim in known if dim is not None)
        if blob not in self._shape_values:
            self._shape_values[blob] = self.node("Shape", [blob])
        return self.node("Gather", [self._shape_values[blob], self.ints(axes)], axis=0)

    def static(self, blob: str) -> tuple[int, ...]:
        """Return the shape of a blob, all of whose dimensions must be known.

        Raises:
            UnsupportedLayer: one is dynamic.
        """
        dims = tuple(dim for dim in self.shapes[blob] if dim is not None)
        if len(dims) != len(self.shapes[blob]):
            raise UnsupportedLayer([f'needs the size of "{blob}" ({show(self.shapes[blob])}), so it cannot be dynamic'])
        return dims

    def top_k(self, value: str, k: str, axis: int, top: str | None = None) -> tuple[str, str]:
        """Add a TopK of `k` (an int64 vector); return the values, the largest first, and their indices."""
        values, indices = top or self.fresh("TopK"), self.fresh("TopK_indices")
        self.node("TopK", [value, k], [values, indices], axis=axis, largest=1, sorted=1)
        return values, indices

    def pad(self, value: str, pads: Sequence[int]) -> str:
        """Add zeros around height and width: above, left, below, right."""
        return self.node("Pad", [value, self.ints([0, 0, *pads[:2], 0, 0, *pads[2:]])])

    def reverse(self, value: str, axis: int) -> str:
        """Reverse one axis of a value."""
        lowest = np.iinfo(np.int64).min + 1
        return self.node("Slice", [value, self.ints([-1]), self.ints([lowest]), self.ints([axis]), self.ints([-1])])
