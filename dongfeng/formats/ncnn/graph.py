"""From the layers of an ncnn file to a `Net`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dongfeng.caffe.message import message
from dongfeng.errors import ConversionError, Problems, PrototxtError, ShapeError, UnsupportedLayer
from dongfeng.formats.ncnn.layers import CONVERTERS
from dongfeng.formats.ncnn.param import NcnnLayer
from dongfeng.formats.ncnn.parts import Bottoms, DynamicSize, Part
from dongfeng.layers.base import layer_type
from dongfeng.layers.infer import output_shapes
from dongfeng.layers.layer import Layer, Shape
from dongfeng.net.graph import Net

_UNKNOWN: Shape = (1, None, None, None)  # of a blob behind a layer with a problem
_CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise")
_ADAPTIVE = 7  # parameter of Pooling: the result keeps three axes


def build_net(layers: Sequence[NcnnLayer], *, name: str, source: str) -> Net:
    """Build a `Net` that computes what ncnn computes, without weights; blobs keep their names.

    ncnn's `Split` layers vanish: a `Net`'s blob may have several readers.

    Raises:
        UnsupportedLayer: naming all layers and parameters that Caffe's layers cannot express.
        ConversionError: the file contradicts itself.
        ShapeError: blobs do not fit together.
    """
    _check_wiring(layers, source)
    unknown = [layer for layer in layers if layer.type not in CONVERTERS and layer.type != "Input"]
    Problems(f"{_where(layer, source)}: unsupported layer type" for layer in unknown).refuse()
    graph = _Graph(source, _channels_by_reader(layers))
    for layer in without_splits(layers):
        graph.add(layer)
    graph.problems.refuse()
    return Net.from_inplace(name, graph.inputs, graph.layers, source=source)


def without_splits(layers: Sequence[NcnnLayer]) -> list[NcnnLayer]:
    """Remove each Split, whose tops' readers then read its bottom; one with a top that nobody reads stays."""
    read = {bottom for layer in layers for bottom in layer.bottoms}
    origin: dict[str, str] = {}
    kept = []
    for layer in layers:
        bottoms = tuple(origin.get(bottom, bottom) for bottom in layer.bottoms)
        if layer.type == "Split" and set(layer.tops) <= read:
            origin.update(dict.fromkeys(layer.tops, bottoms[0]))
        else:
            kept.append(replace(layer, bottoms=bottoms))
    return kept


@dataclass
class _Graph:
    """The net under construction, in Caffe's in-place form."""

    source: str
    channels: Mapping[str, int]  # of the blobs that convolutions read
    inputs: dict[str, Shape] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    vectors: set[str] = field(default_factory=set)  # blobs with one axis in ncnn and four here
    tainted: set[str] = field(default_factory=set)  # blobs that depend on a layer with a problem
    problems: Problems = field(default_factory=Problems)

    def add(self, layer: NcnnLayer) -> None:
        """Convert one layer; anything that Caffe cannot express is added to `problems`."""
        where = _where(layer, self.source)
        try:
            if layer.type == "Input":
                self._add_input(layer)
            else:
                self._add_parts(layer, CONVERTERS[layer.type](layer.params, self._bottoms(layer)))
            unread = ", ".join(f"{number}={value}" for number, value in layer.params.unread().items())
            if unread:
                raise UnsupportedLayer([f"parameter {unread} has no counterpart in Caffe"])
        except UnsupportedLayer as exc:
            is_consequence = isinstance(exc, DynamicSize) and self.tainted.intersection(layer.bottoms)
            self._skip(layer, [] if is_consequence else [f"{where}: {problem}" for problem in exc.problems])
        except ShapeError:
            if not self.tainted.intersection(layer.bottoms):
                raise
            self._skip(layer, [])
        except (ConversionError, PrototxtError) as exc:  # PrototxtError: a number that no field of Caffe's takes
            raise ConversionError(f"{where}: {exc}") from exc

    def _skip(self, layer: NcnnLayer, problems: list[str]) -> None:
        """Continue with unknown shapes, so that one problem does not hide the others."""
        self.problems += problems
        self.tainted.update(layer.tops)
        self.shapes.update(dict.fromkeys(layer.tops, _UNKNOWN))

    def _add_input(self, layer: NcnnLayer) -> None:
        (top,) = layer.tops
        w, h, c = (layer.params.integer(number, 0) for number in (0, 1, 2))
        if min(w, h, c) < 0:
            raise UnsupportedLayer([f"w {w}, h {h}, c {c}"])
        shape: Shape = (1, c or self.channels.get(top), h or None, w or None)
        if not c and (w or h):
            shape = (1, h, w) if h else (1, w)
        self.inputs[top] = self.shapes[top] = shape

    def _bottoms(self, layer: NcnnLayer) -> Bottoms:
        shapes = [self.shapes[bottom] for bottom in layer.bottoms]
        rank = 1 if self.vectors.issuperset(layer.bottoms) else len(shapes[0]) - 1
        return Bottoms(shapes, rank, len(layer.tops))

    def _add_parts(self, layer: NcnnLayer, parts: Sequence[Part]) -> None:
        converted = [
            Layer(
                name=layer.name + part.suffix,
                type=part.type,
                bottoms=layer.tops if index else layer.bottoms,
                tops=layer.tops,
                params=message("LayerParameter", **part.params),
                line=layer.line,
                file=self.source,
            )
            for index, part in enumerate(parts)
        ]
        tops = output_shapes(layer_type(converted[0]), [self.shapes[bottom] for bottom in layer.bottoms])
        self.layers += converted
        self.shapes.update(zip(layer.tops, tops, strict=True))
        is_pooled = converted[0].params.pooling_param.global_pooling and not layer.params.integer(_ADAPTIVE, 0)
        if is_pooled or (self.vectors.issuperset(layer.bottoms) and layer.type != "InnerProduct"):
            self.vectors.update(layer.tops)
        if self.tainted.intersection(layer.bottoms):
            self.tainted.update(layer.tops)


def _channels_by_reader(layers: Sequence[NcnnLayer]) -> dict[str, int]:
    """Derive the channels of each blob that a convolution reads, from the number of its weights."""
    channels: dict[str, int] = {}
    for layer in layers:
        if layer.type not in _CONVOLUTIONS:
            continue
        p = layer.params
        group = p.integer(7, 1) if layer.type == "ConvolutionDepthWise" else 1
        per_channel = p.integer(0, 0) * math.prod(p.sides(11, 1, 0))
        if per_channel > 0 and group > 0 and p.integer(6, 0) * group % per_channel == 0:
            channels.setdefault(layer.bottoms[0], p.integer(6, 0) * group // per_channel)
    return channels


def _check_wiring(layers: Sequence[NcnnLayer], source: str) -> None:
    """Check that every bottom has an earlier producer, and that no blob has two."""
    produced: set[str] = set()
    for layer in layers:
        where = _where(layer, source)
        if layer.type == "Input":
            if layer.bottoms or len(layer.tops) != 1:
                raise ConversionError(f"{where}: expected no bottom and one top")
        elif not layer.bottoms or not layer.tops:
            raise ConversionError(f"{where}: expected a bottom and a top")
        for bottom in layer.bottoms:
            if bottom not in produced:
                raise ConversionError(f'{where}: bottom "{bottom}" is made by no earlier layer')
        for top in layer.tops:
            if top in produced:
                raise ConversionError(f'{where}: top "{top}" is made by two layers')
            produced.add(top)


def _where(layer: NcnnLayer, source: str) -> str:
    return Layer(layer.name, layer.type, layer.bottoms, layer.tops, line=layer.line, file=source).where
