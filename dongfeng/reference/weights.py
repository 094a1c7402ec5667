"""The weight blobs of a layer: its own, shared ones, or Caffe's fillers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from dongfeng.caffe.message import Message
from dongfeng.errors import WeightsMismatch
from dongfeng.net.graph import Layer
from dongfeng.reference.axes import show
from dongfeng.reference.registry import Array

Shape = tuple[int, ...]


_by_name: ContextVar[dict[str, Array]] = ContextVar("_by_name")  # blobs of the net that runs


@contextmanager
def sharing() -> Iterator[None]:
    """Let layers that run in this context, those of one net, share blobs by name."""
    token = _by_name.set({})
    try:
        yield
    finally:
        _by_name.reset(token)


def weights(layer: Layer, shapes: Sequence[Shape], fillers: Sequence[Message | float]) -> list[Array]:
    """Return the layer's blobs in the shapes it wants; where it has none, shared ones, or what Caffe fills in.

    Args:
        layer: The layer.
        shapes: Shape of each blob.
        fillers: Filler of each blob; a number stands for a constant one.

    Raises:
        WeightsMismatch: the layer's blobs are others, or it has none and a filler is random, or a shared blob does
            not fit.
    """
    known = _by_name.get({})
    names = [*(spec.name for spec in layer.params.param), *[""] * len(shapes)]
    own = _own(layer, shapes)
    blobs = []
    for index, (name, shape, filler) in enumerate(zip(names, shapes, fillers, strict=False)):
        if own:
            blob = own[index]
        elif name in known:
            blob = _shared(layer, index, known[name], shape)
        else:
            blob = filled(shape, filler)
        if name:
            known.setdefault(name, blob)
        blobs.append(blob)
    return blobs


def weight_and_bias(layer: Layer, param: Message, shape: Shape, n_output: int) -> list[Array]:
    """Return a weight blob of that shape, and a bias of `n_output` values where `bias_term` says so."""
    n_blobs = 1 + param.bias_term
    return weights(layer, [shape, (n_output,)][:n_blobs], [param.weight_filler, param.bias_filler][:n_blobs])


def _own(layer: Layer, shapes: Sequence[Shape]) -> list[Array]:
    if len(layer.blobs) not in (0, len(shapes)):
        raise WeightsMismatch(f"has {len(layer.blobs)} weight blobs, expected {len(shapes)}")
    for index, (blob, shape) in enumerate(zip(layer.blobs, shapes, strict=False)):
        # Old files pad the shape with ones, PSPNet's statistics are 1xCx1x1.
        if [dim for dim in blob.shape if dim != 1] != [dim for dim in shape if dim != 1]:
            raise WeightsMismatch(f"weight blob {index} is {show(blob.shape)}, expected {show(shape)}")
    return [blob.reshape(shape) for blob, shape in zip(layer.blobs, shapes, strict=False)]


def _shared(layer: Layer, index: int, blob: Array, shape: Shape) -> Array:
    """Return another layer's blob in the shape that this one wants.

    Raises:
        WeightsMismatch: the shape is another, or the size where `share_mode` is PERMISSIVE.
    """
    is_permissive = layer.params.param[index].share_mode == "PERMISSIVE"
    if blob.size != math.prod(shape) if is_permissive else blob.shape != shape:
        raise WeightsMismatch(f"weight blob {index}, shared by name, is {show(blob.shape)}, expected {show(shape)}")
    return blob.reshape(shape)


def filled(shape: Shape, filler: Message | float) -> Array:
    """Fill a new blob as Caffe does.

    Raises:
        WeightsMismatch: the filler is random, or bilinear for a kernel that is not square.
    """
    if isinstance(filler, float | int):
        return np.full(shape, filler, np.float32)
    if filler.type == "constant":
        return np.full(shape, filler.value, np.float32)
    if filler.type != "bilinear":
        raise WeightsMismatch(f'has no weights, and its filler "{filler.type}" is random; load a weight file')
    if len(shape) != 4 or shape[2] != shape[3]:
        raise WeightsMismatch(f"has no weights, and the bilinear filler needs a square kernel, got {show(shape)}")
    reach = math.ceil(shape[3] / 2)
    centre = (shape[3] - 1) / (2 * reach)
    profile = 1 - np.abs(np.arange(shape[3]) / reach - centre)
    return np.tile(np.outer(profile, profile).astype(np.float32), (*shape[:2], 1, 1))
