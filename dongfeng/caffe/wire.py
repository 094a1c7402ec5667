"""Protobuf's wire format, as far as weight files need it: a reader that checks every length, and an encoder."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

Buffer = bytes | mmap.mmap

VARINT, FIXED64, LENGTH, _GROUP, _END_GROUP, FIXED32 = range(6)
_WIDTHS = {FIXED64: 8, FIXED32: 4}
_LONGEST_VARINT = 10
_LARGEST_FIELD = 2**29 - 1


class WireError(ValueError):
    """Bytes that are no message; `offset` is their place in the buffer."""

    def __init__(self, problem: str, offset: int) -> None:
        self.offset = offset
        super().__init__(problem)


class Record(NamedTuple):
    """A field of a message.

    Attributes:
        number: The field's number.
        wire: VARINT, FIXED32, FIXED64 or LENGTH.
        value: The number itself for VARINT, else the offset of the payload.
        length: LENGTH: bytes of payload. FIXED32 and FIXED64: how many equal fields follow each other without a gap;
            their payloads are one tag byte apart, which is how unpacked arrays are stored.
    """

    number: int
    wire: int
    value: int
    length: int


def records(buffer: Buffer, start: int, end: int) -> Iterator[Record]:
    """Yield the fields of the message in `buffer[start:end]`; groups are skipped.

    Raises:
        WireError: the bytes are no message, or one that is cut short.
    """
    at = start
    groups: list[int] = []  # the numbers of those that are open
    while at < end or groups:
        begin = at
        number, wire, at = _tag(buffer, at, end)
        if wire == _GROUP:
            groups.append(number)
            continue
        if wire == _END_GROUP:
            if not groups or groups.pop() != number:
                raise WireError(f"field {number} ends a group that never began", begin)
            continue
        if wire == VARINT:
            value, at = read_varint(buffer, at, end)
            record = Record(number, wire, value, 0)
        elif wire == LENGTH:
            length, at = read_varint(buffer, at, end)
            _require(at, length, end)
            record = Record(number, wire, at, length)
            at += length
        else:
            width = _WIDTHS[wire]
            _require(at, width, end)
            count = _run(buffer, begin, end, width) if at - begin == 1 else 1
            record = Record(number, wire, at, count)
            at = begin + count * (1 + width) if at - begin == 1 else at + width
        if not groups:
            yield record


def read_varint(buffer: Buffer, at: int, end: int) -> tuple[int, int]:
    """Read the variable-length integer at an offset, from 0 to 2**64 - 1, and return it with the offset behind it."""
    value = 0
    for position in range(_LONGEST_VARINT):
        if at + position >= end:
            raise WireError("the file is cut short in a number", at)
        byte = buffer[at + position]
        value |= (byte & 127) << (7 * position)
        if byte < 128:
            return value & (2**64 - 1), at + position + 1
    raise WireError("a number of more than 10 bytes", at)


def varint(value: int) -> bytes:
    """Encode a non-negative integer."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def length_prefix(number: int, length: int) -> bytes:
    """Encode the tag and length in front of a payload of `length` bytes of field `number`."""
    return varint(number << 3 | LENGTH) + varint(length)


def _tag(buffer: Buffer, at: int, end: int) -> tuple[int, int, int]:
    tag, behind = read_varint(buffer, at, end)
    number, wire = tag >> 3, tag & 7
    if not 1 <= number <= _LARGEST_FIELD or wire > FIXED32:
        raise WireError("no field can begin here", at)
    return number, wire, behind


def _require(at: int, length: int, end: int) -> None:
    if length > end - at:
        raise WireError(f"{length} bytes should follow, {end - at} are left: is the file cut short?", at)


def _run(buffer: Buffer, begin: int, end: int, width: int) -> int:
    """Count the fields with the tag byte at `begin` that follow each other without a gap."""
    step = 1 + width
    longest = (end - begin) // step
    count, window = 0, 64
    while count < longest:
        # Growing windows: time stays linear in the file's size for one long run and for many short ones.
        size = min(window, longest - count)
        tags = np.ndarray((size,), np.uint8, buffer, begin + count * step, (step,))
        different = np.flatnonzero(tags != buffer[begin])
        if different.size:
            return count + int(different[0])
        count += size
        window *= 2
    return count
