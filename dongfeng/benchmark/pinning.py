"""Keeping this program on some CPUs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from dongfeng.backends.threads import cpu_count
from dongfeng.benchmark.host import core_leaders


@contextmanager
def pinned(threads: int | None) -> Iterator[tuple[int, tuple[int, ...] | None]]:
    """Keep the calling thread, and those that it starts, on as many CPUs as there are threads.

    One CPU of each physical core is taken before the second of any. More threads than CPUs have all of them.

    Args:
        threads: Number of threads; None: one for each physical core.

    Yields:
        The number of threads, and the CPUs; None in their place where the system cannot be asked for some.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield threads or cpu_count(), None
        return
    allowed = os.sched_getaffinity(0)
    leaders = core_leaders(allowed)
    ranked = [*leaders, *sorted(allowed.difference(leaders))]
    count = threads or len(leaders)
    chosen = tuple(sorted(ranked[:count]))
    os.sched_setaffinity(0, chosen)
    try:
        yield count, chosen
    finally:
        os.sched_setaffinity(0, allowed)
