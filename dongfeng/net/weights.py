"""Weights into a net: matched by layer name as Caffe does, with Caffe's fillers for what the file lacks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath

import numpy as np

from dongfeng.caffe import caffemodel
from dongfeng.caffe.caffemodel import LayerBlobs
from dongfeng.caffe.message import Message
from dongfeng.errors import DongfengWarning, WeightsMismatch
from dongfeng.layers.infer import WeightShapes, weight_shapes
from dongfeng.layers.layer import Array, Shape, fits, frozen, show
from dongfeng.net.graph import Net
from dongfeng.net.sharing import BlobPlace, owners
from dongfeng.support.wording import listed

_LISTED = 8  # names an error spells out before it counts the rest


def load_caffemodel(net: Net, path: str | PathLike[str], *, require_all: bool = False) -> Net:
    """Return the net with the weights of a caffemodel.

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
    """Return the net with the weights of `records`, as `load_caffemodel` does for a file."""
    by_name: dict[str, LayerBlobs] = {}
    for record in records:
        if record.blobs:
            by_name.pop(record.name, None)  # the last entry of a name wins, at its own place in the order
            by_name[record.name] = record
    wanted = weight_shapes(net.inputs, net.layers)
    learnable = [one.layer.name for one in wanted if one.shapes]
    if learnable and not any(name in by_name for name in learnable):
        raise WeightsMismatch(
            f"{source}: no layer of this file is in the net {net.name!r}: the file has {_some(by_name)}; "
            f"the net learns {_some(learnable)}"
        )
    return _assigned(net, wanted, by_name, source, require_all)


def fill(net: Net) -> Net:
    """Return the net with Caffe's fillers wherever a learnable layer has no weights; the same net if none is missing.

    Raises:
        WeightsMismatch: a layer has a random filler, so that only a weight file holds its values; or its weights are
            for another input size.

    Warns:
        DongfengWarning: naming the layers that got a constant or bilinear filler.
    """
    wanted = weight_shapes(net.inputs, net.layers)
    for one in wanted:
        for index, (blob, shape) in enumerate(zip(one.layer.blobs, one.shapes, strict=False)):
            if not fits(blob.shape, shape):
                raise WeightsMismatch(
                    f"{one.layer.where}: its weights (blob {index}) are {show(blob.shape)}, but at this input size "
                    f"they would have to be {show(shape)}; use the size they were trained for"
                )
    if all(one.layer.blobs or not one.shapes for one in wanted):
        return net
    loaded = {
        layer.name: LayerBlobs(layer.name, layer.type, (), (), layer.blobs, (False,) * len(layer.blobs))
        for layer in net.layers
        if layer.blobs
    }
    return _assigned(net, wanted, loaded, net.source or f"net {net.name!r}", False)


def in_shape(values: Array, shape: Shape) -> Array:
    """Return the values of a shared blob in the shape that another layer wants.

    Raises:
        WeightsMismatch: there are too many or too few values.
    """
    if fits(values.shape, shape):
        return values
    try:
        return values.reshape([-1 if dim is None else dim for dim in shape])
    except ValueError:
        raise WeightsMismatch(f"a shared blob of {show(values.shape)} does not fit {show(shape)}") from None


def _assigned(
    net: Net, wanted: Sequence[WeightShapes], by_name: Mapping[str, LayerBlobs], source: str, require_all: bool
) -> Net:
    """Return the net with the records' blobs, and with fillers where a blob is in none of them."""
    places = owners(wanted)
    values, problems = _matched(wanted, places, by_name)
    unmatched = [
        one.layer.name for one, owned in zip(wanted, places, strict=True) if any(place not in values for place in owned)
    ]
    if unmatched and not problems:
        fillers, problems = _fillers(wanted, places, values)
        values.update(fillers)
        if require_all and not problems:
            problems = [f"no weights for {_some(unmatched)}"]
    if problems:
        raise WeightsMismatch(f"{source}: {listed(problems, _LISTED, separator='; ')}")
    if unmatched:
        warnings.warn(
            f"{source}: no weights for {_some(unmatched)}; Caffe's constant or bilinear fillers stand in",
            DongfengWarning,
            stacklevel=2,
        )
    return net.with_layers(
        replace(
            one.layer,
            blobs=tuple(in_shape(values[place], shape) for place, shape in zip(owned, one.shapes, strict=True)),
        )
        for one, owned in zip(wanted, places, strict=True)
    )


def _matched(
    wanted: Sequence[WeightShapes], places: Sequence[Sequence[BlobPlace]], by_name: Mapping[str, LayerBlobs]
) -> tuple[dict[BlobPlace, Array], list[str]]:
    """Find the records' blobs by the place of their owners; of a shared blob the last record counts.

    Returns:
        The blobs, and the differences between the records and what the layers want.
    """
    values: dict[BlobPlace, Array] = {}
    problems: list[str] = []
    # Of two layers with one name only the first gets weights.
    indices = {one.layer.name: index for index, one in reversed(list(enumerate(wanted)))}
    for name, record in by_name.items():
        if name not in indices or not (shapes := wanted[indices[name]].shapes):
            continue
        if len(record.blobs) != len(shapes):
            problems.append(f'layer "{name}": the file has {len(record.blobs)} blobs, the net wants {len(shapes)}')
            continue
        for index, (place, shape) in enumerate(zip(places[indices[name]], shapes, strict=True)):
            blob = _without_padding(record.blobs[index], shape) if record.legacy[index] else record.blobs[index]
            if fits(blob.shape, shape):
                values[place] = frozen(blob)
            else:
                problems.append(f'layer "{name}": blob {index} is {show(blob.shape)}, the net wants {show(shape)}')
    return values, problems


def _without_padding(blob: Array, shape: Shape) -> Array:
    """Return a blob of the old four axes, whatever its layer, without the leading ones that are padding."""
    surplus = len(blob.shape) - len(shape)
    return blob.reshape(blob.shape[surplus:]) if surplus > 0 and set(blob.shape[:surplus]) == {1} else blob


def _fillers(
    wanted: Sequence[WeightShapes], places: Sequence[Sequence[BlobPlace]], values: Mapping[BlobPlace, Array]
) -> tuple[dict[BlobPlace, Array], list[str]]:
    """Fill the blobs that have no values as their owners' fillers say.

    Returns:
        The filled blobs, and what is to be said of layers whose filler is random.
    """
    filled: dict[BlobPlace, Array] = {}
    problems = []
    for layer, (one, owned) in enumerate(zip(wanted, places, strict=True)):
        try:
            for blob, (place, shape, filler) in enumerate(zip(owned, one.shapes, one.type.fillers(), strict=True)):
                if place == (layer, blob) and place not in values:
                    filled[place] = _filled(shape, filler)
        except WeightsMismatch as exc:
            problems.append(f"{one.layer.where}: {exc}")
    return filled, problems


def _filled(shape: Shape, filler: Message) -> Array:
    if filler.type not in ("constant", "bilinear"):
        raise WeightsMismatch(f'has no weights, and its filler "{filler.type}" is random')
    dims = tuple(dim for dim in shape if dim is not None)
    if len(dims) != len(shape):
        raise WeightsMismatch(f"has no weights, and their shape {show(shape)} depends on the dynamic input size")
    return frozen(bilinear(dims) if filler.type == "bilinear" else np.full(dims, filler.value, np.float32))


def bilinear(shape: tuple[int, ...]) -> Array:
    """Compute Caffe's bilinear filler: one interpolation kernel for every pair of channels.

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
    return listed([f'"{name}"' for name in names], _LISTED) or "no weights at all"
