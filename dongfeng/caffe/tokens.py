"""The tokens of protobuf's text format: names, numbers, strings and marks, with their places in the file."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass

from dongfeng.errors import PrototxtError

# The last alternative takes any character, so that the scanner never goes back: its time is linear in the text.
_TOKEN = re.compile(
    r"""(?:\s+|\#[^\n]*)*
    (?: (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<mark>[{}<>\[\]:,;-])
      | (?P<number>(?:0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?)(?![A-Za-z0-9_.]))
      | (?P<string>"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*"|'[^'\\\n]*(?:\\[^\n][^'\\\n]*)*')
      | (?P<end>\Z)
      | (?P<other>.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_SIMPLE_ESCAPES = dict(zip(b"abfnrtv\\?'\"", b"\a\b\f\n\r\t\v\\?'\"", strict=True))
_LONGEST_INTEGER = 30


@dataclass(frozen=True)
class Tokens:
    """The tokens of a text, in order, as parallel lists; the last token is the end.

    Attributes:
        file: File name for errors.
        kinds: "name", "number", "string", "end", or the mark itself.
        texts: The tokens as they are written.
        starts: Their offsets in the text.
        newlines: Offsets of the text's line ends.
    """

    file: str
    kinds: list[str]
    texts: list[str]
    starts: list[int]
    newlines: list[int]

    def line(self, index: int) -> int:
        """Return the line of a token, from 1."""
        return bisect_left(self.newlines, self.starts[index]) + 1

    def error(self, index: int, problem: str) -> PrototxtError:
        """Return an error at a token."""
        return _error(problem, self.file, self.newlines, self.starts[index])


def scan(text: str, file: str) -> Tokens:
    """Split a text into tokens.

    Raises:
        PrototxtError: a character, number or string that cannot be one.
    """
    newlines = [match.start() for match in re.finditer("\n", text)]
    kinds: list[str] = []
    texts: list[str] = []
    starts: list[int] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "end"
        token = match[kind]
        start = match.end() - len(token)
        if kind == "other":
            raise _error(_no_token(text, start), file, newlines, start)
        kinds.append(token if kind == "mark" else kind)
        texts.append(token)
        starts.append(start)
        if kind == "end":
            break
    return Tokens(file, kinds, texts, starts, newlines)


def parse_integer(text: str) -> int | None:
    """Return the value of a decimal, octal or hexadecimal integer; None if the number is none."""
    if len(text) > _LONGEST_INTEGER:
        text = "9" * _LONGEST_INTEGER if text.isdecimal() else text[:_LONGEST_INTEGER]
    try:
        if text[:2] in ("0x", "0X"):
            return int(text, 16)
        return int(text, 8) if text[0] == "0" else int(text)
    except ValueError:
        return None


def parse_float(text: str) -> float | None:
    """Return the value of a decimal number; None for octal and hexadecimal ones, which floats may not be."""
    if text[0] == "0" and len(text) > 1 and text[1] in "0123456789xX":
        return None
    return float(text.rstrip("fF"))


def unescape(literal: str) -> bytes:
    """Return the bytes that a quoted string means.

    Raises:
        ValueError: an escape sequence that does not exist.
    """
    raw = literal[1:-1].encode()
    return _ESCAPE.sub(_escaped, raw) if b"\\" in raw else raw


def quote(text: str) -> str:
    """Return a text as a quoted string on one line, control characters escaped."""
    return '"' + re.sub(r'[\x00-\x1f\x7f"\\]', escape_character, text) + '"'


def escape_character(match: re.Match[str]) -> str:
    """Return the escape sequence of the character that was matched, which must be one byte."""
    return {"\n": "\\n", '"': '\\"', "\\": "\\\\"}.get(match[0], f"\\{ord(match[0]):03o}")


def _escaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if code[0] in b"01234567":
        return bytes([int(code, 8) & 0xFF])
    if len(code) > 1:
        number = int(code[1:], 16)
        if code[:1] == b"x":
            return bytes([number])
        if number < 0xD800 or 0xDFFF < number < 0x110000:
            return chr(number).encode()
    if len(code) > 1 or code[0] not in _SIMPLE_ESCAPES:
        raise ValueError(f"\\{code.decode(errors='replace')} is no escape sequence")
    return bytes([_SIMPLE_ESCAPES[code[0]]])


def _error(problem: str, file: str, newlines: list[int], offset: int) -> PrototxtError:
    line = bisect_left(newlines, offset)
    return PrototxtError(problem, file=file, line=line + 1, column=offset - (newlines[line - 1] if line else -1))


def _no_token(text: str, start: int) -> str:
    first = text[start]
    if first in "\"'":
        return "the string that begins here is not closed on its line"
    if first in ".0123456789":
        word = re.match(r"[\w.]{1,40}", text[start:])
        return f"{word[0] if word else first} is not a number"
    return f"unexpected character {first!r}"
