"""`ParallelEvaluator`: the base of the evaluators in processes and on a cluster."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from dongfeng.search.describe import Facts, describe
from dongfeng.search.outcome import Evaluate, Outcome, in_order, seed_of
from dongfeng.search.space import Encoding


class ParallelEvaluator(ABC):
    """Shares a callable's evaluations out among workers; who they are changes no accuracy.

    Accuracies come in the order of the encodings, so that a search does not depend on who is done first.
    """

    def __init__(self, evaluate: Evaluate) -> None:
        self._evaluate = evaluate

    @abstractmethod
    def outcomes(self, encodings: Sequence[Encoding]) -> Iterator[tuple[int, Outcome]]:
        """See `OutcomeEvaluator.outcomes`."""

    def evaluate(self, encodings: Sequence[Encoding]) -> Iterator[float]:
        """See `Evaluator.evaluate`."""
        return in_order((index, outcome.accuracy) for index, outcome in self.outcomes(encodings))

    def describe(self) -> Facts:
        """Describe the callable."""
        return describe(self._evaluate)

    def seed_of(self, encoding: Encoding) -> int | None:
        """Return the seed of a candidate, where there is one."""
        return seed_of(self._evaluate, encoding)
