"""The Pareto front of latency and accuracy: the points that no other beats, and the area that they cover."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def frontier(latency_ms: npt.ArrayLike, accuracy: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Return the positions of the points that no other dominates, from the fastest to the most accurate.

    A point dominates another when it is at least as fast and at least as accurate, and better in one. Of several
    equal points the first stands for all: the frontier is a set of trade-offs, not of architectures. Points whose
    accuracy is not finite are left out.

    Args:
        latency_ms: (n,) milliseconds.
        accuracy: (n,) accuracies.

    Example:
        >>> frontier([2.0, 3.0, 3.5, 4.0], [60.0, 70.0, 69.0, 75.0]).tolist()
        [0, 1, 3]
    """
    ms, found = np.asarray(latency_ms, dtype=float), np.asarray(accuracy, dtype=float)
    known = np.flatnonzero(np.isfinite(found))
    order = known[np.lexsort((known, -found[known], ms[known]))]
    best_before = np.maximum.accumulate(np.concatenate([[-np.inf], found[order]]))[:-1]
    return order[found[order] > best_before]


def hypervolume(latency_ms: npt.ArrayLike, accuracy: npt.ArrayLike, reference: tuple[float, float]) -> float:
    """Return the area between the frontier of points and a reference that is slower and less accurate.

    Args:
        latency_ms: (n,) milliseconds.
        accuracy: (n,) accuracies; those that are not finite do not count.
        reference: Latency and accuracy of the corner; points beyond it count nothing.

    Returns:
        Milliseconds times accuracy.

    Example:
        >>> hypervolume([2.0, 4.0], [60.0, 75.0], (7.0, 50.0))
        95.0
    """
    slowest_ms, least = reference
    ms, best = staircase(latency_ms, accuracy, slowest_ms)
    return float((np.diff(ms, append=slowest_ms) * np.maximum(best - least, 0)).sum())


def staircase(latency_ms: npt.ArrayLike, accuracy: npt.ArrayLike, slowest_ms: float) -> tuple[Floats, Floats]:
    """Return the frontier up to a slowest latency as latencies (k,) and accuracies (k,), both rising."""
    ms, found = np.asarray(latency_ms, dtype=float), np.asarray(accuracy, dtype=float)
    steps = frontier(ms, found)
    steps = steps[ms[steps] <= slowest_ms]
    return ms[steps], found[steps]
