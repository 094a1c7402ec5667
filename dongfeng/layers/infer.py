"""Shapes and cost of a list of layers."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from dongfeng.errors import ShapeError, UnsupportedLayer
from dongfeng.layers.base import LayerType, layer_type
from dongfeng.layers.layer import Layer, Shape

FLOAT32_BYTES = 4


class Wired(Protocol):
    """A layer, or what was made of one."""

    @property
    def bottoms(self) -> tuple[str, ...]:
        """Blobs read."""

    @property
    def tops(self) -> tuple[str, ...]:
        """Blobs made."""


_Part = TypeVar("_Part", bound=Wired)


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs at batch 1 in fp32.

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
    """The `LayerType` of every layer.

    Raises:
        UnsupportedLayer: naming all layers that are not supported, at once.
        ShapeError: a layer's parameters contradict each other.
    """
    found, problems = [], []
    for layer in layers:
        try:
            found.append(layer_type(layer))
        except UnsupportedLayer as exc:
            problems += exc.problems
    if problems:
        raise UnsupportedLayer(problems)
    return found


def needed_layers(layers: Sequence[_Part], wanted: Iterable[str]) -> list[_Part]:
    """The layers that the wanted blobs depend on, in order."""
    needed = set(wanted)
    kept = []
    for layer in reversed(layers):
        if needed.intersection(layer.tops):
            kept.append(layer)
            needed.update(layer.bottoms)
    return kept[::-1]


def output_shapes(kind: LayerType, bottoms: Sequence[Shape]) -> list[Shape]:
    """Shapes of a layer's tops; an error says which layer it is about."""
    try:
        return kind.output_shapes(bottoms)
    except ShapeError as exc:
        raise ShapeError(f"{kind.layer.where}: {exc}") from exc


def infer_shapes(
    inputs: Mapping[str, Shape], layers: Sequence[Layer], *, open_sizes: Collection[str] = ()
) -> dict[str, Shape]:
    """Shape of every blob, None where a dimension is dynamic.

    Args:
        inputs: Shape of every input blob.
        layers: Layers in order.
        open_sizes: Blobs whose height and width are open whatever their layer says.

    Raises:
        UnsupportedLayer: naming all layers that are not supported.
        ShapeError: blobs do not fit together; the message names the layer and its line.
    """
    shapes = dict(inputs)
    for kind in layer_types(layers):
        tops = output_shapes(kind, [shapes[bottom] for bottom in kind.layer.bottoms])
        for top, shape in zip(kind.layer.tops, tops, strict=True):
            shapes[top] = (*shape[:2], None, None) if top in open_sizes else shape
    return shapes


def blob_shapes(inputs: Mapping[str, Shape], layers: Sequence[Layer]) -> dict[str, list[Shape]]:
    """Layer name -> shapes of its weight blobs, for every layer that has any."""
    shapes = infer_shapes(inputs, layers)
    expected: dict[str, list[Shape]] = {}
    for kind in layer_types(layers):
        blobs = kind.blob_shapes([shapes[bottom] for bottom in kind.layer.bottoms])
        if blobs:
            expected.setdefault(kind.layer.name, blobs)
    return expected


def costs(inputs: Mapping[str, Shape], layers: Sequence[Layer]) -> list[LayerCost]:
    """Cost of every layer; all dimensions of `inputs` must be known."""
    shapes = {blob: _known(shape) for blob, shape in infer_shapes(inputs, layers).items()}
    rows = []
    for kind in layer_types(layers):
        layer = kind.layer
        bottoms = [shapes[bottom] for bottom in layer.bottoms]
        tops = [shapes[top] for top in layer.tops]
        parameters = sum(math.prod(_known(blob)) for blob in kind.blob_shapes(bottoms))
        read = sum(math.prod(shape) for shape in bottoms) + parameters
        written = sum(math.prod(shape) for shape in tops)
        macs = kind.macs(bottoms, tops)
        rows.append(LayerCost(layer.name, layer.type, macs, parameters, FLOAT32_BYTES * read, FLOAT32_BYTES * written))
    return rows


def _known(shape: Shape) -> tuple[int, ...]:
    return tuple(1 if dim is None else dim for dim in shape)  # rows whose number only the data tells count as one
