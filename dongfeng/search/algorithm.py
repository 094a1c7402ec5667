"""`Search`: the algorithm in single steps.

    1. S = the encodings inside the latency window, D = {}
    2. draw w from what is left of S, evaluate it, D = D + {w}
    3. drop every x of S that precedes some w of D when some y of D is no slower than x and no less accurate than w
    4. again from 2; the answer is the boundary of D

Source: Partial Order Pruning (CVPR 2019). `Search` draws and prunes; whoever evaluates may do so anywhere and keep a
log. `dongfeng.search.search` takes all steps.
"""

from __future__ import annotations

import math

import numpy as np

from dongfeng.errors import SearchError
from dongfeng.search.candidates import candidates
from dongfeng.search.config import SAMPLERS, SearchConfig, check_settings
from dongfeng.search.latency import LatencySource, latency_model
from dongfeng.search.outcome import accuracy_number
from dongfeng.search.pruning import OpenCandidates
from dongfeng.search.result import Candidate, Result
from dongfeng.search.samplers import Known, Sampler
from dongfeng.search.space import Encoding, Space


class Search:
    """A search in single steps: `ask` for candidates, `tell` their accuracies, in any order.

    The sequence of calls decides all that happens: the same calls on a new `Search` of equal arguments lead to the same
    state, which is how a run is resumed from its log. A draw depends on the seed, on the number of draws before, and
    on the known accuracies, not on the history of a generator.

    Args:
        space: The architectures.
        latency: As of `SearchConfig`, and so are the others.
        window_ms: Least and greatest latency.
        seed: Seed of the draws.
        margin: Difference of accuracies from which on to prune.
        sampler: Name of a sampler, or a sampler.

    Raises:
        SearchError: an argument is not of this form, or no architecture is inside the window.
        DeviceError: there is no such device.
    """

    def __init__(
        self,
        space: Space,
        *,
        latency: LatencySource,
        window_ms: tuple[float, float],
        seed: int = 0,
        margin: float = 0.0,
        sampler: str | Sampler = "uniform",
    ) -> None:
        check_settings(window_ms=window_ms, seed=seed, margin=margin, sampler=sampler)
        least_ms, most_ms = map(float, window_ms)
        self.candidates = candidates(space, latency_model(space, latency), (least_ms, most_ms))
        self._open = OpenCandidates(self.candidates, float(margin))
        self._sampler = sampler if callable(sampler) else SAMPLERS[sampler]
        self._seed = int(seed)
        self._pending: dict[Encoding, int] = {}
        self._evaluated: dict[int, Candidate] = {}

    @classmethod
    def from_config(cls, config: SearchConfig) -> Search:
        """Begin the search of a configuration."""
        return cls(
            config.space,
            latency=config.latency,
            window_ms=config.window_ms,
            seed=config.seed,
            margin=config.margin,
            sampler=config.sampler,
        )

    def ask(self, count: int = 1) -> list[Encoding]:
        """Draw candidates that were neither drawn nor pruned; fewer than asked for when fewer are left."""
        count = min(count, len(self._open))
        if count < 1:
            return []
        rng = np.random.default_rng([self._seed, len(self._evaluated) + len(self._pending)])
        accuracies = [candidate.accuracy for candidate in self._evaluated.values()]
        known = Known(self.candidates, [*self._evaluated], accuracies, [*self._pending.values()])
        numbers = self._open.take(self._sampler(self._open, known, count, rng))
        drawn = {self.candidates.encoding(number): int(number) for number in numbers}
        self._pending.update(drawn)
        return list(drawn)

    def latency_ms(self, encoding: Encoding) -> float:
        """Return the milliseconds of a candidate that waits for its accuracy.

        Raises:
            SearchError: it does not wait.
        """
        return float(self.candidates.latency_ms[self._waiting(encoding)])

    def tell(self, encoding: Encoding, accuracy: float) -> Candidate:
        """Account for an evaluation, and prune. An accuracy that is not finite is a failure, which prunes nothing.

        Raises:
            SearchError: the encoding does not wait for its accuracy; or the accuracy is not a number.
        """
        number = self._waiting(encoding)
        accuracy = accuracy_number(accuracy, encoding)
        if math.isfinite(accuracy):
            self._open.learn(number, accuracy)
        else:
            accuracy = math.nan
        self._evaluated[number] = Candidate(encoding, self.latency_ms(encoding), accuracy)
        del self._pending[encoding]
        return self._evaluated[number]

    def result(self) -> Result:
        """Return the result so far; candidates that wait for their accuracy count as remaining."""
        return Result(tuple(self._evaluated.values()), self._open.pruned, len(self._open) + len(self._pending))

    def _waiting(self, encoding: Encoding) -> int:
        number = self._pending.get(encoding)
        if number is None:
            raise SearchError(f"tell: {encoding} is not waiting for its accuracy; tell what `ask` gave, once")
        return number
