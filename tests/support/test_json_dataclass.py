"""Dataclasses to JSON and back, and the complaints about what is damaged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from dongfeng.errors import DongfengError
from dongfeng.support.json_dataclass import as_json, read_as
from dongfeng.support.strict_json import JsonFormat, Node


def even(node: Node) -> int:
    if node.integer() % 2:
        node.fail("expected an even number")
    return node.integer()


@dataclass(frozen=True)
class Inner:
    name: str
    share: float | None = None


@dataclass(frozen=True)
class Outer(Inner):
    color: Literal["red", "blue"] = "red"
    flags: tuple[bool, ...] = ()
    parts: tuple[Inner, ...] = ()
    by_name: Mapping[str, int] | None = None
    count: Annotated[int, even] = 0


VALUE = Outer("a", 0.5, "blue", (True, False), (Inner("b"), Inner("c", 1.0)), {"x": 0, "y": -3}, 4)


def read(value: Any) -> Outer:
    return read_as(Outer, JsonFormat(DongfengError, "see the page").parse(json.dumps(value), source="f.json"))


def test_what_was_written_is_read_again() -> None:
    assert as_json(Inner("b")) == {"name": "b", "share": None}
    assert as_json(VALUE)["parts"] == [{"name": "b", "share": None}, {"name": "c", "share": 1.0}]
    assert read(as_json(VALUE)) == VALUE
    assert read({"name": "a"}) == Outer("a")
    assert as_json({"files": (Path("a/b"),)}) == {"files": [str(Path("a/b"))]}


@dataclass(frozen=True)
class Renamed:
    name: str
    parts: tuple[Inner, ...] = field(default=(), metadata={"key": "units"})


def test_a_key_may_have_another_name_and_a_field_be_given() -> None:
    assert as_json(Renamed("a", (Inner("b"),))) == {"name": "a", "units": [{"name": "b", "share": None}]}
    node = JsonFormat(DongfengError, "see the page").parse('{"units": [{"name": "b"}], "more": 1}', source="f.json")
    assert read_as(Renamed, node.without("more"), {"name": "a"}) == Renamed("a", (Inner("b"),))
    with pytest.raises(DongfengError, match="f.json: more: unknown key"):
        read_as(Renamed, node, {"name": "a"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, r"f.json: name: expected a text, got null; see the page"),
        ({"share": "1"}, "share: expected a number"),
        ({"color": "green"}, 'color: expected one of "red", "blue"'),
        ({"flags": [True, 1]}, r"flags\[1\]: expected true or false"),
        ({"parts": [{}]}, r'parts\[0\]: key "name" is missing'),
        ({"parts": {}}, "parts: expected a list"),
        ({"by_name": {"x": True}}, "by_name.x: expected a whole number"),
        ({"count": 3}, "count: expected an even number"),
        ({"other": 3}, "other: unknown key"),
    ],
)
def test_damage_is_named_by_its_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DongfengError, match=message):
        read(as_json(VALUE) | change)
