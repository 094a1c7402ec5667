from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dongfeng.caffe.wire import (
    FIXED32,
    FIXED64,
    LENGTH,
    VARINT,
    Record,
    WireError,
    length_prefix,
    read_varint,
    records,
    varint,
)


def walk(data: bytes) -> list[Record]:
    return list(records(data, 0, len(data)))


def test_the_four_kinds_of_fields():
    # From protobuf's documentation of its encoding: 150 as field 1, "testing" as field 2.
    assert walk(b"\x08\x96\x01") == [Record(1, VARINT, 150, 0)]
    assert walk(b"\x12\x07testing") == [Record(2, LENGTH, 2, 7)]
    assert walk(b"\x0d1234") == [Record(1, FIXED32, 1, 1)]
    assert walk(b"\x0912345678") == [Record(1, FIXED64, 1, 1)]
    assert walk(b"") == []


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 64 + 128, 1000])
def test_equal_fixed_fields_are_one_record(count):
    data = b"\x08\x01" + b"\x2dabcd" * count + b"\x35abcd" + b"\x2dabcd" * 2
    assert walk(data) == [
        Record(1, VARINT, 1, 0),
        Record(5, FIXED32, 3, count),
        Record(6, FIXED32, 3 + 5 * count, 1),
        Record(5, FIXED32, 8 + 5 * count, 2),
    ]


def test_numbers_beyond_one_tag_byte_are_single_records():
    assert walk(b"\x85\x01abc\x85" * 2) == [Record(16, FIXED32, 2, 1), Record(16, FIXED32, 8, 1)]


def test_groups_are_stepped_over():
    group = b"\x0b" + b"\x08\x01" + b"\x12\x01x" + b"\x1b\x0d1234\x1c" + b"\x0912345678" + b"\x0c"
    assert walk(group + b"\x08\x05") == [Record(1, VARINT, 5, 0)]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x08", "cut short in a number"),
        (b"\x08" + b"\x80" * 11, "more than 10 bytes"),
        (b"\x12\x08testing", "8 bytes should follow, 7 are left"),
        (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "18446744073709551615 bytes should follow, 0 are left"),
        (b"\x0d123", "4 bytes should follow, 3 are left"),
        (b"\x00\x01", "no field can begin here"),
        (b"\x0e\x01", "no field can begin here"),
        (b"\x0c", "ends a group that never began"),
        (b"\x0b\x14", "ends a group that never began"),
        (b"\x0b\x08\x01", "cut short"),
        (b"\x0b" * 100_000, "cut short"),
    ],
)
def test_what_is_no_message(data, problem):
    with pytest.raises(WireError, match=problem):
        walk(data)


@given(st.integers(0, 2**64 - 1))
def test_varints_survive(value):
    encoded = varint(value)
    assert read_varint(encoded, 0, len(encoded)) == (value, len(encoded))


def test_length_prefix():
    assert length_prefix(100, 300) == b"\xa2\x06\xac\x02"
