"""Shapes and cost of a list of layers."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dongfeng.errors import Problems, ShapeError
from dongfeng.layers.base import LayerType, layer_type
from dongfeng.layers.layer import Layer, Shape, show

FLOAT32_BYTES = 4


@dataclass(frozen=True)
class LayerCost:
    """The cost of one layer at batch 1 in fp32.

    Attributes:
        name: The layer's name.
        type: Caffe's type string.
        macs: Multiply-accumulates of convolutions, deconvolutions and inner products; element-wise work counts as 0.
        parameters: Values in the layer's weight blobs.
        bytes_read: Bottoms and weights.
        bytes_written: Tops.
    """

    name: str
    type: str
    macs: int
    parameters: int
    bytes_read: int
    bytes_written: int


def layer_types(layers: Sequence[Layer]) -> list[LayerType]:
    """Create the `LayerType` of every layer.

    Raises:
        UnsupportedLayer: naming all layers that are not supported, at once.
        ShapeError: a layer's parameters contradict each other.
    """
    found, problems = [], Problems()
    for layer in layers:
        with problems.collected():
            found.append(layer_type(layer))
    problems.refuse()
    return found


def output_shapes(type_: LayerType, bottoms: Sequence[Shape]) -> list[Shape]:
    """Infer the shapes of a layer's tops; an error names the layer."""
    try:
        return type_.output_shapes(bottoms)
    except ShapeError as exc:
        raise ShapeError(f"{type_.layer.where}: {exc}") from exc


def infer_shapes(
    inputs: Mapping[str, Shape], layers: Sequence[Layer], *, dynamic_sizes: Collection[str] = ()
) -> dict[str, Shape]:
    """Infer the shape of every blob, None where a dimension is dynamic.

    Args:
        inputs: Shape of every input blob.
        layers: Layers in order.
        dynamic_sizes: Blobs whose height and width are dynamic even if their layer fixes them.

    Raises:
        UnsupportedLayer: naming all layers that are not supported.
        ShapeError: blobs do not fit together; the message names the layer and its line.
    """
    return _inferred(inputs, layer_types(layers), dynamic_sizes)


def _inferred(
    inputs: Mapping[str, Shape], types: Sequence[LayerType], dynamic_sizes: Collection[str] = ()
) -> dict[str, Shape]:
    shapes = dict(inputs)
    for type_ in types:
        tops = output_shapes(type_, [shapes[bottom] for bottom in type_.layer.bottoms])
        for top, shape in zip(type_.layer.tops, tops, strict=True):
            shapes[top] = (*shape[:2], None, None) if top in dynamic_sizes else shape
    return shapes


@dataclass(frozen=True)
class WeightShapes:
    """The weight blobs that one layer wants.

    Attributes:
        type: The layer's type, which knows the layer and Caffe's fillers.
        shapes: Shape of each blob, in Caffe's order; None where a dimension depends on a dynamic input size.
    """

    type: LayerType
    shapes: tuple[Shape, ...]

    @property
    def layer(self) -> Layer:
        """The layer."""
        return self.type.layer

    def known(self) -> list[tuple[int, ...]]:
        """Return the shapes, all of whose dimensions must be known.

        Raises:
            ShapeError: one depends on a dynamic input size.
        """
        for shape in self.shapes:
            if None in shape:
                raise ShapeError(f"{self.layer.where}: its weights ({show(shape)}) depend on a dynamic input size")
        return [tuple(dim for dim in shape if dim is not None) for shape in self.shapes]


def weight_shapes(inputs: Mapping[str, Shape], layers: Sequence[Layer]) -> list[WeightShapes]:
    """Infer the shapes of every layer's weight blobs; empty for layers that learn nothing."""
    types = layer_types(layers)
    shapes = _inferred(inputs, types)
    return [
        WeightShapes(type_, tuple(type_.blob_shapes([shapes[bottom] for bottom in type_.layer.bottoms])))
        for type_ in types
    ]


def costs(inputs: Mapping[str, Shape], layers: Sequence[Layer]) -> list[LayerCost]:
    """Compute the cost of every layer; all dimensions of `inputs` must be known."""
    types = layer_types(layers)
    shapes = {blob: _known(shape) for blob, shape in _inferred(inputs, types).items()}
    rows = []
    for type_ in types:
        layer = type_.layer
        bottoms = [shapes[bottom] for bottom in layer.bottoms]
        tops = [shapes[top] for top in layer.tops]
        parameters = sum(math.prod(_known(blob)) for blob in type_.blob_shapes(bottoms))
        read = sum(math.prod(shape) for shape in bottoms) + parameters
        written = sum(math.prod(shape) for shape in tops)
        macs = type_.macs(bottoms, tops)
        rows.append(LayerCost(layer.name, layer.type, macs, parameters, FLOAT32_BYTES * read, FLOAT32_BYTES * written))
    return rows


def _known(shape: Shape) -> tuple[int, ...]:
    return tuple(1 if dim is None else dim for dim in shape)  # a number of rows that depends on the data counts as one
