"""The search: draw, evaluate, prune, until nothing is left.

    1. S = the encodings inside the latency window, D = {}
    2. draw w from what is left of S, evaluate it, D = D + {w}
    3. drop every x of S that precedes some w of D when some y of D is no slower than x and no less accurate than w
    4. again from 2; the answer is the boundary of D

Source: Partial Order Pruning (CVPR 2019). `Search` takes these steps one by one, so that whoever evaluates may do so
anywhere and keep a log; `search` runs them all, in a folder where it is given one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import numpy as np

from dongfeng.errors import SearchError
from dongfeng.search.candidates import candidates
from dongfeng.search.latency import LatencySource, latency_model
from dongfeng.search.pruning import OpenCandidates
from dongfeng.search.result import Candidate, Result
from dongfeng.search.samplers import Known, Sampler, uniform
from dongfeng.search.space import Encoding, Space
from dongfeng.search.surrogate import surrogate

SAMPLERS: Mapping[str, Sampler] = MappingProxyType({"uniform": uniform, "surrogate": surrogate})


@runtime_checkable
class Evaluator(Protocol):
    """Evaluates architectures, perhaps several at once."""

    def evaluate(self, encodings: Sequence[Encoding]) -> Iterable[float]:
        """Accuracy of each, in order, as they become known; NaN for an evaluation that failed."""
        ...


def search(
    space: Space,
    *,
    latency: LatencySource,
    evaluate: Callable[[Encoding], float] | Evaluator,
    window_ms: tuple[float, float],
    budget: int | None = None,
    seed: int = 0,
    batch: int = 1,
    margin: float = 0.0,
    sampler: str | Sampler = "uniform",
    run_dir: str | PathLike[str] | None = None,
) -> Result:
    """Search the best trade-offs of accuracy and latency by Partial Order Pruning.

    Args:
        space: The architectures.
        latency: Device name, profile or its path; a mapping of `Step` to milliseconds; or a callable of an encoding
            in milliseconds, which is asked for every encoding of the space.
        evaluate: Accuracy of an encoding, in any unit, greater is better; NaN where the evaluation failed. Or an
            `Evaluator`, which gets a whole batch at once.
        window_ms: Least and greatest latency, both included.
        budget: Evaluations after which to stop; None: go on until nothing is left.
        seed: Seed of the draws: equal arguments and accuracies give an equal search.
        batch: Candidates that are drawn at once.
        margin: Prune only where accuracies differ by this much. Twice the largest error of an evaluation keeps
            pruning sound; see `dongfeng.search.pruning`.
        sampler: "uniform", as in the paper; "surrogate", which needs far fewer evaluations; or a `Sampler`.
        run_dir: Folder of the run, which keeps every evaluation: a search that was killed, however that was, goes on
            with its next call, and ends as it would have. A larger budget continues one that has ended.

    Returns:
        The boundary, all that was evaluated, and how much was pruned.

    Raises:
        SearchError: an argument is not of this form, or no architecture is inside the window; or `run_dir` holds
            another search.
        DeviceError: there is no such device.
        OSError: `run_dir` cannot be written.

    Example:
        >>> space = Space.backbone(widths=(64, 128), depths=((1, 2), (1, 3), (1, 2)))
        >>> blocks = lambda encoding: float(sum(map(sum, encoding)))
        >>> found = search(space, latency="tx2", evaluate=blocks, window_ms=(0, 2), budget=20)
        >>> len(found.evaluated), len(found.evaluated) + found.pruned + found.remaining <= len(space)
        (20, True)
    """
    _check_counts(budget=budget, batch=batch)
    if not callable(evaluate) and not isinstance(evaluate, Evaluator):
        raise SearchError(f"evaluate: expected a callable of an encoding or an evaluator, got {evaluate!r}")
    from dongfeng.search.config import run_config
    from dongfeng.search.loop import run_in_folder, run_loop  # only here: they are built on `Search`

    run = Search(space, latency=latency, window_ms=window_ms, seed=seed, margin=margin, sampler=sampler)
    if run_dir is None:
        return run_loop(run, evaluate, budget=budget, batch=batch)
    config = run_config(
        space,
        latency=latency,
        evaluate=evaluate,
        window_ms=window_ms,
        budget=budget,
        seed=seed,
        batch=batch,
        margin=margin,
        sampler=sampler,
    )
    return run_in_folder(run, evaluate, run_dir, config, budget=budget, batch=batch)


class Search:
    """A search in single steps: `ask` for candidates, `tell` what they achieved, in any order.

    The sequence of calls decides all that happens: the same calls on a new `Search` of equal arguments lead to the same
    state, which is how a run is resumed from its log. A draw depends on the seed, on how many were drawn before, and
    on what has been told, not on the history of a generator.

    Args: as of `search`.
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
        window_ms = _checked_window(window_ms)
        if not isinstance(margin, (int, float)) or not 0 <= margin < math.inf:
            raise SearchError(f"margin: expected an accuracy of at least 0, got {margin!r}")
        if not isinstance(seed, int) or seed < 0:
            raise SearchError(f"seed: expected a whole number of at least 0, got {seed!r}")
        if not callable(sampler) and sampler not in SAMPLERS:
            raise SearchError(f"sampler: expected {', '.join(SAMPLERS)} or a callable, got {sampler!r}")
        self.candidates = candidates(space, latency_model(space, latency), window_ms)
        self._open = OpenCandidates(self.candidates, float(margin))
        self._sampler = sampler if callable(sampler) else SAMPLERS[sampler]
        self._seed = int(seed)
        self._pending: dict[Encoding, int] = {}
        self._evaluated: list[Candidate] = []
        self._numbers: list[int] = []

    def ask(self, count: int = 1) -> list[Encoding]:
        """Draw candidates that were neither drawn nor pruned; fewer than asked for when fewer are left."""
        count = min(count, len(self._open))
        if count < 1:
            return []
        rng = np.random.default_rng([self._seed, len(self._numbers) + len(self._pending)])
        known = Known(self.candidates, self._numbers, [c.accuracy for c in self._evaluated], [*self._pending.values()])
        numbers = self._open.take(self._sampler(self._open, known, count, rng))
        drawn = {self.candidates.encoding(number): int(number) for number in numbers}
        self._pending.update(drawn)
        return list(drawn)

    def latency_ms(self, encoding: Encoding) -> float:
        """Milliseconds of a candidate that waits for its accuracy.

        Raises:
            SearchError: it does not.
        """
        return float(self.candidates.latency_ms[self._waiting(encoding)])

    def tell(self, encoding: Encoding, accuracy: float) -> Candidate:
        """Account for an evaluation, and prune. An accuracy that is not finite is a failure, and tells nothing.

        Raises:
            SearchError: the encoding was not drawn, or was told before; or the accuracy is no number.
        """
        number = self._waiting(encoding)
        try:
            accuracy = float(accuracy)
        except (TypeError, ValueError):
            raise SearchError(f"accuracy of {encoding}: expected a number, got {accuracy!r}") from None
        del self._pending[encoding]
        accuracy = accuracy if math.isfinite(accuracy) else math.nan
        told = Candidate(encoding, float(self.candidates.latency_ms[number]), accuracy)
        self._evaluated.append(told)
        self._numbers.append(number)
        if not math.isnan(accuracy):
            self._open.learn(number, accuracy)
        return told

    def result(self) -> Result:
        """What is known so far; candidates that wait for their accuracy count as remaining."""
        return Result(tuple(self._evaluated), self._open.pruned, len(self._open) + len(self._pending))

    def _waiting(self, encoding: Encoding) -> int:
        number = self._pending.get(encoding)
        if number is None:
            raise SearchError(f"tell: {encoding} is not waiting for its accuracy; tell what `ask` gave, once")
        return number


def _check_counts(**counts: int | None) -> None:
    for name, count in counts.items():
        if (count is not None or name != "budget") and (not isinstance(count, int) or count < 1):
            raise SearchError(f"{name}: expected a whole number of at least 1, got {count!r}")


def _checked_window(window_ms: tuple[float, float]) -> tuple[float, float]:
    try:
        least, most = map(float, window_ms)
    except (TypeError, ValueError):
        raise SearchError(f"window_ms: expected (least, greatest) in milliseconds, got {window_ms!r}") from None
    if not 0 <= least <= most:
        raise SearchError(f"window_ms: expected 0 <= least <= greatest, got {window_ms!r}")
    return least, most
