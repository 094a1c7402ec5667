"""A JSON value that knows its path, so that every complaint names the place."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NoReturn

from dongfeng.errors import ManifestError


@dataclass(frozen=True)
class Node:
    """One value of a JSON document.

    Every method that reads the value raises ManifestError, naming the path, where it is of another kind than asked for.

    Attributes:
        value: The value, as `json` gives it.
        path: Where it stands, such as `weights_manifest.json: models.df1.size_hw[0]`.
    """

    value: Any
    path: str

    def fail(self, problem: str) -> NoReturn:
        """Raise ManifestError with this value's path in front."""
        raise ManifestError(f"{self.path.removesuffix(':')}: {problem}; mend the file, or reinstall dongfeng")

    def _wrong(self, expected: str) -> NoReturn:
        self.fail(f"expected {expected}, got {json.dumps(self.value)[:60]}")

    def members(self) -> dict[str, Node]:
        """An object of any keys."""
        if not isinstance(self.value, dict):
            self._wrong("an object")
        joint = " " if self.path.endswith(":") else "."
        return {key: Node(value, f"{self.path}{joint}{key}") for key, value in self.value.items()}

    def fields(self, required: Collection[str], optional: Collection[str] = ()) -> dict[str, Node]:
        """An object of exactly these keys; optional ones may be missing."""
        members = self.members()
        unknown = sorted(members.keys() - {*required, *optional})
        if unknown:
            members[unknown[0]].fail("unknown key")
        missing = [key for key in required if key not in members]
        if missing:
            self.fail(f'key "{missing[0]}" is missing')
        return members

    def items(self) -> list[Node]:
        """A list."""
        if not isinstance(self.value, list):
            self._wrong("a list")
        return [Node(value, f"{self.path}[{index}]") for index, value in enumerate(self.value)]

    def text(self) -> str:
        """A string that is not empty."""
        if not isinstance(self.value, str) or not self.value:
            self._wrong("a text")
        return str(self.value)

    def choice(self, allowed: Collection[str]) -> str:
        """One of the allowed strings."""
        if not isinstance(self.value, str) or self.value not in allowed:
            self._wrong("one of " + ", ".join(f'"{word}"' for word in allowed))
        return self.value

    def boolean(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            self._wrong("true or false")
        return bool(self.value)

    def positive_integer(self) -> int:
        """An integer above 0."""
        if not isinstance(self.value, int) or isinstance(self.value, bool) or self.value <= 0:
            self._wrong("a positive integer")
        return int(self.value)

    def number(self) -> float:
        """A finite number."""
        value = math.nan
        if isinstance(self.value, (int, float)) and not isinstance(self.value, bool):
            with contextlib.suppress(OverflowError):  # a whole number of hundreds of digits
                value = float(self.value)
        if not math.isfinite(value):
            self._wrong("a number")
        return value

    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        sides = [side.positive_integer() for side in self.items()]
        if len(sides) != 2:
            self._wrong("[height, width]")
        return sides[0], sides[1]

    @property
    def is_null(self) -> bool:
        """Whether the value is null."""
        return self.value is None


def parse(text: str, *, filename: str) -> Node:
    """Parse a JSON document.

    Raises:
        ManifestError: it is not JSON, or a key stands twice in one object.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ManifestError(f'{filename}: key "{twice}" stands twice in one object; keep one of them')
        return members

    try:
        value = json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        where = f"{filename}:{error.lineno}:{error.colno}"
        raise ManifestError(f"{where}: not JSON: {error.msg}; mend the file, or reinstall dongfeng") from error
    return Node(value, f"{filename}:")
