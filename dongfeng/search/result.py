"""What a search hands back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from dongfeng.search.space import Encoding
from dongfeng.support.pareto import frontier


@dataclass(frozen=True)
class Candidate:
    """An evaluated architecture.

    Attributes:
        encoding: Widths of its blocks.
        latency_ms: Milliseconds, as predicted.
        accuracy: As evaluated; NaN where the evaluation failed.
    """

    encoding: Encoding
    latency_ms: float
    accuracy: float


@dataclass(frozen=True)
class Result:
    """What a search found.

    Attributes:
        evaluated: Every evaluated candidate, in the order the results came in.
        pruned: How many candidates were pruned.
        remaining: How many are neither evaluated nor pruned; 0 when the search is complete.
    """

    evaluated: tuple[Candidate, ...]
    pruned: int
    remaining: int

    @cached_property
    def front(self) -> tuple[Candidate, ...]:
        """The candidates that no other dominates, from the fastest to the most accurate."""
        points = [(candidate.latency_ms, candidate.accuracy) for candidate in self.evaluated]
        chosen = frontier(*zip(*points, strict=True)) if points else ()
        return tuple(self.evaluated[index] for index in chosen)
