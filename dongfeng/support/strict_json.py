"""Strict, bounded reading of JSON files: each error names file, place, what was expected, what to do."""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn

from dongfeng.errors import DongfengError

_MOST_DIGITS = 400  # of a number: more than any float has, few enough to be read in no time

_LONGEST_MS = 1e9


@dataclass(frozen=True)
class JsonFormat:
    """A format of JSON files: the errors of its reader.

    Attributes:
        error: Exception class that a damaged file raises.
        advice: What the user can do; the end of every message.
        max_bytes: Largest file that is read at all.
    """

    error: type[DongfengError]
    advice: str
    max_bytes: int = 64 << 20

    def read(self, path: str | PathLike[str]) -> Node:
        """Read the document in a file.

        Raises:
            FileNotFoundError: there is no such file.
            DongfengError: of this format's class: it cannot be read, is too large, not UTF-8 or not JSON.
        """
        path = Path(path)
        try:
            with path.open("rb") as file:
                content = file.read(self.max_bytes + 1)
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:  # the latter from a path that holds a null byte
            self.fail(str(path), getattr(error, "strerror", None) or str(error))
        return self.parse(content, source=str(path))

    def parse(self, text: str | bytes, *, source: str, line: int | None = None) -> Node:
        """Read a document from its text.

        Args:
            text: The document, UTF-8 where it is bytes.
            source: Name of the document in messages.
            line: Number of the line of the source that the text is; None where it is the whole source.

        Raises:
            DongfengError: of this format's class: it is too large, not UTF-8, not JSON, or a key stands twice in one
                object.
        """
        place = source if line is None else f"{source}:{line}"
        if len(text) > self.max_bytes:
            self.fail(place, f"larger than {self.max_bytes >> 20} MiB")
        try:
            decoded = text.decode("utf-8") if isinstance(text, bytes) else text
            value = json.loads(decoded, object_pairs_hook=_once, parse_int=_integer)
        except UnicodeDecodeError as error:
            self.fail(place, f"not UTF-8 at byte {error.start}")
        except json.JSONDecodeError as error:
            self.fail(f"{source}:{error.lineno}:{error.colno}" if line is None else place, f"not JSON: {error.msg}")
        except RecursionError:
            self.fail(place, "nested too deeply")
        except ValueError as error:
            self.fail(place, str(error))
        return Node(value, f"{place}:", self)

    def fail(self, place: str, problem: str) -> NoReturn:
        """Raise this format's exception: place, problem, advice."""
        raise self.error(f"{place}: {problem}; {self.advice}")


@dataclass(frozen=True)
class Node:
    """A value of a JSON document, with its place.

    Every method that reads the value raises the format's exception, naming the path, if the value has another type.

    Attributes:
        value: The value, as `json` gives it.
        path: Its place, such as `weights_manifest.json: models.df1.size_hw[0]`.
        format: The format of the document.
    """

    value: Any
    path: str
    format: JsonFormat

    def fail(self, problem: str) -> NoReturn:
        """Raise the format's exception with this value's path."""
        self.format.fail(self.path.removesuffix(":"), problem)

    def _wrong(self, expected: str) -> NoReturn:
        self.fail(f"expected {expected}, got {json.dumps(self.value)[:60]}")

    def members(self) -> dict[str, Node]:
        """Read an object of any keys."""
        if not isinstance(self.value, dict):
            self._wrong("an object")
        joint = " " if self.path.endswith(":") else "."
        return {key: Node(value, f"{self.path}{joint}{key}", self.format) for key, value in self.value.items()}

    def member(self, key: str) -> Node:
        """Read one value of an object that may have other keys too."""
        members = self.members()
        if key not in members:
            self.fail(f'key "{key}" is missing')
        return members[key]

    def fields(self, required: Collection[str], optional: Collection[str] = ()) -> dict[str, Node]:
        """Read an object of exactly these keys; optional ones may be missing."""
        members = self.members()
        unknown = sorted(members.keys() - {*required, *optional})
        if unknown:
            members[unknown[0]].fail("unknown key")
        missing = [key for key in required if key not in members]
        if missing:
            self.fail(f'key "{missing[0]}" is missing')
        return members

    def without(self, *keys: str) -> Node:
        """Return an object without some of its keys, which are read elsewhere."""
        rest = {key: node.value for key, node in self.members().items() if key not in keys}
        return Node(rest, self.path, self.format)

    def items(self) -> list[Node]:
        """Read a list."""
        if not isinstance(self.value, list):
            self._wrong("a list")
        return [Node(value, f"{self.path}[{index}]", self.format) for index, value in enumerate(self.value)]

    def text(self) -> str:
        """Read a string that is not empty."""
        if not isinstance(self.value, str) or not self.value:
            self._wrong("a text")
        return str(self.value)

    def string(self) -> str:
        """Read a string, which may be empty."""
        if not isinstance(self.value, str):
            self._wrong("a text")
        return str(self.value)

    def choice(self, allowed: Collection[str]) -> str:
        """Read one of the allowed strings."""
        if not isinstance(self.value, str) or self.value not in allowed:
            self._wrong("one of " + ", ".join(f'"{word}"' for word in allowed))
        return self.value

    def boolean(self) -> bool:
        """Read true or false."""
        if not isinstance(self.value, bool):
            self._wrong("true or false")
        return bool(self.value)

    def positive_integer(self) -> int:
        """Read an integer above 0."""
        return self._whole(1, "a positive integer")

    def count(self) -> int:
        """Read an integer of at least 0."""
        return self._whole(0, "a whole number of at least 0")

    def integer(self) -> int:
        """Read a whole number."""
        return self._whole(-math.inf, "a whole number")

    def _whole(self, least: float, expected: str) -> int:
        if not isinstance(self.value, int) or isinstance(self.value, bool) or self.value < least:
            self._wrong(expected)
        return int(self.value)

    def number(self) -> float:
        """Read a finite number."""
        value = math.nan
        if isinstance(self.value, (int, float)) and not isinstance(self.value, bool):
            with contextlib.suppress(OverflowError):  # a whole number of hundreds of digits
                value = float(self.value)
        if not math.isfinite(value):
            self._wrong("a number")
        return value

    def number_or_none(self) -> float | None:
        """Read a finite number, or None for null."""
        return None if self.is_null else self.number()

    def milliseconds(self) -> float:
        """Read a time in milliseconds, of less than two weeks."""
        value = self.number()
        if not 0 <= value < _LONGEST_MS:
            self._wrong("a time in milliseconds")
        return value

    def size_hw(self) -> tuple[int, int]:
        """Read height and width in pixels."""
        sides = [side.positive_integer() for side in self.items()]
        if len(sides) != 2:
            self._wrong("[height, width]")
        return sides[0], sides[1]

    @property
    def is_null(self) -> bool:
        """Whether the value is null."""
        return self.value is None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f'key "{twice}" stands twice in one object')
    return members


def _integer(digits: str) -> int | float:
    """Convert digits; a number too long for any use becomes infinite, which every reader refuses at its place."""
    return int(digits) if len(digits) <= _MOST_DIGITS else math.inf
