"""Statistics of measured times: summaries, and ratios of medians with their noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

MOST_VARIATION = 0.02
MOST_DRIFT = 0.03
_PARTS = 4
_RESAMPLES = 4000
_MOST_AT_ONCE = 1 << 20  # values in memory


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Statistics of times of the same thing.

    Attributes:
        median_ms: The headline.
        p90_ms: 90th percentile.
        p99_ms: 99th percentile.
        min_ms: The shortest.
        n: Number of times.
        variation_fraction: Coefficient of variation: standard deviation (n - 1) by mean.
        is_varied: Whether single times vary so much that only many of them tell anything.
        drift_fraction: Largest by smallest median of the quarters in order of time, less one; of fewer than eight
            samples, of the halves.
        is_drifting: Whether the quarters differ so much that another run may well give another median.
    """

    median_ms: float
    p90_ms: float
    p99_ms: float
    min_ms: float
    n: int
    variation_fraction: float
    is_varied: bool
    drift_fraction: float
    is_drifting: bool


def summarize(samples_ms: Sequence[float]) -> Summary:
    """Summarize times.

    Args:
        samples_ms: Milliseconds in the order in which they were taken: at least one, none negative.

    Example:
        >>> summarize([2.0, 1.0, 3.0]).median_ms
        2.0
    """
    samples = np.asarray(samples_ms, np.float64)
    p90, p99 = np.percentile(samples, (90, 99))
    mean = float(samples.mean())
    deviation = float(samples.std(ddof=1)) if samples.size > 1 else 0.0
    variation, drift = deviation / mean if mean else 0.0, _drift(samples)
    return Summary(
        median_ms=float(np.median(samples)),
        p90_ms=float(p90),
        p99_ms=float(p99),
        min_ms=float(samples.min()),
        n=int(samples.size),
        variation_fraction=variation,
        is_varied=variation > MOST_VARIATION,
        drift_fraction=drift,
        is_drifting=drift > MOST_DRIFT,
    )


def _drift(samples: Vector) -> float:
    if samples.size < 2:
        return 0.0
    parts = _PARTS if samples.size >= 2 * _PARTS else 2
    medians = [float(np.median(part)) for part in np.array_split(samples, parts)]
    return max(medians) / min(medians) - 1 if min(medians) > 0 else 0.0


@dataclass(frozen=True)
class Ratio:
    """Ratio of two medians, and the interval that holds the true one with 95 % confidence."""

    ratio: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the two medians differ beyond their noise."""
        return not self.low <= 1 <= self.high


def ratio_of_medians(of_ms: Sequence[float], by_ms: Sequence[float], *, seed: int = 0) -> Ratio:
    """Divide the median of one list of times by that of another, and estimate the noise of the ratio.

    The interval is a bootstrap: samples are drawn again from both lists, with replacement, in blocks of neighbours,
    because a disturbance of one sample often lasts to the next.

    Args:
        of_ms: Milliseconds in the order in which they were taken, all above 0.
        by_ms: The same, of the divisor.
        seed: Seed of the draws.
    """
    of, by = np.asarray(of_ms, np.float64), np.asarray(by_ms, np.float64)
    rng = np.random.default_rng(seed)
    ratios = _resampled_medians(of, rng) / _resampled_medians(by, rng)
    low, high = np.percentile(ratios, (2.5, 97.5))
    return Ratio(float(np.median(of) / np.median(by)), float(low), float(high))


def _resampled_medians(samples: Vector, rng: np.random.Generator) -> Vector:
    """Return medians of resamples in blocks (circular block bootstrap), whose length grows as the cube root of n."""
    n = samples.size
    length = max(1, round(n ** (1 / 3)))
    blocks = -(-n // length)
    starts = rng.integers(0, n, (_RESAMPLES, blocks))
    medians = []
    for some in np.array_split(starts, max(1, _RESAMPLES * n // _MOST_AT_ONCE)):
        picked = (some[:, :, None] + np.arange(length)).reshape(len(some), -1)[:, :n] % n
        medians.append(np.median(samples[picked], axis=1))
    return np.concatenate(medians)
