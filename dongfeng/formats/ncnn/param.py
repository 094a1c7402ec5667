"""ncnn's network file, text (`.param`) or binary (`.param.bin`), as plain data.

A text line is `type name n_bottoms n_tops bottoms... tops... id=value...`, with `-23300-id=n,v1,...,vn` for an array;
a binary file has the same as 32-bit words, numbers in place of types and blob names, and -233 to end each layer.
Source: ncnn, net.cpp (load_param, load_param_bin), paramdict.cpp and layer_type_enum.h.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dongfeng.errors import ConversionError
from dongfeng.formats.ncnn.types import LAYER_TYPES

MAGIC = 7767517
_CUSTOM_TYPE = 1 << 8
_END_OF_LAYER = -233
_ARRAY = -23300
_MAX_ID = 32  # ncnn keeps parameters 0..31 of a layer
_SHAPE_HINTS = (30, 31)  # written by ncnn's optimiser; they change no result

_INTEGER = re.compile(r"[+-]?\d{1,10}")
_FLOAT = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+(?=e))(e[+-]?\d+)?", re.IGNORECASE)  # a point or an exponent makes it one


class Bits(int):
    """A word of a binary file: an integer or the bits of a float, as the layer type decides."""


Scalar = int | float  # a Bits is an int
Value = Scalar | tuple[Scalar, ...]


class Params:
    """The parameters of one layer by number, which records those that were read."""

    def __init__(self, values: Mapping[int, Value]) -> None:
        self._values = dict(values)
        self._read: set[int] = set()

    def integer(self, number: int, default: int) -> int:
        """Return an integer parameter.

        Raises:
            ConversionError: it is a float or an array.
        """
        return _as_integer(number, self._get(number, default))

    def real(self, number: int, default: float) -> float:
        """Return a float parameter.

        Raises:
            ConversionError: it is an array, or an integer, whose bits ncnn would take for a float.
        """
        return _as_real(number, self._get(number, default))

    def sides(self, height: int, width: int, default: int) -> tuple[int, int]:
        """Return two integer parameters, of which the first defaults to the second."""
        value = self.integer(width, default)
        return self.integer(height, value), value

    def integers(self, number: int) -> tuple[int, ...]:
        """Return an array of integers; empty where it is not set."""
        return tuple(_as_integer(number, value) for value in self._array(number))

    def reals(self, number: int) -> tuple[float, ...]:
        """Return an array of floats; empty where it is not set."""
        return tuple(_as_real(number, value) for value in self._array(number))

    def unread(self) -> dict[int, Value]:
        """Return the parameters that are not 0 and were not read."""
        return {
            number: value
            for number, value in self._values.items()
            if value not in (0, ()) and number not in self._read and number not in _SHAPE_HINTS
        }

    def _get(self, number: int, default: Value) -> Value:
        self._read.add(number)
        return self._values.get(number, default)

    def _array(self, number: int) -> tuple[Scalar, ...]:
        value = self._get(number, ())
        if not isinstance(value, tuple):
            raise ConversionError(f"parameter {number}: expected an array, got {value}")
        return value


def _as_integer(number: int, value: Value) -> int:
    if isinstance(value, tuple | float):
        raise ConversionError(f"parameter {number}: expected an integer, got {value}")
    return int(value)


def _as_real(number: int, value: Value) -> float:
    if isinstance(value, Bits):
        return float(struct.unpack("<f", struct.pack("<i", value))[0])
    if isinstance(value, tuple) or (isinstance(value, int) and value != 0):
        raise ConversionError(f"parameter {number}: expected a float, written with a point, got {value}")
    return float(value)


@dataclass(frozen=True)
class NcnnLayer:
    """One layer of an ncnn network; `line` is None in a binary file."""

    type: str
    name: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    params: Params
    line: int | None = None


def read_param(path: Path) -> list[NcnnLayer]:
    """Read the layers of a `.param` or `.param.bin` file, in order.

    A binary file has no names: blobs are called by their numbers, layers by their type and first top.

    Raises:
        ConversionError: the file is no ncnn network, or damaged.
        OSError: it cannot be opened.
    """
    data = path.read_bytes()
    try:
        is_binary = data[:4] == struct.pack("<i", MAGIC)
        return list(_read_binary(data) if is_binary else _read_text(data))
    except ConversionError as exc:
        raise ConversionError(f"{path}{exc}") from None


def _read_text(data: bytes) -> list[NcnnLayer]:
    """Read a text file; errors begin with `:LINE: ` or `: `."""
    try:
        lines = [(number, line.split()) for number, line in enumerate(data.decode().splitlines(), 1)]
    except UnicodeDecodeError:
        lines = []
    lines = [(number, words) for number, words in lines if words]
    if not lines or lines[0][1] != [str(MAGIC)]:
        raise ConversionError(f": not an ncnn param file: expected the number {MAGIC} first")
    if len(lines) < 2 or len(lines[1][1]) != 2:
        raise ConversionError(": expected the numbers of layers and blobs on the second line")
    number, words = lines[1]
    n_layers, n_blobs = (_count(number, word) for word in words)
    if len(lines) != n_layers + 2:
        raise ConversionError(f":{number}: {n_layers} layers announced, the file has {len(lines) - 2}")
    layers = [_text_layer(*line) for line in lines[2:]]
    if (tops := sum(len(layer.tops) for layer in layers)) > n_blobs:
        raise ConversionError(f":{number}: {n_blobs} blobs announced, the layers make {tops}")
    return layers


def _text_layer(number: int, words: list[str]) -> NcnnLayer:
    if len(words) < 4:
        raise ConversionError(f":{number}: expected type, name and the numbers of bottoms and tops")
    n_bottoms, n_tops = _count(number, words[2]), _count(number, words[3])
    blobs, settings = words[4 : 4 + n_bottoms + n_tops], words[4 + n_bottoms + n_tops :]
    if len(blobs) != n_bottoms + n_tops or any("=" in blob for blob in blobs):
        raise ConversionError(f":{number}: expected {n_bottoms} bottoms and {n_tops} tops")
    values: dict[int, Value] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not _INTEGER.fullmatch(key):
            raise ConversionError(f":{number}: expected id=value, got {setting!r}")
        values[_parameter_id(int(key), f":{number}")] = _text_value(number, setting, int(key) <= _ARRAY, text)
    return NcnnLayer(words[0], words[1], tuple(blobs[:n_bottoms]), tuple(blobs[n_bottoms:]), Params(values), number)


def _text_value(number: int, setting: str, is_array: bool, text: str) -> Value:
    words = text.split(",")
    if is_array and _count(number, words.pop(0)) != len(words):
        raise ConversionError(f":{number}: {setting!r} does not have the length it announces")
    values: list[Scalar] = []
    for word in words:
        if _INTEGER.fullmatch(word) and -(2**31) <= int(word) < 2**31:
            values.append(int(word))
        elif _FLOAT.fullmatch(word):
            values.append(float(word))
        else:
            raise ConversionError(f":{number}: {setting!r}: {word!r} is no number")
    if not is_array and len(values) != 1:
        raise ConversionError(f":{number}: expected one value, got {setting!r}")
    return tuple(values) if is_array else values[0]


def _count(number: int, word: str) -> int:
    if not _INTEGER.fullmatch(word) or int(word) < 0:
        raise ConversionError(f":{number}: expected a number of things, got {word!r}")
    return int(word)


def _parameter_id(key: int, where: str) -> int:
    number = _ARRAY - key if key <= _ARRAY else key
    if not 0 <= number < _MAX_ID:
        raise ConversionError(f"{where}: {key} is no parameter number")
    return number


def _read_binary(data: bytes) -> Iterator[NcnnLayer]:
    """Read a binary file; errors begin with `: `."""
    words = _Words(data)
    words.take(1)
    n_layers, n_blobs = words.take(2)
    if n_layers < 0 or n_blobs < 0:
        raise ConversionError(f": damaged: {n_layers} layers and {n_blobs} blobs announced")
    for index in range(n_layers):
        where = f": layer {index}"
        type_number, n_bottoms, n_tops = words.take(3)
        blobs = words.take(n_bottoms, where) + words.take(n_tops, where)
        if any(not 0 <= blob < n_blobs for blob in blobs):
            raise ConversionError(f"{where}: blobs {list(blobs)} are not all among the {n_blobs} announced")
        type_ = _type_name(type_number)
        bottoms, tops = tuple(map(str, blobs[:n_bottoms])), tuple(map(str, blobs[n_bottoms:]))
        name = f"{type_}_{tops[0] if tops else index}"
        yield NcnnLayer(type_, name, bottoms, tops, Params(_binary_params(words, where)))
    if rest := len(data) - 4 * words.n_taken:
        raise ConversionError(f": damaged: {rest} bytes follow the last layer")


def _type_name(number: int) -> str:
    if number & _CUSTOM_TYPE:
        return f"custom type {number - _CUSTOM_TYPE}"
    return LAYER_TYPES[number] if 0 <= number < len(LAYER_TYPES) else f"type {number}"


def _binary_params(words: _Words, where: str) -> dict[int, Value]:
    values: dict[int, Value] = {}
    while (key := words.take(1, where)[0]) != _END_OF_LAYER:
        number = _parameter_id(key, where)
        if key <= _ARRAY:
            values[number] = tuple(Bits(word) for word in words.take(words.take(1, where)[0], where))
        else:
            values[number] = Bits(words.take(1, where)[0])
    return values


class _Words:
    """The 32-bit words of a file, taken from front to back."""

    def __init__(self, data: bytes) -> None:
        whole = len(data) // 4
        self._words = struct.unpack(f"<{whole}i", data[: 4 * whole])
        self.n_taken = 0

    def take(self, count: int, where: str = "") -> tuple[int, ...]:
        left = len(self._words) - self.n_taken
        if not 0 <= count <= left:
            raise ConversionError(f"{where}: damaged or cut off: {count} words wanted, {left} are left")
        self.n_taken += count
        return self._words[self.n_taken - count : self.n_taken]
