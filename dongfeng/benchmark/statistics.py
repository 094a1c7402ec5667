"""What a list of measured times says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

MOST_VARIATION = 0.02
MOST_DRIFT = 0.03
_PARTS = 4
_RESAMPLES = 4000
_MOST_AT_ONCE = 1 << 20  # values in memory


class Summary(NamedTuple):
    """Times of the same thing, in milliseconds.

    Attributes:
        median_ms: The headline.
        p90_ms: Nine of ten are at most this.
        p99_ms: 99 of 100 are at most this.
        min_ms: The shortest.
        n: How many there are.
        variation_fraction: Coefficient of variation: standard deviation (n - 1) by mean.
        drift_fraction: Largest by smallest median of the quarters in order of time, less one; of fewer than eight
            samples, of the halves.
    """

    median_ms: float
    p90_ms: float
    p99_ms: float
    min_ms: float
    n: int
    variation_fraction: float
    drift_fraction: float

    @property
    def is_varied(self) -> bool:
        """Whether single times differ so much that only many of them tell anything."""
        return self.variation_fraction > MOST_VARIATION

    @property
    def is_drifting(self) -> bool:
        """Whether a median of fewer of these times would have been another: another run may well give another."""
        return self.drift_fraction > MOST_DRIFT


def summarize(samples_ms: Sequence[float]) -> Summary:
    """Sum up times, given in the order in which they were taken.

    Args:
        samples_ms: At least one, none negative.

    Example:
        >>> summarize([2.0, 1.0, 3.0]).median_ms
        2.0
    """
    samples = np.asarray(samples_ms, np.float64)
    p90, p99 = np.percentile(samples, (90, 99))
    mean = float(samples.mean())
    deviation = float(samples.std(ddof=1)) if samples.size > 1 else 0.0
    return Summary(
        median_ms=float(np.median(samples)),
        p90_ms=float(p90),
        p99_ms=float(p99),
        min_ms=float(samples.min()),
        n=int(samples.size),
        variation_fraction=deviation / mean if mean else 0.0,
        drift_fraction=_drift(samples),
    )


def _drift(samples: Vector) -> float:
    if samples.size < 2:
        return 0.0
    parts = _PARTS if samples.size >= 2 * _PARTS else 2
    medians = [float(np.median(part)) for part in np.array_split(samples, parts)]
    return max(medians) / min(medians) - 1 if min(medians) > 0 else 0.0


class Ratio(NamedTuple):
    """Ratio of two medians and the interval that holds the true one with 95 % confidence."""

    ratio: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the two differ at all, beyond their noise."""
        return not self.low <= 1 <= self.high


def ratio_of_medians(of_ms: Sequence[float], by_ms: Sequence[float], *, seed: int = 0) -> Ratio:
    """Median of one list of times by that of another, with its noise.

    The noise is what other samples of the same length would have given: samples are drawn again from the lists, with
    replacement, in blocks of neighbours, for what disturbs one sample often disturbs the next.

    Args:
        of_ms: Times in the order in which they were taken, all above 0.
        by_ms: The same.
        seed: Of the draws.
    """
    of, by = np.asarray(of_ms, np.float64), np.asarray(by_ms, np.float64)
    rng = np.random.default_rng(seed)
    ratios = _resampled_medians(of, rng) / _resampled_medians(by, rng)
    low, high = np.percentile(ratios, (2.5, 97.5))
    return Ratio(float(np.median(of) / np.median(by)), float(low), float(high))


def _resampled_medians(samples: Vector, rng: np.random.Generator) -> Vector:
    """Medians of resamples in blocks (circular block bootstrap), whose length grows as the cube root of n."""
    n = samples.size
    length = max(1, round(n ** (1 / 3)))
    blocks = -(-n // length)
    starts = rng.integers(0, n, (_RESAMPLES, blocks))
    medians = []
    for some in np.array_split(starts, max(1, _RESAMPLES * n // _MOST_AT_ONCE)):
        picked = (some[:, :, None] + np.arange(length)).reshape(len(some), -1)[:, :n] % n
        medians.append(np.median(samples[picked], axis=1))
    return np.concatenate(medians)
