"""Partial Order Pruning: `OpenCandidates` drops those that can no longer lift the boundary.

An evaluated w bounds the accuracy of every x that precedes it: Acc(x) <= Acc(w). An evaluated y that is no slower than
x is the accuracy that x has to beat. So x is pruned as soon as

    floor(x) >= upper(x) + margin,   floor(x) = max{Acc(y): y evaluated, Lat(y) <= Lat(x)},
                                     upper(x) = min{Acc(w): w evaluated, x precedes w}

and two numbers per candidate are all there is to keep. The source leaves ties open; equality prunes here, since x could
at best tie with y. Only predecessors are pruned: a successor of a poor architecture may well be accurate, and its
latency is known anyway. Only the accuracy half of the paper's assumption is used, so latencies need not obey the order.

Noise: let an evaluation err by at most e, and the assumption by at most d (Acc(x) <= Acc(w) + d for true accuracies).
Then for every pruned x there is an evaluated y, no slower, whose true accuracy is at least that of x less
max(0, 2e + d - margin): with a margin of 2e + d pruning loses nothing. Reading the boundary off evaluations that err
costs up to 2e more, as it does for any method.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dongfeng.search.candidates import Candidates
from dongfeng.search.order import preceding
from dongfeng.search.stages import Ints
from dongfeng.support.pareto import Floats

Numbers = npt.NDArray[np.intp]


class OpenCandidates:
    """The candidates that may still be drawn, and the bounds of each.

    All arrays hold one entry for each open candidate, in the order of their numbers.

    Attributes:
        numbers: (n,) their numbers in `Candidates`.
        rows: (stages, n) their rows in the stage tables.
        latency_ms: (n,) their latencies.
        upper: (n,) least accuracy of an evaluated successor, infinity without one.
        floor: (n,) greatest accuracy of an evaluated candidate that is no slower, -infinity without one.
        pruned: Number of pruned candidates.
    """

    def __init__(self, candidates: Candidates, margin: float) -> None:
        self.numbers: Numbers = np.arange(len(candidates))
        self.rows: Ints = candidates.rows
        self.latency_ms: Floats = candidates.latency_ms
        self.upper: Floats = np.full(len(candidates), np.inf)
        self.floor: Floats = np.full(len(candidates), -np.inf)
        self.pruned = 0
        self._candidates = candidates
        self._margin = margin

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, positions: Sequence[int] | Numbers) -> Numbers:
        """Remove candidates to be evaluated, and return their numbers in the order of `positions`."""
        taken = self.numbers[np.asarray(positions, dtype=np.intp)]
        keep = np.ones(len(self), dtype=bool)
        keep[np.asarray(positions, dtype=np.intp)] = False
        self._keep(keep)
        return taken

    def learn(self, number: int, accuracy: float) -> None:
        """Account for an evaluated candidate, and prune."""
        smaller = preceding(self._candidates.space.stages, self.rows, self._candidates.rows[:, number])
        np.minimum(self.upper, accuracy, out=self.upper, where=smaller)
        no_faster = self.latency_ms >= self._candidates.latency_ms[number]
        np.maximum(self.floor, accuracy, out=self.floor, where=no_faster)
        keep = self.floor < self.upper + self._margin
        self.pruned += len(keep) - int(np.count_nonzero(keep))
        self._keep(keep)

    def _keep(self, keep: npt.NDArray[np.bool_]) -> None:
        if not keep.all():
            self.numbers, self.latency_ms = self.numbers[keep], self.latency_ms[keep]
            self.upper, self.floor = self.upper[keep], self.floor[keep]
            self.rows = self.rows[:, keep]
