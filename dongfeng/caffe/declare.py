"""Declarations of parameter messages for layer types that `caffe.proto` lacks, made by the code of the type."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TypeAlias

from dongfeng.caffe.message import Message, checked_value
from dongfeng.caffe.schema import Field, MessageType, add_message, default_of, message_type, message_type_names
from dongfeng.errors import PrototxtError

FieldSpec: TypeAlias = "str | tuple[str, object] | list[str]"

_SCALARS = ("bool", "bytes", "double", "float", "int32", "int64", "string", "uint32")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def declare_params(name: str, /, **fields: FieldSpec) -> None:
    """Let network files give a layer a message that Caffe's own schema lacks, such as `my_param { alpha: 2 }`.

    Call it before the file is read; an equal declaration changes nothing.

    Args:
        name: Name of the message in a layer, such as "my_param".
        fields: Field name -> its specification: a type ("float", "double", "int32", "int64", "uint32", "bool",
            "string", "bytes", or a message such as "FillerParameter"), with "repeated" or "required" in front of it
            if it is; a pair of type and default; or a list of names for an enum, the first of which is the default.

    Raises:
        ValueError: the name is taken, a field's name is not valid, or its kind or default is not.

    Example:
        >>> declare_params("my_param", alpha=("float", 1.0), sizes="repeated int32", mode=["NEAREST", "LINEAR"])
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f'"{name}" is no name of a message; write it as "my_param"')
    type_ = MessageType(name, {field: _field(name, field, spec) for field, spec in fields.items()})
    known = message_type("LayerParameter").fields.get(name)
    if known is None:
        add_message(type_)
    elif known.type_name != name:
        raise ValueError(f'"{name}" is taken: it is Caffe\'s own field of LayerParameter')
    elif message_type(name).fields != type_.fields:
        fields_before = message_type(name).fields.values()
        listed = ", ".join(f"{field.name} ({field.type_name or field.kind})" for field in fields_before) or "none"
        raise ValueError(f'"{name}" is declared already, with other fields: {listed}')


def _field(message: str, name: str, spec: FieldSpec) -> Field:
    """Return the field that a spec describes.

    Raises:
        ValueError: the spec is not valid.
    """
    where = f"{message}.{name}"
    # An attribute of `Message` would hide the field.
    if not _NAME.fullmatch(name.lower()) or hasattr(Message, name):
        raise ValueError(f"{where}: no name for a field; choose another")
    if isinstance(spec, list):
        enum = {value: number for number, value in enumerate(spec)}
        if not enum or not all(isinstance(value, str) for value in spec):
            raise ValueError(f"{where}: an enum is a list of names, got {spec!r}")
        return Field(name, 0, "enum", False, False, where, enum, spec[0])
    kind, default = spec if isinstance(spec, tuple) else (spec, None)
    label, _, last = kind.rpartition(" ")
    is_message = last not in _SCALARS
    if label not in ("", "repeated", "required") or (is_message and last not in message_type_names()):
        raise ValueError(f'{where}: expected a kind such as "float" or "repeated int32", got {kind!r}')
    kind, type_name = ("message", last) if is_message else (last, "")
    unset = () if label == "repeated" else default_of(kind, "", {})
    field = Field(name, 0, kind, label == "repeated", label == "required", type_name, {}, unset)
    if default is None:
        return field
    if label or is_message:
        raise ValueError(f"{where}: only a plain field has a default")
    try:
        value = checked_value(field, default, where)
    except PrototxtError as exc:
        raise ValueError(str(exc)) from exc
    return replace(field, default=value)
