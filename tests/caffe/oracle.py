"""protobuf's own parser and classes as the oracle, and random messages that both sides can hold."""

from __future__ import annotations

from typing import Any

from google.protobuf import text_format
from hypothesis import strategies as st

from dongfeng.caffe.message import Message
from dongfeng.caffe.schema import Field, message_class, message_type, to_float32

_RANGES = {"int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1), "int64": (-(2**63), 2**63 - 1)}


def protobuf_text(text: str, type_name: str = "NetParameter") -> Any:
    """What protobuf reads in a text."""
    return text_format.Parse(text, message_class(type_name)())


def set_fields(message: Message) -> dict[str, Any]:
    """All that is set in a message, as plain data."""

    def plain(value: Any) -> Any:
        return set_fields(value) if isinstance(value, Message) else value

    return {
        name: [plain(item) for item in value] if isinstance(value, tuple) else plain(value)
        for name, value in message.items()
    }


def protobuf_fields(message: Any) -> dict[str, Any]:
    """All that is set in a protobuf message, in the same form."""
    fields = {}
    for descriptor, value in message.ListFields():

        def plain(item: Any, descriptor: Any = descriptor) -> Any:
            if descriptor.message_type is not None:
                return protobuf_fields(item)
            return descriptor.enum_type.values_by_number[item].name if descriptor.enum_type is not None else item

        is_list = message_type(message.DESCRIPTOR.name).fields[descriptor.name].repeated
        fields[descriptor.name] = [plain(item) for item in value] if is_list else plain(value)
    return fields


def _scalar(field: Field) -> st.SearchStrategy[Any]:
    if field.kind in _RANGES:
        return st.integers(*_RANGES[field.kind])
    if field.kind == "float":
        return st.floats(width=32, allow_nan=False) | st.sampled_from([0.1, 1e-4, 0.9, 1e-38]).map(to_float32)
    if field.kind == "double":
        return st.floats(allow_nan=False)
    if field.kind == "enum":
        return st.sampled_from(list(field.enum))
    return {"bool": st.booleans(), "bytes": st.binary(max_size=8), "string": st.text(max_size=8)}[field.kind]


def random_fields(type_name: str, depth: int = 3) -> st.SearchStrategy[dict[str, Any]]:
    """Random values for a message's fields, a few at a time."""

    def value(field: Field) -> st.SearchStrategy[Any]:
        one = random_fields(field.type_name, depth - 1) if field.kind == "message" else _scalar(field)
        return st.lists(one, min_size=1, max_size=3) if field.repeated else one

    fields = {name: f for name, f in message_type(type_name).fields.items() if depth or f.kind != "message"}
    required = [name for name, field in fields.items() if field.required]
    names = st.lists(st.sampled_from(sorted(fields)), max_size=4, unique=True) if fields else st.just([])
    return names.flatmap(
        lambda chosen: st.fixed_dictionaries({name: value(fields[name]) for name in sorted({*chosen, *required})})
    )
