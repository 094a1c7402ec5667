"""Medians of the times that profilers give for each run."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dongfeng.backends.base import LayerTime

WARM_UP_RUNS = 3


def median_times(events: Iterable[tuple[str, str, float]]) -> list[LayerTime]:
    """Return the median time of each layer; its first `WARM_UP_RUNS` times do not count.

    Args:
        events: (layer, operation, milliseconds), as they came.
    """
    times: dict[tuple[str, str], list[float]] = {}
    for layer, operation, ms in events:
        times.setdefault((layer, operation), []).append(ms)
    return [LayerTime(*key, float(np.median(found[WARM_UP_RUNS:] or found))) for key, found in times.items()]
