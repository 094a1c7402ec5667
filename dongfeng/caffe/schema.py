"""Caffe's messages as data: names, kinds, defaults, read from `caffe_schema.binpb`.

`caffe.proto` is compiled ahead of time into a descriptor set, and no generated module is shipped: nothing enters
protobuf's default pool, where every other `caffe_pb2` of the process would collide, and no runtime version is tied to
the version of a compiler. `python -m dongfeng.caffe.schema` compiles it again.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet
    from google.protobuf.descriptor_pool import DescriptorPool

PROTO_PATH = Path(__file__).with_name("caffe.proto")
BINARY_PATH = Path(__file__).with_name("caffe_schema.binpb")

_FLOAT = struct.Struct("<f")
_LABEL_REQUIRED, _LABEL_REPEATED = 2, 3
# FieldDescriptorProto.Type of the kinds that Caffe uses.
_KINDS = {
    1: "double",
    2: "float",
    3: "int64",
    5: "int32",
    8: "bool",
    9: "string",
    11: "message",
    12: "bytes",
    13: "uint32",
    14: "enum",
}
INTEGER_RANGES = {"int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1), "int64": (-(2**63), 2**63 - 1)}
_ZERO: dict[str, Any] = {"double": 0.0, "float": 0.0, "bool": False, "string": "", "bytes": b""}


def to_float32(value: float) -> float:
    """Return the float32 nearest to `value`, as a Python float; infinite where it is too large."""
    try:
        rounded: float = _FLOAT.unpack(_FLOAT.pack(value))[0]
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
    return rounded


@dataclass(frozen=True)
class Field:
    """One field of a message.

    Attributes:
        name: Its name in a prototxt.
        number: Its number in a caffemodel; 0 if `add_message` added it, for no caffemodel holds it.
        kind: double, float, int32, int64, uint32, bool, string, bytes, enum or message.
        repeated: Whether it may be given any number of times.
        required: Whether it has to be given.
        type_name: Name of its message or enum type, such as "FillerParameter"; empty for scalars.
        enum: Enum value name -> number; empty for everything else.
        default: Value of an unset field; None for a message, () for a repeated field.
    """

    name: str
    number: int
    kind: str
    repeated: bool
    required: bool
    type_name: str
    enum: Mapping[str, int]
    default: Any


@dataclass(frozen=True, eq=False)
class MessageType:
    """One message: its name without package, and its fields by name, in order of their numbers."""

    name: str
    fields: dict[str, Field]


_added: dict[str, MessageType] = {}


def message_type(name: str) -> MessageType:
    """Return the message of that name, such as "LayerParameter".

    Raises:
        KeyError: there is no such message.
    """
    return _added[name] if name in _added else _compiled_type(name)


def add_message(type_: MessageType) -> None:
    """Add a message that `caffe.proto` lacks, and a field of its name and type to LayerParameter."""
    _added[type_.name] = type_
    # In place: messages that exist already have the new field too.
    field = Field(type_.name, 0, "message", False, False, type_.name, {}, None)
    message_type("LayerParameter").fields[type_.name] = field


@cache
def _compiled_type(name: str) -> MessageType:
    proto = _messages()[name]
    fields = map(_field, sorted(proto.field, key=lambda field: field.number))
    return MessageType(name, {field.name: field for field in fields})


def message_type_names() -> tuple[str, ...]:
    """Return the names of all messages."""
    return (*_messages(), *_added)


@cache
def message_class(name: str) -> type[Any]:
    """Return protobuf's own class for a message, from a pool that no other module sees.

    Raises:
        KeyError: there is no such message.
    """
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"caffe.{name}"))


@cache
def _pool() -> DescriptorPool:
    from google.protobuf.descriptor_pool import DescriptorPool

    pool = DescriptorPool()
    for file in _file_descriptor_set().file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


@cache
def _file_descriptor_set() -> FileDescriptorSet:
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    return FileDescriptorSet.FromString(BINARY_PATH.read_bytes())


@cache
def _messages() -> dict[str, DescriptorProto]:
    return {proto.name: proto for file in _file_descriptor_set().file for proto in file.message_type}


@cache
def _enums() -> dict[str, dict[str, int]]:
    """Return enum values by the enum's name: "Phase", "PoolingParameter.PoolMethod"."""
    enums = {enum.name: enum for file in _file_descriptor_set().file for enum in file.enum_type}
    for proto in _messages().values():
        enums.update({f"{proto.name}.{enum.name}": enum for enum in proto.enum_type})
    return {name: {value.name: value.number for value in enum.value} for name, enum in enums.items()}


def _field(proto: FieldDescriptorProto) -> Field:
    kind = _KINDS[proto.type]
    type_name = proto.type_name.removeprefix(".caffe.")
    enum = _enums()[type_name] if kind == "enum" else {}
    repeated = proto.label == _LABEL_REPEATED
    default = () if repeated else default_of(kind, proto.default_value, enum)
    return Field(proto.name, proto.number, kind, repeated, proto.label == _LABEL_REQUIRED, type_name, enum, default)


def default_of(kind: str, text: str, enum: Mapping[str, int]) -> Any:
    """Return the value of an unset field: the default written in the schema, or protobuf's where `text` is empty."""
    if kind == "message":
        return None
    if kind == "enum":
        return text or next(iter(enum))
    if kind == "float":
        return to_float32(float(text or 0))
    if kind in INTEGER_RANGES:
        return int(text or 0)
    if kind == "bool":
        return text == "true"
    return text or _ZERO[kind]


def compile_schema() -> bytes:
    """Compile `caffe.proto` to a descriptor set (needs grpcio-tools)."""
    import tempfile

    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / BINARY_PATH.name
        options = [f"-I{PROTO_PATH.parent}", f"--descriptor_set_out={output}", PROTO_PATH.name]
        if protoc.main(["protoc", *options]) != 0:
            raise SystemExit(1)  # the compiler has said why
        return output.read_bytes()


if __name__ == "__main__":
    BINARY_PATH.write_bytes(compile_schema())
