"""The one reader of JSON: whatever the file holds, one line names its place, and nothing takes long."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dongfeng.errors import DeviceError
from dongfeng.support.json_layout import json_text
from dongfeng.support.strict_json import JsonFormat, Node

FORMAT = JsonFormat(DeviceError, "mend it", max_bytes=1 << 20)
Read = Callable[[Node], object]


def refused(text: str | bytes, read: Read = Node.members) -> str:
    with pytest.raises(DeviceError) as caught:
        read(FORMAT.parse(text, source="f.json"))
    message = str(caught.value)
    assert message.endswith("; mend it")
    assert "\n" not in message
    assert len(message) < 200
    return message.removesuffix("; mend it")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.json:1:1: not JSON: Expecting value"),
        ('{\n "a": 1,\n}', "f.json:3:1: not JSON: "),
        (b"\x80", "f.json: not UTF-8 at byte 0"),
        ("\ufeff{}", "f.json:1:1: not JSON: Unexpected UTF-8 BOM"),
        ('{"a": {"b": 1, "b": 1}}', 'f.json: key "b" stands twice in one object'),
        ("[" * 200_000, "f.json: nested too deeply"),
        ('{"a":' * 100_000, "f.json: nested too deeply"),
        (" " * (1 << 20) + "{}", "f.json: larger than 1 MiB"),
        ("[1, 2]", "f.json: expected an object, got [1, 2]"),
        ('"' + "x" * 1000 + '"', 'f.json: expected an object, got "xxx'),
    ],
    ids=["empty", "place", "bytes", "mark", "twice", "lists", "objects", "large", "list", "long"],
)
def test_a_damaged_document_is_one_line(text: str | bytes, message: str) -> None:
    assert refused(text).startswith(message)


@pytest.mark.parametrize(
    ("text", "read", "expected"),
    [
        ("1.5", Node.positive_integer, "a positive integer"),
        ("true", Node.positive_integer, "a positive integer"),
        ("0", Node.positive_integer, "a positive integer"),
        ("-1", Node.count, "a whole number of at least 0"),
        ("9" * 401, Node.positive_integer, "a positive integer"),
        ("true", Node.number, "a number"),
        ('"1"', Node.number, "a number"),
        ("NaN", Node.number, "a number"),
        ("-Infinity", Node.number, "a number"),
        ("1e999", Node.number, "a number"),
        ("9" * 399, Node.number, "a number"),
        ("9" * 100_000, Node.number, "a number"),
        ('""', Node.text, "a text"),
        ("0", Node.boolean, "true or false"),
        ("{}", Node.items, "a list"),
        ("[1, 2, 3]", Node.size_hw, "[height, width]"),
        ('"c"', lambda node: node.choice(("a", "b")), 'one of "a", "b"'),
        ("[]", lambda node: node.choice(("a", "b")), 'one of "a", "b"'),
    ],
)
def test_a_value_of_another_type_is_refused(text: str, read: Read, expected: str) -> None:
    assert refused(text, read).startswith(f"f.json: expected {expected}, got ")


def test_paths_lead_to_the_value() -> None:
    document = FORMAT.parse('{"a": {"b": [[1, 2], [3, "4"]]}}', source="f.json")
    pairs = document.fields(["a"])["a"].fields(["b"])["b"].items()
    assert pairs[0].size_hw() == (1, 2)
    with pytest.raises(DeviceError, match=r'^f\.json: a\.b\[1\]\[1\]: expected a positive integer, got "4"; mend it$'):
        pairs[1].size_hw()


def test_keys_are_exactly_those_that_are_known() -> None:
    document = FORMAT.parse('{"a": null, "c": 1}', source="f.json")
    assert document.fields(["a"], ["b", "c"])["a"].is_null
    with pytest.raises(DeviceError, match=r"^f\.json: c: unknown key; mend it$"):
        document.fields(["a"])
    with pytest.raises(DeviceError, match=r'^f\.json: key "b" is missing; mend it$'):
        document.fields(["a", "b"], ["c"])


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    with pytest.raises(FileNotFoundError):
        FORMAT.read(path)
    path.write_bytes(b'{"a": "' + "\N{SNOWMAN}".encode() + b'"}')
    assert FORMAT.read(path).members()["a"].text() == "\N{SNOWMAN}"
    path.write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(DeviceError, match=r"f\.json: larger than 1 MiB; mend it$"):
        FORMAT.read(path)
    with pytest.raises(DeviceError, match="Is a directory"):
        FORMAT.read(tmp_path)
    with pytest.raises(DeviceError, match="null"):
        FORMAT.read("a\0b")


def test_a_huge_document_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    start = time.monotonic()
    with pytest.raises(DeviceError, match="larger than 1 MiB"):
        FORMAT.read(path)
    assert time.monotonic() - start < 60


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), VALUES))
def test_what_is_written_is_read(value: dict[str, Any]) -> None:
    assert FORMAT.parse(json_text(value), source="f.json").value == value


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_what_python_reads_is_read_and_all_else_is_one_line(text: str | bytes) -> None:
    try:
        expected = json.loads(text.decode("utf-8") if isinstance(text, bytes) else text)
    except ValueError:
        refused(text)
    else:
        assert repr(FORMAT.parse(text, source="f.json").value) == repr(expected)
