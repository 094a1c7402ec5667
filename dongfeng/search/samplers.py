"""Which candidates to evaluate next. Pruning is sound whatever a sampler does: it only chooses among what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dongfeng.search.candidates import Candidates
from dongfeng.search.pruning import Numbers, OpenCandidates


@dataclass(frozen=True)
class Known:
    """What a sampler may go by.

    Attributes:
        candidates: All candidates of the window.
        numbers: Those evaluated, in order.
        accuracies: Their accuracies; NaN where the evaluation failed.
        pending: Numbers of those that were drawn and not yet told.
    """

    candidates: Candidates
    numbers: Sequence[int]
    accuracies: Sequence[float]
    pending: Sequence[int]


class Sampler(Protocol):
    """Chooses among the open candidates."""

    def __call__(self, left: OpenCandidates, known: Known, count: int, rng: np.random.Generator) -> Numbers:
        """Positions in `left` of `count` different candidates; `count` is at most `len(left)`."""
        ...


def uniform(left: OpenCandidates, known: Known, count: int, rng: np.random.Generator) -> Numbers:
    """Every open candidate is as likely as any other, as in the paper."""
    return rng.choice(len(left), count, replace=False)
