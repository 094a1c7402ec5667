"""Reading and writing network files in protobuf's text format, with the place of every field.

protobuf's own reader stops at the first unknown field and keeps no line numbers; this one reports all unknown fields
at once and remembers where each field stood.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dongfeng.caffe.message import Message, no_field
from dongfeng.caffe.schema import INTEGER_RANGES, Field, MessageType, message_type, to_float32
from dongfeng.caffe.tokens import Tokens, escape_character, parse_float, parse_integer, quote, scan, unescape
from dongfeng.errors import DongfengWarning, PrototxtError

_DEEPEST = 100
_CLOSING = {"{": "}", "<": ">", "[": "]"}
_LAYERS = ("LayerParameter", "V1LayerParameter", "V0LayerParameter")
_BOOLS = {"true": True, "True": True, "t": True, "false": False, "False": False, "f": False}
_SPECIAL_FLOATS = {"inf": "inf", "infinity": "inf", "inff": "inf", "infinityf": "inf", "nan": "nan", "nanf": "nan"}
_HTML = re.compile(r"\s*<(!doctype|html|head|\?xml)", re.IGNORECASE)


def read(path: str | os.PathLike[str], *, strict: bool = True) -> Message:
    """Read a network file.

    Args:
        path: A prototxt.
        strict: Whether unknown fields are an error; otherwise one DongfengWarning lists them and they are skipped.

    Returns:
        A NetParameter, as it stands in the file: neither upgraded nor filtered.

    Raises:
        PrototxtError: the file is not a network; the message has file, line and column.
        OSError: the file cannot be opened.
    """
    file = os.fspath(path)
    data = Path(path).read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PrototxtError("not UTF-8 text; is this a caffemodel?", file=file, line=line) from None
    net = parse(text, filename=file, strict=strict)
    if not any(part in net for part in ("layer", "layers", "input")):
        raise PrototxtError("the file is empty" if not text.strip() else "a network without layers", file=file)
    return net


def parse(text: str, *, filename: str = "<text>", strict: bool = True) -> Message:
    """Read a network from a text; arguments, result and errors are those of `read`."""
    if "\0" in text:
        raise PrototxtError("binary data, not text; is this a caffemodel?", file=filename)
    if _HTML.match(text):
        raise PrototxtError("a web page, not a prototxt; download the file itself", file=filename)
    parser = _Parser(scan(text, filename))
    net = parser.block(message_type("NetParameter"), 0, 0, "end")
    if parser.unknown:
        problem = _list_unknown(parser.tokens, parser.unknown)
        if strict:
            raise parser.tokens.error(parser.unknown[0].index, f"{problem}; strict=False skips what is unknown")
        warnings.warn(f"{filename}: {problem}; skipped", DongfengWarning, stacklevel=2)
    return net


@dataclass
class _Unknown:
    """A field that its message does not have: its token, the message, and the layer around it."""

    index: int
    type_: MessageType
    name: str
    layer: str | None = None


class _Parser:
    """A recursive descent over the tokens; `at` is the next one."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.kinds, self.texts = tokens.kinds, tokens.texts
        self.at = 0
        self.unknown: list[_Unknown] = []

    def block(self, type_: MessageType, name_at: int, depth: int, closing: str) -> Message:
        """Read the fields up to a closing mark; `name_at` is the token of the block's own name."""
        values: dict[str, Any] = {}
        lines = {"": self.tokens.line(name_at)}
        first_unknown = len(self.unknown)
        while (kind := self.kinds[self.at]) != closing:
            if kind != "name":
                raise self._no_field_name(name_at, closing)
            self._field(type_, values, lines, depth)
            if self.kinds[self.at] in (",", ";"):
                self.at += 1
        for name, field in type_.fields.items():
            if field.required and name not in values:
                raise self.tokens.error(name_at, f"{self.texts[name_at]}: {name} has to be given")
        if type_.name in _LAYERS:
            for unknown in self.unknown[first_unknown:]:
                unknown.layer = unknown.layer or values.get("name")
        self.at += 1
        return Message(type_, values, lines)

    def _field(self, type_: MessageType, values: dict[str, Any], lines: dict[str, int], depth: int) -> None:
        """Read one field with its value or values."""
        at = self.at
        name = self.texts[at]
        field = type_.fields.get(name)
        if field is None:
            self.unknown.append(_Unknown(at, type_, name))
            self._skip_field()
            return
        self.at += 1
        if self.kinds[self.at] == ":":
            self.at += 1
        elif field.kind != "message":
            raise self._expected('":"', f"after {name}")
        if not field.repeated:
            if name in values:
                raise self.tokens.error(at, f"{name} is given twice, first in line {lines[name]}")
            values[name] = self._value(field, at, depth)
        elif self.kinds[self.at] == "[":
            items = tuple(self._list(field, at, depth))
            if not items:
                return
            values[name] = values.get(name, ()) + items
        else:
            values[name] = (*values.get(name, ()), self._value(field, at, depth))
        lines.setdefault(name, self.tokens.line(at))

    def _value(self, field: Field, name_at: int, depth: int) -> Any:
        return self._message(field, name_at, depth) if field.kind == "message" else _SCALARS[field.kind](self, field)

    def _list(self, field: Field, name_at: int, depth: int) -> list[Any]:
        items: list[Any] = []
        self.at += 1
        if self.kinds[self.at] == "]":
            self.at += 1
            return items
        while True:
            items.append(self._value(field, name_at, depth))
            self.at += 1
            if self.kinds[self.at - 1] == "]":
                return items
            if self.kinds[self.at - 1] != ",":
                self.at -= 1
                raise self._expected('"," or "]"', f"in the list of {field.name}")

    def _message(self, field: Field, name_at: int, depth: int) -> Message:
        mark = self.kinds[self.at]
        if mark not in ("{", "<"):
            raise self._expected('"{"', f"after {field.name}")
        if depth >= _DEEPEST:
            raise self.tokens.error(self.at, f"blocks nested more than {_DEEPEST} deep")
        line_at = self.at if self.kinds[name_at + 1] == "[" or self.kinds[name_at + 2] == "[" else name_at
        self.at += 1
        return self.block(message_type(field.type_name), line_at, depth + 1, _CLOSING[mark])

    def integer(self, field: Field) -> int:
        """Read an integer in the range of the field's kind."""
        lowest, highest = INTEGER_RANGES[field.kind]
        at, negative = self._sign()
        number = parse_integer(self.texts[self.at]) if self.kinds[self.at] == "number" else None
        if number is None or (negative and lowest == 0):
            self.at = at
            raise self._expected("an integer" if lowest else "an integer without sign", f"for {field.name}")
        number = -number if negative else number
        if not lowest <= number <= highest:
            raise self.tokens.error(at, f"{field.name}: {number} is outside {lowest} to {highest}")
        self.at += 1
        return number

    def float32(self, field: Field) -> float:
        """Read a number, rounded to float32."""
        return to_float32(self.float64(field))

    def float64(self, field: Field) -> float:
        """Read a number."""
        at, negative = self._sign()
        number = None
        if self.kinds[self.at] == "number":
            number = parse_float(self.texts[self.at])
        elif self.kinds[self.at] == "name" and self.texts[self.at].lower() in _SPECIAL_FLOATS:
            number = float(_SPECIAL_FLOATS[self.texts[self.at].lower()])
        if number is None:
            self.at = at
            raise self._expected("a number", f"for {field.name}")
        self.at += 1
        return -number if negative else number

    def boolean(self, field: Field) -> bool:
        """Read true or false in any of the format's spellings."""
        kind, text = self.kinds[self.at], self.texts[self.at]
        value = _BOOLS.get(text) if kind == "name" else None
        if kind == "number" and parse_integer(text) in (0, 1):
            value = parse_integer(text) == 1
        if value is None:
            raise self._expected("true or false", f"for {field.name}")
        self.at += 1
        return value

    def enum(self, field: Field) -> str:
        """Read an enum value, given by name or number, as its name."""
        at, negative = self._sign()
        kind, text = self.kinds[self.at], self.texts[self.at]
        if kind == "name" and not negative and text in field.enum:
            self.at += 1
            return text
        if kind == "number" and (number := parse_integer(text)) is not None:
            for name, known in field.enum.items():
                if known == (-number if negative else number):
                    self.at += 1
                    return name
        self.at = at
        names = list(field.enum)
        if len(names) > 5:
            guess = difflib.get_close_matches(text.strip("\"'").upper(), names, n=1, cutoff=0.5)
            names = [f"a {field.type_name}", *(f"such as {name}" for name in guess or names[1:2])]
            raise self._expected(" ".join(names), f"for {field.name}")
        raise self._expected(" or ".join(names), f"for {field.name}")

    def string(self, field: Field) -> str:
        """Read one or several adjacent strings, as text."""
        at = self.at
        try:
            return self.bytes_(field).decode()
        except UnicodeDecodeError:
            raise self.tokens.error(at, f"{field.name}: not UTF-8 text") from None

    def bytes_(self, field: Field) -> bytes:
        """Read one or several adjacent strings, as bytes."""
        if self.kinds[self.at] != "string":
            raise self._expected("a quoted string", f"for {field.name}")
        parts = []
        while self.kinds[self.at] == "string":
            try:
                parts.append(unescape(self.texts[self.at]))
            except ValueError as error:
                raise self.tokens.error(self.at, f"{field.name}: {error}") from None
            self.at += 1
        return b"".join(parts)

    def _sign(self) -> tuple[int, bool]:
        """Skip a minus; return where the value begins, and whether there was one."""
        at = self.at
        if self.kinds[at] == "-":
            self.at += 1
        return at, self.at > at

    def _skip_field(self) -> None:
        """Skip an unknown field."""
        self.at += 1
        has_colon = self.kinds[self.at] == ":"
        self.at += has_colon
        kind = self.kinds[self.at]
        if kind in _CLOSING:
            self._skip_block()
        elif not has_colon:
            raise self._expected('":" or "{"', f"after {self.texts[self.at - 1]}")
        elif kind == "string":
            while self.kinds[self.at] == "string":
                self.at += 1
        else:
            self._sign()
            if self.kinds[self.at] not in ("number", "name"):
                raise self._expected("a value")
            self.at += 1

    def _skip_block(self) -> None:
        begin = self.at
        closing: list[str] = []
        while True:
            kind = self.kinds[self.at]
            if kind in _CLOSING:
                closing.append(_CLOSING[kind])
            elif kind == "end":
                raise self.tokens.error(self.at, f'expected "{closing[-1]}": line {self.tokens.line(begin)} opened it')
            elif kind in ("}", ">", "]") and closing.pop() != kind:
                raise self.tokens.error(self.at, f'"{kind}" closes nothing')
            self.at += 1
            if not closing:
                return

    def _expected(self, what: str, where: str = "") -> PrototxtError:
        kind, text = self.kinds[self.at], self.texts[self.at]
        got = "the end of the file" if kind == "end" else text if kind != "string" else f"the string {text}"
        return self.tokens.error(self.at, f"expected {what} {where}".rstrip() + f", got {got[:80]}")

    def _no_field_name(self, name_at: int, closing: str) -> PrototxtError:
        if closing == "end":
            return self._expected("a field name")
        where = f"{self.texts[name_at]} of line {self.tokens.line(name_at)}"
        if self.kinds[self.at] == "end":
            return self.tokens.error(self.at, f'the file ends inside {where}: a "{closing}" is missing')
        return self._expected(f'a field name or "{closing}"', f"in {where}")


_SCALARS: dict[str, Callable[[_Parser, Field], Any]] = {
    "int32": _Parser.integer,
    "int64": _Parser.integer,
    "uint32": _Parser.integer,
    "float": _Parser.float32,
    "double": _Parser.float64,
    "bool": _Parser.boolean,
    "enum": _Parser.enum,
    "string": _Parser.string,
    "bytes": _Parser.bytes_,
}


def _list_unknown(tokens: Tokens, unknown: list[_Unknown]) -> str:
    problems = []
    for field in unknown:
        where = f"layer {quote(field.layer)}: " if field.layer is not None else ""
        line = f"line {tokens.line(field.index)}: " if len(unknown) > 1 else ""
        problems.append(f"{line}{where}{field.type_.name} {no_field(field.type_, field.name)}")
    count = f"{len(unknown)} unknown fields: " if len(unknown) > 1 else ""
    is_solver = any(field.type_.name == "NetParameter" and field.name == "base_lr" for field in unknown)
    return count + "; ".join(problems) + ("; this is a solver file, not a network" if is_solver else "")


def format_text(message: Message) -> str:
    """Write a message as text that Caffe reads: a field per line, in the order of Caffe's schema.

    Returns:
        Lines with a line end each; empty for a message in which nothing is set.
    """
    lines: list[str] = []
    _format_fields(message, "", lines)
    return "".join(f"{line}\n" for line in lines)


def _format_fields(message: Message, indent: str, lines: list[str]) -> None:
    fields = message_type(message.type_name).fields
    for name in (name for name in fields if message.has(name)):
        value = getattr(message, name)
        for item in value if fields[name].repeated else (value,):
            if isinstance(item, Message):
                lines.append(f"{indent}{name} {{")
                _format_fields(item, indent + "  ", lines)
                lines.append(f"{indent}}}")
            else:
                lines.append(f"{indent}{name}: {_format_scalar(fields[name].kind, item)}")


def _format_scalar(kind: str, value: Any) -> str:
    if kind == "float":
        # Six digits always survive float32, nine always identify it.
        return next(text for digits in (6, 7, 8, 9) if _same(float(text := f"{value:.{digits}g}"), value))
    if kind == "bool":
        return "true" if value else "false"
    if kind == "string":
        return quote(value)
    if kind == "bytes":
        return '"' + re.sub(r'[^\x20-\x7e]|["\\]', escape_character, value.decode("latin-1")) + '"'
    return str(value)


def _same(number: float, value: float) -> bool:
    return to_float32(number) == value or math.isnan(value)
