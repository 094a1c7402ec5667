"""ncnn's weight file (`.bin`): the layers' weights one after another, nothing else.

A weight matrix begins with a 4-byte tag: 0 or 0x0002C056 float32, 0x01306B47 half precision (padded to 4 bytes),
0x000D4B38 int8, anything else a table of 256 values and indices into it. Biases and per-channel vectors are float32
without a tag. Source: ncnn, modelbin.cpp, and load_model of each layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np

from dongfeng.errors import ConversionError, WeightsMismatch
from dongfeng.layers.infer import weight_shapes
from dongfeng.layers.layer import Array, Layer, frozen
from dongfeng.net.graph import Net

_RAW = (0, 0x0002C056)
_HALF = 0x01306B47
_INT8 = 0x000D4B38
_TAG_BYTES = 4
_MATRIX_TYPES = ("Convolution", "Deconvolution", "InnerProduct")


def load_ncnn_weights(net: Net, bin: str | PathLike[str]) -> Net:
    """Load the weights of an ncnn `.bin` into a net.

    The file holds no names: the order and number of its arrays must be the net's. A BatchNorm with the Scale behind it
    is one ncnn BatchNorm.

    Raises:
        WeightsMismatch: the file does not hold the weights of this net, to the byte.
        ConversionError: the weights are int8, or a layer's weights have no place in ncnn.
        ShapeError: the number of weights depends on a dynamic input size.
        OSError: the file cannot be opened.
    """
    path = Path(bin)
    wanted = [one.known() for one in weight_shapes(net.inputs, net.layers)]
    stored = sum(_stored_bytes(layer, sizes) for layer, sizes in zip(net.layers, wanted, strict=True))
    reader = _WeightReader(str(path), path.read_bytes(), stored)
    loaded: list[Layer] = []
    blobs: tuple[Array, ...]
    scale: tuple[Array, ...] = ()  # blobs of this layer that the BatchNorm before it holds
    for index, (layer, sizes) in enumerate(zip(net.layers, wanted, strict=True)):
        if layer.type == "BatchNorm":
            _require_own_scale(layer, net.layers[index + 1 : index + 2])
            slope, mean, variance, bias = (reader.plain(sizes[0], layer) for _ in range(4))
            blobs = (mean, variance, np.ones(1, np.float32))
            scale = (slope, bias)
        elif scale:
            blobs, scale = scale, ()
        else:
            blobs = _read_blobs(reader, layer, sizes)
        loaded.append(replace(layer, blobs=blobs))
    reader.finish()
    return net.with_layers(loaded)


def _stored_bytes(layer: Layer, sizes: Sequence[tuple[int, ...]]) -> int:
    """Count the bytes of a layer's weights in a float32 file; a BatchNorm's factor and bias count with its Scale."""
    if layer.type == "BatchNorm":
        sizes = sizes[:2]
    return _TAG_BYTES * (layer.type in _MATRIX_TYPES) + 4 * sum(map(math.prod, sizes))


def _require_own_scale(batch_norm: Layer, following: Sequence[Layer]) -> None:
    for layer in following:
        if layer.type == "Scale" and layer.bottoms == batch_norm.tops and layer.params.scale_param.bias_term:
            return
    raise ConversionError(
        f"{batch_norm.where}: ncnn's BatchNorm has a factor and a bias, but no Scale with both follows"
    )


def _read_blobs(reader: _WeightReader, layer: Layer, sizes: Sequence[tuple[int, ...]]) -> tuple[Array, ...]:
    """Read a layer's blobs in Caffe's layout."""
    if not sizes:
        return ()
    if layer.type == "Scale":
        return tuple(reader.plain(size, layer) for size in sizes)
    if layer.type not in _MATRIX_TYPES:
        raise ConversionError(f"{layer.where}: no ncnn layer holds its weights")
    weight = reader.tagged(sizes[0], layer)
    if layer.type == "Deconvolution":
        weight = _deconvolution_weight(weight, layer.params.convolution_param.group)
    return (weight, *(reader.plain(size, layer) for size in sizes[1:]))


def _deconvolution_weight(weight: Array, group: int) -> Array:
    """Reorder ncnn's (group, out / group, in / group, height, width) to Caffe's (in, out / group, height, width)."""
    n_in, out_per_group, height, width = weight.shape
    by_group = weight.reshape(group, out_per_group, n_in // group, height, width)
    return frozen(by_group.transpose(0, 2, 1, 3, 4).reshape(weight.shape))


@dataclass
class _WeightReader:
    """Read arrays from front to back of a file; `expected` is its size if all is float32."""

    path: str
    data: bytes
    expected: int
    offset: int = 0

    def plain(self, shape: tuple[int, ...], layer: Layer) -> Array:
        """Read float32 values without a tag."""
        return (
            np.frombuffer(self._take(4 * math.prod(shape), layer), "<f4").astype(np.float32, copy=False).reshape(shape)
        )

    def tagged(self, shape: tuple[int, ...], layer: Layer) -> Array:
        """Read values in the format that a tag announces."""
        start = self.offset
        tag = int.from_bytes(self._take(_TAG_BYTES, layer), "little")
        if tag in _RAW:
            return self.plain(shape, layer)
        if tag == _HALF:
            count = math.prod(shape)
            halves = np.frombuffer(self._take(2 * (count + count % 2), layer), "<f2", count)
            return frozen(halves.astype(np.float32).reshape(shape))
        if tag == _INT8:
            raise ConversionError(f"{self.path}: {layer.where}: int8 weights; take the file as it was before ncnn2int8")
        raise WeightsMismatch(
            f"{self.path}: got {len(self.data)} bytes, expected {self.expected} (in float32): at byte {start}, "
            f"{tag:#010x} is not the tag of float32 or half precision weights for {layer.where}; "
            "the file is of another net, or quantised by table, which is not supported"
        )

    def finish(self) -> None:
        """Refuse a file with bytes behind the last array."""
        if self.offset != len(self.data):
            raise WeightsMismatch(
                f"{self.path}: got {len(self.data)} bytes, the weights of this net end at {self.offset}"
            )

    def _take(self, size: int, layer: Layer) -> bytes:
        self.offset += size
        if self.offset > len(self.data):
            raise WeightsMismatch(
                f"{self.path}: got {len(self.data)} bytes, expected {self.expected} (in float32): "
                f"the file ends within {layer.where}"
            )
        return self.data[self.offset - size : self.offset]
