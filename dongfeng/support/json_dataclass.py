"""Dataclasses as JSON objects, both ways: the fields are the keys, and their types say how a value is read.

A field whose key has another name says so: `field(metadata={"key": "unit_us"})`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from os import PathLike, fspath
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from dongfeng.support.strict_json import Node

T = TypeVar("T")
_PLAIN = {str: Node.string, int: Node.integer, float: Node.number, bool: Node.boolean}

# Types of fields, with their readers.
Text = Annotated[str, Node.text]
PositiveInteger = Annotated[int, Node.positive_integer]
SizeHw = Annotated[tuple[int, int], Node.size_hw]


def as_json(value: object) -> Any:
    """Return a value as `json.dumps` takes it: dataclasses become objects, sequences lists, paths text; any depth."""
    if is_dataclass(value):
        return {_key(field): as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return fspath(value) if isinstance(value, PathLike) else value


def read_as(class_: type[T], node: Node, given: Mapping[str, object] = MappingProxyType({})) -> T:
    """Read an object with one key for each field of a dataclass.

    Fields may be `str`, `int`, `float`, `bool`, a `Literal`, another dataclass, `tuple[X, ...]`, `Mapping[str, X]`,
    `X | None`, or `Annotated[X, read]`, whose function reads the node. The key of a field with a default (but not one
    with a default factory) may be missing.

    Args:
        class_: The dataclass.
        node: The object.
        given: Values of fields that are no keys of the object.

    Raises:
        DongfengError: of the document's class: a key is missing or unknown, or a value has another type.
    """
    expected = {_key(field): field for field in fields(class_) if field.name not in given}  # type: ignore[arg-type]
    required = [key for key, field in expected.items() if field.default is MISSING]
    members, types = node.fields(required, expected), _types(class_)  # type: ignore[arg-type]
    found = {expected[key].name: _read(types[expected[key].name], member) for key, member in members.items()}
    return class_(**found, **given)


def _key(field: Field[Any]) -> str:
    return str(field.metadata.get("key", field.name))


@cache
def _types(class_: type) -> dict[str, Any]:
    return get_type_hints(class_, include_extras=True)


def _read(type_: Any, node: Node) -> object:
    origin, arguments = get_origin(type_), get_args(type_)
    if origin in (Union, UnionType):
        return None if node.is_null else _read(arguments[0], node)
    if origin is Annotated:
        return arguments[1](node)
    if origin is Literal:
        return node.choice(arguments)
    if origin is tuple:
        return tuple(_read(arguments[0], item) for item in node.items())
    if is_dataclass(type_):
        return read_as(type_, node)  # type: ignore[arg-type]
    if origin is not None:
        return {key: _read(arguments[1], item) for key, item in node.members().items()}
    return _PLAIN[type_](node)
