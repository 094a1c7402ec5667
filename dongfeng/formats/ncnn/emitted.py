"""ncnn layers to write, and their text and bytes; `param` and `weights` read them back."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dongfeng.formats.ncnn.param import Scalar, Value
from dongfeng.formats.ncnn.parts import unsupported
from dongfeng.layers.base import LayerType
from dongfeng.layers.layer import Array, Layer

KnownShape = tuple[int, ...]
_ARRAY = -23300
_RAW, _HALF = 0, 0x01306B47


class Weights(NamedTuple):
    """One array of the weight file; a matrix has a tag, and may be in half precision."""

    array: Array
    is_matrix: bool = False


class Emitted(NamedTuple):
    """One ncnn layer: its type, its parameters by number, its weights in the order of the file."""

    type: str
    params: Mapping[int, Value]
    weights: Sequence[Weights] = ()


class Context(NamedTuple):
    """The input of an emitter: the layer, and the shapes around it.

    Attributes:
        layer_type: The layer and its type.
        bottoms: Shapes of its bottoms.
        tops: Shapes of its tops.
    """

    layer_type: LayerType
    bottoms: Sequence[KnownShape]
    tops: Sequence[KnownShape]

    @property
    def layer(self) -> Layer:
        """The layer."""
        return self.layer_type.layer

    def blob_sizes(self) -> list[KnownShape]:
        """Return the shapes of the layer's weight blobs, whether or not it has them."""
        return [tuple(dim or 0 for dim in shape) for shape in self.layer_type.blob_shapes(self.bottoms)]


# The first layer reads the Caffe layer's bottoms, each of the others the tops of the one before it.
Emitter = Callable[[Context], list[Emitted]]


def params(values: Mapping[int, Value | bool], defaults: Mapping[int, Value] | None = None) -> dict[int, Value]:
    """Drop the parameters that have ncnn's default: 0, unless `defaults` has another."""
    plain: dict[int, Value] = {key: int(value) if isinstance(value, bool) else value for key, value in values.items()}
    return {key: value for key, value in plain.items() if value != (defaults or {}).get(key, 0)}


def param_words(values: Mapping[int, Value]) -> list[str]:
    """Return the parameters as words of a text file."""
    words = []
    for number, value in sorted(values.items()):
        if isinstance(value, tuple):
            words.append(f"{_ARRAY - number}={','.join([str(len(value)), *map(_scalar, value)])}")
        else:
            words.append(f"{number}={_scalar(value)}")
    return words


def _scalar(value: Scalar) -> str:
    """Write a number; ncnn takes one without a point and an exponent for an integer."""
    if not isinstance(value, float):
        return str(int(value))
    if not math.isfinite(value):
        raise unsupported(f"the value {value}, which an ncnn file cannot hold")
    return str(np.float32(value))


def weight_bytes(weights: Weights, *, half: bool) -> bytes:
    """Return the bytes of an array in the weight file."""
    if not (weights.is_matrix and half):
        return struct.pack("<I", _RAW) * weights.is_matrix + weights.array.astype("<f4").tobytes()
    with np.errstate(over="ignore"):
        halves = weights.array.astype("<f2")
    if not np.isfinite(halves).all() and np.isfinite(weights.array).all():
        raise unsupported("weights beyond 65504, the largest of half precision; write them without half")
    data = halves.tobytes()
    return struct.pack("<I", _HALF) + data + bytes(-len(data) % 4)
