"""The boundary of the latency/accuracy trade-off: which points no other beats, and how much they cover."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def frontier(latency_ms: npt.ArrayLike, accuracy: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Positions of the points that no other dominates, from the fastest to the most accurate.

    A point dominates another when it is at least as fast and at least as accurate, and better in one. Of several
    equal points the first stands for all: the frontier is a set of trade-offs, not of architectures. Points whose
    accuracy is not finite are left out.

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
    """Area between the frontier of points and a reference that is slower and less accurate, in ms times accuracy.

    Args:
        latency_ms: (n,) milliseconds.
        accuracy: (n,) accuracies; what is not finite does not count.
        reference: Latency and accuracy of the corner; points beyond it count nothing.

    Example:
        >>> hypervolume([2.0, 4.0], [60.0, 75.0], (7.0, 50.0))
        95.0
    """
    slowest_ms, least = reference
    ms, best = staircase(latency_ms, accuracy, slowest_ms)
    return float((np.diff(ms, append=slowest_ms) * np.maximum(best - least, 0)).sum())


def staircase(latency_ms: npt.ArrayLike, accuracy: npt.ArrayLike, slowest_ms: float) -> tuple[Floats, Floats]:
    """Latencies (k,) at which the best accuracy so far rises, up to a slowest one, and those accuracies (k,)."""
    ms, found = np.asarray(latency_ms, dtype=float), np.asarray(accuracy, dtype=float)
    steps = frontier(ms, found)
    steps = steps[ms[steps] <= slowest_ms]
    return ms[steps], found[steps]
