"""`Message`, one Caffe message as immutable Python data, with the schema's defaults and the lines it was read from."""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np

from dongfeng.caffe.schema import INTEGER_RANGES, Field, MessageType, message_type, message_type_names, to_float32
from dongfeng.errors import PrototxtError


class Message:
    """An immutable Caffe message, from `message` or from a prototxt.

    A field is read as an attribute: the value that was set, else the schema's default. Repeated fields are tuples,
    enums the names of their values, float fields Python floats of float32 precision; an absent submessage reads as an
    empty one. `"axis" in m` and `m.has("axis")` say whether a field was set; iterating gives the names of such fields.

    Messages are compared by meaning: neither lines, nor order, nor fields set to their default, nor empty submessages
    count.
    """

    __slots__ = ("_key", "_lines", "_type", "_values")

    _key: tuple[Any, ...] | None
    _lines: Mapping[str, int]
    _type: MessageType
    _values: Mapping[str, Any]

    def __init__(self, type_: MessageType, values: Mapping[str, Any], lines: Mapping[str, int]) -> None:
        # No checks here: `message` and the prototxt reader make them.
        set_slot = object.__setattr__
        set_slot(self, "_type", type_)
        set_slot(self, "_values", values)
        set_slot(self, "_lines", lines)
        set_slot(self, "_key", None)

    @property
    def type_name(self) -> str:
        """Name of the message type, such as "ConvolutionParameter"."""
        return self._type.name

    def __getattr__(self, name: str) -> Any:
        # Private names are never fields. Without this a half-built instance (copy, pickle) would recurse.
        if not name.startswith("_"):
            if name in self._values:
                return self._values[name]
            field = self._field(name)
            return empty(field.type_name) if field.kind == "message" and not field.repeated else field.default
        raise AttributeError(name)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{self._type.name} is immutable; use replace({name}=...)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{self._type.name} is immutable; use replace({name}=None)")

    def has(self, name: str) -> bool:
        """Return whether the field was set, even to its default."""
        return self._field(name).name in self._values

    def line(self, name: str | None = None) -> int | None:
        """Return the line of the file where the field was (first) set; without a name, where this message begins."""
        return self._lines.get(self._field(name).name if name is not None else "")

    def items(self) -> tuple[tuple[str, Any], ...]:
        """Return names and values of the fields that are set."""
        return tuple(self._values.items())

    def replace(self, **fields: Any) -> Message:
        """Return the same message with other values for some fields; None removes one.

        Raises:
            PrototxtError: a field does not exist, or a value is not of its kind.
        """
        values = {name: value for name, value in self._values.items() if name not in fields}
        values.update(_checked(self._type, fields))
        return Message(self._type, values, {k: v for k, v in self._lines.items() if k not in fields})

    def with_lines_of(self, other: Message) -> Message:
        """Return the same message with the lines of another: its own, and those of the fields both have by name."""
        lines = {name: line for name, line in other._lines.items() if name in self._type.fields or not name}
        return Message(self._type, self._values, lines)

    def _field(self, name: str) -> Field:
        try:
            return self._type.fields[name]
        except KeyError:
            raise AttributeError(f"{self._type.name} {no_field(self._type, name)}") from None

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.has(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._type.fields})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return self._type.name == other._type.name and self._effective() == other._effective()

    def __hash__(self) -> int:
        return hash((self._type.name, self._effective()))

    def _effective(self) -> tuple[Any, ...]:
        """Return the meaning of the message: the set fields that are not their default, by name."""
        if self._key is None:
            pairs = ((name, _effective(self._type.fields[name], value)) for name, value in self._values.items())
            object.__setattr__(self, "_key", tuple(sorted(pair for pair in pairs if pair[1] is not None)))
        return self._key or ()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self._type.name, dict(self._values), dict(self._lines))

    def __repr__(self) -> str:
        return f"{self._type.name}({', '.join(f'{name}={_short(value)}' for name, value in self._values.items())})"


def message(type_name: str, /, **fields: Any) -> Message:
    """Create a message with the given fields.

    Args:
        type_name: Caffe's name of the message, such as "ConvolutionParameter".
        fields: Values by field name. A dict becomes a submessage, a single value of a repeated field a list of one,
            an enum may be given by name or number; None leaves the field unset.

    Raises:
        PrototxtError: there is no such message or field, or a value is not of its field's kind.

    Example:
        >>> message("ConvolutionParameter", num_output=64, kernel_size=3, weight_filler={"type": "msra"}).stride
        ()
    """
    if type_name not in message_type_names():
        raise PrototxtError(f'Caffe has no message "{type_name}"{closest(type_name, message_type_names())}')
    type_ = message_type(type_name)
    return Message(type_, _checked(type_, fields), {})


@cache
def empty(type_name: str) -> Message:
    """Return the message of that type with nothing set."""
    return Message(message_type(type_name), {}, {})


def closest(name: str, names: Iterable[str]) -> str:
    """Return the part of an error that proposes the most similar name; empty where none is similar."""
    matches = difflib.get_close_matches(name, names, n=1, cutoff=0.8)
    return f', did you mean "{matches[0]}"?' if matches else ""


def no_field(type_: MessageType, name: str) -> str:
    """Return the part of an error that says that a message has no such field."""
    return f'has no field "{name}"{closest(name, type_.fields)}'


def _rebuilt(type_name: str, values: Mapping[str, Any], lines: Mapping[str, int]) -> Message:
    return Message(message_type(type_name), values, lines)


def _effective(field: Field, value: Any) -> Any:
    """Return a comparable form of a field's value, None where it equals an absent one."""
    if isinstance(value, Message):
        return value._effective() or None
    if field.repeated:
        return tuple(item._effective() if isinstance(item, Message) else _comparable(item) for item in value) or None
    return None if value == field.default else _comparable(value)


def _comparable(value: Any) -> Any:
    # NaN in two files is the same setting, though NaN != NaN.
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def _short(value: Any) -> str:
    if isinstance(value, tuple) and value and isinstance(value[0], Message):
        return f"<{len(value)} x {value[0].type_name}>"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _checked(type_: MessageType, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values in the form a message keeps, without those that leave their field unset."""
    checked = {}
    for name, value in values.items():
        if name not in type_.fields:
            raise PrototxtError(f"{type_.name} {no_field(type_, name)}")
        if value is None:
            continue
        field = type_.fields[name]
        where = f"{type_.name}.{name}"
        if not field.repeated:
            checked[name] = checked_value(field, value, where)
        elif items := tuple(checked_value(field, item, where) for item in _items(value)):
            checked[name] = items
    return checked


def _items(value: Any) -> Iterable[Any]:
    is_one = isinstance(value, str | bytes | Mapping | Message) or not isinstance(value, Iterable)
    return (value,) if is_one else value


def checked_value(field: Field, value: Any, where: str) -> Any:
    """Return one value of a field in the form a message keeps.

    Raises:
        PrototxtError: it is not of the field's kind; the message begins with `where`.
    """
    kind = field.kind
    if kind == "message":
        return _checked_message(field, value, where)
    if kind == "enum":
        return _checked_enum(field, value, where)
    if kind in INTEGER_RANGES:
        return _checked_integer(kind, value, where)
    if kind in ("float", "double"):
        if isinstance(value, bool | np.bool_ | str | bytes) or not hasattr(value, "__float__"):
            raise PrototxtError(f"{where}: expected a number, got {value!r}")
        return to_float32(float(value)) if kind == "float" else float(value)
    if kind == "bool":
        if not isinstance(value, bool | np.bool_):
            raise PrototxtError(f"{where}: expected True or False, got {value!r}")
        return bool(value)
    wanted = str if kind == "string" else bytes
    if not isinstance(value, wanted):
        raise PrototxtError(f"{where}: expected {wanted.__name__}, got {value!r}")
    return value


def _checked_message(field: Field, value: Any, where: str) -> Message:
    if isinstance(value, Mapping):
        type_ = message_type(field.type_name)
        return Message(type_, _checked(type_, value), {})
    if isinstance(value, Message) and value.type_name == field.type_name:
        return value
    got = value.type_name if isinstance(value, Message) else repr(value)
    raise PrototxtError(f"{where}: expected {field.type_name} or a dict, got {got}")


def _checked_enum(field: Field, value: Any, where: str) -> str:
    for name, number in field.enum.items():
        if value == name or (value == number and not isinstance(value, bool)):
            return name
    raise PrototxtError(f"{where}: expected one of {', '.join(field.enum)}, got {value!r}")


def _checked_integer(kind: str, value: Any, where: str) -> int:
    lowest, highest = INTEGER_RANGES[kind]
    try:
        number = operator.index(value)
    except TypeError:
        raise PrototxtError(f"{where}: expected an integer, got {value!r}") from None
    if isinstance(value, bool) or not lowest <= number <= highest:
        raise PrototxtError(f"{where}: expected an integer from {lowest} to {highest}, got {value!r}")
    return number
