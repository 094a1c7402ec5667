"""The weight blobs of a layer, or what Caffe fills them with where no file gave any."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dongfeng.caffe.message import Message
from dongfeng.errors import WeightsMismatch
from dongfeng.net.graph import Layer
from dongfeng.reference.axes import show
from dongfeng.reference.registry import Array

Shape = tuple[int, ...]


def weights(layer: Layer, shapes: Sequence[Shape], fillers: Sequence[Message | float]) -> list[Array]:
    """The layer's blobs in the shapes it wants, filled as Caffe does where the layer has none.

    Args:
        layer: The layer.
        shapes: Shape of each blob.
        fillers: Filler of each blob; a number stands for a constant one.

    Raises:
        WeightsMismatch: the layer's blobs are others, or it has none and a filler is random.
    """
    if not layer.blobs:
        return [filled(shape, filler) for shape, filler in zip(shapes, fillers, strict=True)]
    if len(layer.blobs) != len(shapes):
        raise WeightsMismatch(f"has {len(layer.blobs)} weight blobs, expected {len(shapes)}")
    for index, (blob, shape) in enumerate(zip(layer.blobs, shapes, strict=True)):
        # Old files pad the shape with ones, PSPNet's statistics are 1xCx1x1.
        if [dim for dim in blob.shape if dim != 1] != [dim for dim in shape if dim != 1]:
            raise WeightsMismatch(f"weight blob {index} is {show(blob.shape)}, expected {show(shape)}")
    return [blob.reshape(shape) for blob, shape in zip(layer.blobs, shapes, strict=True)]


def filled(shape: Shape, filler: Message | float) -> Array:
    """What Caffe's filler puts into a new blob.

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
