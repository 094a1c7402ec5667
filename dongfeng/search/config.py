"""`SearchConfig`: every setting that decides a search, and its description in config.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dongfeng._version import __version__
from dongfeng.errors import SearchError
from dongfeng.search.describe import Facts, describe, describe_latency, plain
from dongfeng.search.latency import LatencySource
from dongfeng.search.outcome import AnyEvaluator, Evaluator, OutcomeEvaluator
from dongfeng.search.samplers import Sampler, uniform
from dongfeng.search.space import Space
from dongfeng.search.surrogate import surrogate

FORMAT = "dongfeng.search/1"
SAMPLERS: Mapping[str, Sampler] = MappingProxyType({"uniform": uniform, "surrogate": surrogate})


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Settings of a search.

    Attributes:
        space: The architectures.
        latency: Device name, profile or its path; a mapping of `Step` to milliseconds; or a callable that returns an
            encoding's milliseconds and is called for every encoding of the space.
        evaluate: Callable that returns the accuracy of an encoding, in any unit, greater is better, NaN where the
            evaluation failed; or an evaluator, which gets a whole batch at once.
        window_ms: Least and greatest latency, both included.
        budget: Evaluations after which to stop; None: no limit.
        seed: Seed of the draws: equal settings and accuracies give an equal search.
        batch: Candidates that are drawn at once.
        margin: Prune only where accuracies differ by this much. Twice the largest error of an evaluation keeps
            pruning sound; see `dongfeng.search.pruning`.
        sampler: "uniform", as in the paper; "surrogate", which needs far fewer evaluations; or a `Sampler`.

    Raises:
        SearchError: a setting is not of this form.
    """

    space: Space
    latency: LatencySource
    evaluate: AnyEvaluator
    window_ms: tuple[float, float]
    budget: int | None = None
    seed: int = 0
    batch: int = 1
    margin: float = 0.0
    sampler: str | Sampler = "uniform"

    def __post_init__(self) -> None:
        for name, count in (("batch", self.batch), ("budget", 1 if self.budget is None else self.budget)):
            if not isinstance(count, int) or count < 1:
                raise SearchError(f"{name}: expected a whole number of at least 1, got {count!r}")
        if not callable(self.evaluate) and not isinstance(self.evaluate, Evaluator | OutcomeEvaluator):
            raise SearchError(f"evaluate: expected a callable of an encoding or an evaluator, got {self.evaluate!r}")
        check_settings(window_ms=self.window_ms, seed=self.seed, margin=self.margin, sampler=self.sampler)

    def to_json(self) -> Facts:
        """Describe the settings as config.json holds them."""
        return {
            "format": FORMAT,
            "version": __version__,
            "space": {
                "widths": plain(self.space.widths),
                "depths": plain(self.space.depths),
                "timed_blob": self.space.timed_blob,
                "builder": describe(self.space.builder),
            },
            "latency": describe_latency(self.latency),
            "window_ms": [float(ms) for ms in self.window_ms],
            "evaluate": plain(describe(self.evaluate)),
            "sampler": self.sampler if isinstance(self.sampler, str) else describe(self.sampler)["function"],
            "margin": float(self.margin),
            "batch": int(self.batch),
            "seed": int(self.seed),
            "budget": self.budget,
        }


def check_settings(*, window_ms: tuple[float, float], seed: int, margin: float, sampler: str | Sampler) -> None:
    """Check the settings of the draws and of pruning.

    Raises:
        SearchError: a setting is not of the form that `SearchConfig` describes.
    """
    try:
        least, most = map(float, window_ms)
    except (TypeError, ValueError):
        raise SearchError(f"window_ms: expected (least, greatest) in milliseconds, got {window_ms!r}") from None
    if not 0 <= least <= most:
        raise SearchError(f"window_ms: expected 0 <= least <= greatest, got {window_ms!r}")
    if not isinstance(margin, (int, float)) or not 0 <= margin < math.inf:
        raise SearchError(f"margin: expected an accuracy of at least 0, got {margin!r}")
    if not isinstance(seed, int) or seed < 0:
        raise SearchError(f"seed: expected a whole number of at least 0, got {seed!r}")
    if not callable(sampler) and sampler not in SAMPLERS:
        raise SearchError(f"sampler: expected {', '.join(SAMPLERS)} or a callable, got {sampler!r}")
