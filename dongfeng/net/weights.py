"""Weights into a net: matched by layer name as Caffe does, with Caffe's fillers for what the file lacks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from os import PathLike, fspath

import numpy as np

from dongfeng.caffe import caffemodel
from dongfeng.caffe.caffemodel import LayerBlobs
from dongfeng.caffe.message import Message
from dongfeng.errors import DongfengWarning, WeightsMismatch
from dongfeng.layers.base import LayerType
from dongfeng.layers.infer import infer_shapes, layer_types
from dongfeng.layers.layer import Array, Layer, Shape, frozen, show
from dongfeng.net.graph import Net

_LISTED = 8  # names an error spells out before it counts the rest


def load_caffemodel(net: Net, path: str | PathLike[str], *, require_all: bool = False) -> Net:
    """The net with the weights of a caffemodel.

    Args:
        net: A net of known structure.
        path: The weight file.
        require_all: Refuse a file that lacks a learnable layer, even where Caffe has a constant for it.

    Raises:
        CaffemodelError: the file cannot be read.
        WeightsMismatch: the weights are not of this net; all differences are listed.

    Warns:
        DongfengWarning: layers are missing in the file and keep a constant or bilinear filler.

    Source: Caffe, Net::CopyTrainedLayersFrom.
    """
    return assign_weights(net, caffemodel.read(path), source=fspath(path), require_all=require_all)


def assign_weights(net: Net, records: Iterable[LayerBlobs], *, source: str, require_all: bool = False) -> Net:
    """The net with the weights of `records`, as `load_caffemodel` does for a file."""
    by_name = {record.name: record for record in records if record.blobs}  # the last entry of a name wins
    learnable = [(layer.name, shapes) for layer, _, shapes in _expected(net) if shapes]
    if learnable and not any(name in by_name for name, _ in learnable):
        raise WeightsMismatch(
            f"{source}: no layer of this file is in the net {net.name!r}: the file has {_some(by_name)}; "
            f"the net learns {_some(name for name, _ in learnable)}"
        )
    return _assigned(net, by_name, source, require_all)


def fill(net: Net) -> Net:
    """The net with Caffe's fillers wherever a learnable layer has no weights; the same net if none is missing.

    Raises:
        WeightsMismatch: a layer has a random filler, so that only a weight file can tell its values; or its weights
            are for another input size.

    Warns:
        DongfengWarning: naming the layers that got a constant or bilinear filler.
    """
    expected = _expected(net)
    for layer, _, shapes in expected:
        _check_size(layer, shapes)
    if all(layer.blobs or not shapes for layer, _, shapes in expected):
        return net
    loaded = {
        layer.name: LayerBlobs(layer.name, layer.type, (), (), layer.blobs, (False,) * len(layer.blobs))
        for layer in net.layers
        if layer.blobs
    }
    return _assigned(net, loaded, net.source or f"net {net.name!r}", False)


def _check_size(layer: Layer, shapes: Sequence[Shape]) -> None:
    """Refuse weights of other shapes than the layer's bottoms ask for.

    Raises:
        WeightsMismatch: as an inner product at another input size than its weights'.
    """
    for index, (blob, shape) in enumerate(zip(layer.blobs, shapes, strict=False)):
        if len(blob.shape) != len(shape) or any(
            b is not None and a != b for a, b in zip(blob.shape, shape, strict=True)
        ):
            raise WeightsMismatch(
                f"{layer.where}: its weights (blob {index}) are {show(blob.shape)}, but at this input size they would "
                f"have to be {show(shape)}; use the size they were trained for"
            )


def _expected(net: Net) -> list[tuple[Layer, LayerType, list[Shape]]]:
    """Every layer with its type and the shapes of its weight blobs."""
    shapes = infer_shapes(net.inputs, net.layers)
    return [
        (kind.layer, kind, kind.blob_shapes([shapes[bottom] for bottom in kind.layer.bottoms]))
        for kind in layer_types(net.layers)
    ]


def _assigned(net: Net, by_name: dict[str, LayerBlobs], source: str, require_all: bool) -> Net:
    problems: list[str] = []
    found: list[list[Array | None]] = []
    shared: dict[str, Array] = {}
    seen: set[str] = set()
    expected = _expected(net)
    for layer, _, shapes in expected:
        # Of two layers with one name only the first gets weights.
        record = by_name.get(layer.name) if shapes and layer.name not in seen else None
        seen.add(layer.name)
        blobs: list[Array | None] = _matching(record, shapes, problems) if record else [None] * len(shapes)
        for key, blob in zip(_share_names(layer, len(shapes)), blobs, strict=True):
            if key and blob is not None:
                shared[key] = blob  # the last entry wins for all
        found.append(blobs)
    layers, filled, random = [], [], []
    for (layer, kind, shapes), blobs in zip(expected, found, strict=True):
        keys = _share_names(layer, len(shapes))
        values = [shared.get(key, blob) if key else blob for key, blob in zip(keys, blobs, strict=True)]
        if any(value is None for value in values) and not problems:
            filled.append(layer.name)
            try:
                values = _with_fillers(values, shapes, kind.fillers())
            except WeightsMismatch as exc:
                random.append(f"{layer.where}: {exc}")
        layers.append(replace(layer, blobs=tuple(value for value in values if value is not None)))
    if random or (require_all and filled):
        problems += random or [f"no weights for {_some(filled)}"]
    if problems:
        raise WeightsMismatch(f"{source}: {'; '.join(problems[:_LISTED])}{_rest(len(problems) - _LISTED)}")
    if filled:
        warnings.warn(
            f"{source}: no weights for {_some(filled)}; Caffe's constant or bilinear fillers stand in",
            DongfengWarning,
            stacklevel=2,
        )
    return net.with_layers(layers)


def _matching(record: LayerBlobs, shapes: Sequence[Shape], problems: list[str]) -> list[Array | None]:
    """The blobs of a file's entry in the shapes a layer wants; differences are added to `problems`."""
    if len(record.blobs) != len(shapes):
        problems.append(f'layer "{record.name}": the file has {len(record.blobs)} blobs, the net wants {len(shapes)}')
        return [None] * len(shapes)
    matched: list[Array | None] = []
    for index, (blob, legacy, shape) in enumerate(zip(record.blobs, record.legacy, shapes, strict=True)):
        got = blob.shape
        if legacy:  # four axes whatever the layer: leading ones are padding
            surplus = len(got) - len(shape)
            if surplus > 0 and set(got[:surplus]) == {1}:
                got = got[surplus:]
        if len(got) == len(shape) and all(b is None or a == b for a, b in zip(got, shape, strict=True)):
            matched.append(frozen(blob.reshape(got)))
        else:
            problems.append(f'layer "{record.name}": blob {index} is {show(got)}, the net wants {show(shape)}')
            matched.append(None)
    return matched


def _share_names(layer: Layer, n_blobs: int) -> list[str]:
    """Names under which the layer shares its blobs with others; empty where it does not."""
    names = [spec.name for spec in layer.params.param[:n_blobs]]
    return names + [""] * (n_blobs - len(names))


def _with_fillers(
    values: Sequence[Array | None], shapes: Sequence[Shape], fillers: Sequence[Message]
) -> list[Array | None]:
    result: list[Array | None] = []
    for value, shape, filler in zip(values, shapes, fillers, strict=True):
        if value is not None:
            result.append(value)
            continue
        if filler.type not in ("constant", "bilinear"):
            raise WeightsMismatch(f'has no weights, and its filler "{filler.type}" is random')
        dims = tuple(dim for dim in shape if dim is not None)
        if len(dims) != len(shape):
            raise WeightsMismatch(f"has no weights, and their shape {show(shape)} depends on the dynamic input size")
        result.append(frozen(bilinear(dims) if filler.type == "bilinear" else np.full(dims, filler.value, np.float32)))
    return result


def bilinear(shape: tuple[int, ...]) -> Array:
    """Caffe's bilinear filler: one interpolation kernel for every pair of channels.

    Raises:
        WeightsMismatch: the kernel is not square.

    Source: Caffe, BilinearFiller, in single precision step by step.
    """
    if len(shape) != 4 or shape[2] != shape[3]:
        raise WeightsMismatch(f"the bilinear filler needs a square kernel, got {show(shape)}")
    factor = np.float32(math.ceil(shape[3] / 2))
    center = np.float32((shape[3] - 1) / (2.0 * float(factor)))
    taps = np.float32(1) - np.abs(np.arange(shape[3], dtype=np.float32) / factor - center)
    return np.broadcast_to(np.multiply.outer(taps, taps), shape).copy()


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    if not listed:
        return "no weights at all"
    return ", ".join(f'"{name}"' for name in listed[:_LISTED]) + _rest(len(listed) - _LISTED)


def _rest(count: int) -> str:
    return f" and {count} more" if count > 0 else ""
