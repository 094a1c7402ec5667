"""Weight files of Caffe: every form they have had is read, the current one is written.

Only names, types, bottoms, tops and blobs are read. Other fields are skipped: a layer's parameters, whose numbers
differ between versions of Caffe, never matter. protobuf would need one schema for all versions, and its errors would
name neither the offset nor the layer.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import prod
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from dongfeng.caffe.schema import message_type
from dongfeng.caffe.tokens import quote
from dongfeng.caffe.upgrade import V0_TO_V1, current_type
from dongfeng.caffe.wire import (
    FIXED32,
    FIXED64,
    LENGTH,
    VARINT,
    Buffer,
    Record,
    WireError,
    length_prefix,
    read_varint,
    records,
    varint,
)
from dongfeng.errors import CaffemodelError
from dongfeng.support.files import replacing

Array = npt.NDArray[np.float32]

_MOST_AXES = 32  # Caffe's kMaxBlobAxes
_LARGEST_FILE = 2**31 - 1  # Caffe reads with a limit of INT_MAX bytes
_RAW_TYPES = {0: "<f8", 1: "<f4", 2: "<f2"}  # BlobProto.RawDataType
_FLOAT16 = 2
_HDF5 = b"\x89HDF\r\n\x1a\n"
_HTML = re.compile(rb"\s*<(!doctype|html|head|\?xml)", re.IGNORECASE)
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]+")


@dataclass(frozen=True, eq=False)
class LayerBlobs:
    """A layer of a weight file.

    Attributes:
        name: The layer's name.
        type: Caffe's current type string; empty where the file has none.
        bottoms: Blobs it reads.
        tops: Blobs it writes.
        blobs: Weights, float32, C-contiguous and read-only.
        legacy: Per blob, whether its shape is the old num x channels x height x width: always four axes, of which
            leading ones may be more than the layer has.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    blobs: tuple[Array, ...]
    legacy: tuple[bool, ...]


@dataclass(frozen=True, eq=False)
class WeightsFile:
    """A whole weight file: the network's name and its layers, in the file's order."""

    net_name: str
    layers: list[LayerBlobs]


def read(path: str | os.PathLike[str]) -> list[LayerBlobs]:
    """Return the layers of a weight file; errors as for `read_file`."""
    return read_file(path).layers


def read_file(path: str | os.PathLike[str]) -> WeightsFile:
    """Read a weight file: `layer`, `layers` or their nested predecessor, float, double or half; or HDF5, with h5py.

    Args:
        path: A caffemodel.

    Returns:
        Its layers, also those without blobs; a layer that stands twice in the file stands twice here.

    Raises:
        CaffemodelError: the file is no caffemodel, is cut short, or contradicts itself; the message has the offset.
        OSError: the file cannot be opened.

    Source: Caffe, Blob::FromProto for shapes and data.
    """
    file = os.fspath(path)
    with open(path, "rb") as stream:  # noqa: PTH123  # accepts every path-like
        if os.fstat(stream.fileno()).st_size == 0:
            raise CaffemodelError(f"{file}: the file is empty")
        # Not closed by hand: that fails while an error's traceback still holds a view.
        buffer = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    if buffer[:8] == _HDF5:
        return _read_hdf5(file)
    head = buffer[:1024]  # a weight file has control bytes, tags and lengths, near its beginning
    if _HTML.match(head):
        raise CaffemodelError(f"{file}: a web page, not a caffemodel; download the file itself")
    if _TEXT.fullmatch(head):
        raise CaffemodelError(f"{file}: text, not a caffemodel; is this the prototxt?")
    return _Reader(file, buffer).net()


@dataclass
class _Blob:
    """The fields of a BlobProto that have been read so far."""

    dims: list[int] = field(default_factory=list)
    old_dims: dict[int, int] = field(default_factory=dict)
    floats: list[npt.NDArray[np.floating]] = field(default_factory=list)
    doubles: list[npt.NDArray[np.floating]] = field(default_factory=list)
    raw: Record | None = None
    raw_type: int | None = None


class _Reader:
    """A reader of one NetParameter; `where` names the layer for errors."""

    def __init__(self, file: str, buffer: Buffer) -> None:
        self.file, self.buffer = file, buffer
        self.where = ""

    def net(self) -> WeightsFile:
        name, layers = "", []
        try:
            for record in records(self.buffer, 0, len(self.buffer)):
                if record.wire != LENGTH:
                    continue
                if record.number == 1:
                    name = self.text(record)
                elif record.number == 100:
                    layers.append(self.layer(record))
                elif record.number == 2:
                    layers.append(self.old_layer(record))
        except WireError as error:
            raise self.error(f"damaged, or no caffemodel: {error} (byte {error.offset})") from None
        if not layers:
            raise self.error("no layers in this file; is it a caffemodel?")
        return WeightsFile(name, layers)

    def layer(self, message: Record) -> LayerBlobs:
        """Read a LayerParameter."""
        parts = self.parts(message)
        return self.layer_of(parts, self.last_text(parts, 1), self.last_text(parts, 2), (3, 4, 7))

    def old_layer(self, message: Record) -> LayerBlobs:
        """Read a V1LayerParameter, which may hold a V0LayerParameter."""
        parts = self.parts(message)
        if nested := parts.get(1):
            inner = self.parts(nested[-1])
            type_ = self.last_text(inner, 2)
            parts[6] = inner.get(50, [])
            current = current_type(V0_TO_V1[type_]) if type_ in V0_TO_V1 else type_
            return self.layer_of(parts, self.last_text(inner, 1), current, (2, 3, 6))
        number = parts[5][-1].value if 5 in parts and parts[5][-1].wire == VARINT else 0
        return self.layer_of(parts, self.last_text(parts, 4), _v1_types().get(number, ""), (2, 3, 6))

    def layer_of(
        self, parts: dict[int, list[Record]], name: str, type_: str, numbers: tuple[int, int, int]
    ) -> LayerBlobs:
        """Read a layer, given the field numbers of its bottoms, tops and blobs."""
        bottom, top, blobs = numbers
        self.where = f"layer {quote(name)}: "
        read_blobs = [self.blob(part) for part in parts.get(blobs, ()) if part.wire == LENGTH]
        self.where = ""
        return LayerBlobs(
            name=name,
            type=type_,
            bottoms=tuple(self.text(part) for part in parts.get(bottom, ()) if part.wire == LENGTH),
            tops=tuple(self.text(part) for part in parts.get(top, ()) if part.wire == LENGTH),
            blobs=tuple(array for array, _ in read_blobs),
            legacy=tuple(legacy for _, legacy in read_blobs),
        )

    def blob(self, message: Record) -> tuple[Array, bool]:
        """Read the array of a BlobProto, and whether its shape is of the old form."""
        blob = _Blob()
        for part in self.fields(message):
            self.collect(blob, part)
        legacy = bool(blob.old_dims)
        shape = [blob.old_dims.get(number, 0) for number in (1, 2, 3, 4)] if legacy else blob.dims
        pieces = self.pieces(blob)
        count = sum(piece.size for piece in pieces)
        if not _holds(shape, count):
            size = "x".join(map(str, shape)) or "of a scalar"
            raise self.error(f"blob at byte {message.value}: {count} values for shape {size}")
        array = np.empty(count, np.float32)
        at = 0
        with np.errstate(over="ignore", invalid="ignore"):  # doubles beyond float32 become infinite, as in Caffe
            for piece in pieces:
                array[at : at + piece.size] = piece
                at += piece.size
        array = array.reshape(shape)
        array.flags.writeable = False
        return array, legacy

    def collect(self, blob: _Blob, part: Record) -> None:
        """Add one field of a BlobProto to `blob`; gradients and unknown fields are ignored."""
        number, wire = part.number, part.wire
        if number <= 4 and wire == VARINT:
            blob.old_dims[number] = _signed(part.value, 32)
        elif number == 5 and wire in (LENGTH, FIXED32):
            blob.floats.append(self.view(part, np.dtype("<f4")))
        elif number == 7 and wire == LENGTH:
            self.collect_dims(blob.dims, part)
        elif number == 8 and wire in (LENGTH, FIXED64):
            blob.doubles.append(self.view(part, np.dtype("<f8")))
        elif number == 10 and wire == VARINT:
            blob.raw_type = part.value
        elif number == 12 and wire == LENGTH:
            blob.raw = part

    def collect_dims(self, dims: list[int], message: Record) -> None:
        """Add the axes of a BlobShape, packed or not, to `dims`."""
        for part in self.fields(message):
            if part.number == 1 and part.wire == VARINT:
                dims.append(_signed(part.value, 64))
            elif part.number == 1 and part.wire == LENGTH:
                at, end = part.value, part.value + part.length
                while at < end and len(dims) <= _MOST_AXES:
                    value, at = read_varint(self.buffer, at, end)
                    dims.append(_signed(value, 64))
            if len(dims) > _MOST_AXES:
                raise self.error(f"a blob of more than {_MOST_AXES} axes (byte {message.value})")

    def pieces(self, blob: _Blob) -> Sequence[npt.NDArray[np.floating]]:
        """Return the values of a blob, as views into the file; protobuf may split them."""
        if blob.raw is not None and blob.raw.length:
            if blob.raw_type not in _RAW_TYPES:
                raise self.error(f"raw data of type {blob.raw_type} is not supported (byte {blob.raw.value})")
            return [self.view(blob.raw, np.dtype(_RAW_TYPES[blob.raw_type]))]
        return blob.doubles if any(piece.size for piece in blob.doubles) else blob.floats

    def view(self, part: Record, dtype: np.dtype[np.floating]) -> npt.NDArray[np.floating]:
        """Return a view of numbers in the file: packed ones, or a run of single fields."""
        if part.wire != LENGTH:
            return np.ndarray((part.length,), dtype, self.buffer, part.value, (1 + dtype.itemsize,))
        count, rest = divmod(part.length, dtype.itemsize)
        if rest:
            raise self.error(f"{part.length} bytes of data are no whole number of values (byte {part.value})")
        return np.frombuffer(self.buffer, dtype, count, part.value)

    def fields(self, message: Record) -> Iterable[Record]:
        return records(self.buffer, message.value, message.value + message.length)

    def parts(self, message: Record) -> dict[int, list[Record]]:
        """Return the fields of a message by number; arrays and submessages are not yet looked into."""
        parts: dict[int, list[Record]] = {}
        for part in self.fields(message):
            parts.setdefault(part.number, []).append(part)
        return parts

    def last_text(self, parts: dict[int, list[Record]], number: int) -> str:
        texts = [part for part in parts.get(number, ()) if part.wire == LENGTH]
        return self.text(texts[-1]) if texts else ""

    def text(self, part: Record) -> str:
        return self.buffer[part.value : part.value + part.length].decode(errors="replace")

    def error(self, problem: str) -> CaffemodelError:
        return CaffemodelError(f"{self.file}: {self.where}{problem}")


@cache
def _v1_types() -> dict[int, str]:
    """Return the current type strings by the numbers of V1LayerParameter.LayerType."""
    numbers = message_type("V1LayerParameter").fields["type"].enum
    return {number: current_type(name) for name, number in numbers.items()}


def _holds(shape: Sequence[int], count: int) -> bool:
    """Return whether `count` values have that shape, which Caffe must accept even where an axis is empty."""
    return min(shape, default=0) >= 0 and prod(shape) == count and prod(filter(None, shape)) <= _LARGEST_FILE


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _read_hdf5(file: str) -> WeightsFile:
    """Read Caffe's HDF5 form: `data/LAYER/INDEX`, in nested groups where a layer's name holds slashes."""
    try:
        import h5py
    except ImportError:
        raise CaffemodelError(f"{file}: an HDF5 file, which needs h5py: pip install h5py") from None
    layers: list[LayerBlobs] = []

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Group) and "0" in item:
            count = sum(key.isdecimal() for key in item)
            blobs = tuple(np.array(item[str(index)], np.float32, order="C") for index in range(count))
            for blob in blobs:
                blob.flags.writeable = False
            layers.append(LayerBlobs(name, "", (), (), blobs, (False,) * count))

    try:
        with h5py.File(file, "r") as hdf5:
            hdf5["data"].visititems(visit)
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CaffemodelError(f"{file}: not a weight file of Caffe in HDF5: {error}") from error
    if not layers:
        raise CaffemodelError(f"{file}: an HDF5 file without weights of Caffe")
    return WeightsFile("", layers)


def write(path: str | os.PathLike[str], net_name: str, layers: Iterable[LayerBlobs], *, half: bool = False) -> None:
    """Write a weight file that Caffe loads: name, type, bottoms, tops and blobs of each layer, nothing else.

    Args:
        path: The file, which appears complete or not at all.
        net_name: The network's name.
        layers: The layers; blobs are stored with their shapes as they are.
        half: Store blobs as float16 in NVCaffe's form, which BVLC's Caffe cannot read.

    Raises:
        CaffemodelError: a value is too large for float16, or the file for Caffe (2 GiB).
        OSError: the file cannot be written.

    Source: Caffe, Net::ToProto and Blob::ToProto.
    """
    file = os.fspath(path)
    name = net_name.encode()
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.write(length_prefix(1, len(name)) + name)
        for layer in layers:
            _write_layer(stream, layer, half, file)
            if stream.tell() > _LARGEST_FILE:
                raise CaffemodelError(f"{file}: more than 2 GiB of weights, which Caffe cannot read; use half=True")


def _write_layer(stream: BinaryIO, layer: LayerBlobs, half: bool, file: str) -> None:
    texts = [(1, layer.name), (2, layer.type), *((3, b) for b in layer.bottoms), *((4, t) for t in layer.tops)]
    encoded = [(number, text.encode()) for number, text in texts]
    head = b"".join(length_prefix(number, len(text)) + text for number, text in encoded)
    pieces: list[bytes | memoryview] = [head]
    for blob in layer.blobs:
        values = _half(blob, layer.name, file) if half else np.asarray(blob, "<f4", order="C")
        dims = b"".join(map(varint, blob.shape))
        shape = length_prefix(1, len(dims)) + dims if dims else b""
        after = length_prefix(7, len(shape)) + shape
        if half:
            before = after + varint(10 << 3 | VARINT) + varint(_FLOAT16) + length_prefix(12, values.nbytes)
            after = b""
        else:
            before = length_prefix(5, values.nbytes) if values.size else b""
        size = len(before) + values.nbytes + len(after)
        pieces += [length_prefix(7, size) + before, values.reshape(-1).view(np.uint8).data, after]
    stream.write(length_prefix(100, sum(map(len, pieces))))
    stream.writelines(pieces)


def _half(blob: Array, layer: str, file: str) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore"):
        half = np.asarray(blob, "<f2", order="C")
    if not np.array_equal(np.isfinite(half), np.isfinite(blob)):
        raise CaffemodelError(f"{file}: layer {quote(layer)}: a weight beyond 65504 does not fit half precision")
    return half
