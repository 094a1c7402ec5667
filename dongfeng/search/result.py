"""`Result`: the evaluated candidates of a search, and their boundary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

from dongfeng.search.encoding_text import encoding_text
from dongfeng.search.space import Encoding
from dongfeng.support.pareto import frontier


@dataclass(frozen=True)
class Candidate:
    """An evaluated architecture.

    Attributes:
        encoding: Widths of its blocks.
        latency_ms: Predicted latency.
        accuracy: As evaluated; NaN where the evaluation failed.
    """

    encoding: Encoding
    latency_ms: float
    accuracy: float

    def to_json(self) -> dict[str, object]:
        """Return a row of a table, the encoding as text."""
        return {**asdict(self), "encoding": encoding_text(self.encoding)}


@dataclass(frozen=True)
class Result:
    """Result of a search.

    Attributes:
        evaluated: Every evaluated candidate, in the order the results came in.
        pruned: Number of pruned candidates.
        remaining: Number of candidates neither evaluated nor pruned; 0 when the search is complete.
    """

    evaluated: tuple[Candidate, ...]
    pruned: int
    remaining: int

    @cached_property
    def front(self) -> tuple[Candidate, ...]:
        """The candidates that no other dominates, from the fastest to the most accurate."""
        return front(self.evaluated)


def front(evaluated: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Return the candidates that no other dominates, from the fastest to the most accurate."""
    chosen = frontier([each.latency_ms for each in evaluated], [each.accuracy for each in evaluated])
    return tuple(evaluated[index] for index in chosen)
