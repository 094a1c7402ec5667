"""Samplers choose the candidates to evaluate next. Pruning is sound with any choice among those that are left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dongfeng.search.candidates import Candidates
from dongfeng.search.pruning import Numbers, OpenCandidates


@dataclass(frozen=True)
class Known:
    """Knowledge that a sampler may use.

    Attributes:
        candidates: All candidates of the window.
        numbers: Numbers of the evaluated ones, in order.
        accuracies: Their accuracies; NaN where the evaluation failed.
        pending: Numbers of those that wait for their accuracy.
    """

    candidates: Candidates
    numbers: Sequence[int]
    accuracies: Sequence[float]
    pending: Sequence[int]


class Sampler(Protocol):
    """Chooses among the open candidates."""

    def __call__(self, left: OpenCandidates, known: Known, count: int, rng: np.random.Generator) -> Numbers:
        """Return positions in `left` of `count` different candidates; `count` is at most `len(left)`."""
        ...


def uniform(left: OpenCandidates, known: Known, count: int, rng: np.random.Generator) -> Numbers:
    """Draw every open candidate with the same probability, as in the paper."""
    return rng.choice(len(left), count, replace=False)
