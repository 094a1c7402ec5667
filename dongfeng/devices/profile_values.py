"""Numbers of device profiles: types of dataclass fields that say how `support.json_dataclass.read_as` reads them."""

from __future__ import annotations

from typing import Annotated

from dongfeng.support.strict_json import Node

_LARGEST = 1 << 24  # of a size or a number of channels
_LONGEST_MS = 1e9


def _pair(node: Node) -> tuple[int, int]:
    size_hw = node.size_hw()
    for side in node.items():
        _count(side)
    return size_hw


def _count(node: Node) -> int:
    value = node.positive_integer()
    if value > _LARGEST:
        node.fail(f"expected at most {_LARGEST}")
    return value


def _positive(node: Node) -> float:
    value = _at_least_zero(node)
    if value < 1 / _LONGEST_MS:
        node.fail(f"expected a positive number, got {value}")
    return value


def _at_least_zero(node: Node) -> float:
    value = node.number()
    if not 0 <= value <= _LONGEST_MS:
        node.fail(f"expected a number from 0 to {_LONGEST_MS:g}, got {value}")
    return value


Pair = Annotated[tuple[int, int], _pair]
Count = Annotated[int, _count]
Positive = Annotated[float, _positive]
AtLeastZero = Annotated[float, _at_least_zero]
