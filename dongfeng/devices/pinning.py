"""Confining this process to some of the CPUs while something is measured."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dongfeng.backends.threads import cpu_count


def core_leaders(cpus: Iterable[int], root: Path = Path("/")) -> list[int]:
    """Return the first CPU of each physical core, in order; all CPUs where the system does not tell their cores.

    Args:
        cpus: Numbers of the CPUs to choose from.
        root: Folder that holds `sys`.
    """
    leaders: dict[str, int] = {}
    for cpu in sorted(cpus):
        siblings = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        leaders.setdefault(siblings.read_text(encoding="utf-8") if siblings.is_file() else f"cpu {cpu}", cpu)
    return list(leaders.values())


@contextmanager
def pinned(threads: int | None) -> Iterator[tuple[int, tuple[int, ...] | None]]:
    """Confine the calling thread, and those that it starts, to as many CPUs as there are threads.

    One CPU of each physical core is taken before the second of any. More threads than CPUs get all of them.

    Args:
        threads: Number of threads; None: one for each physical core.

    Yields:
        The number of threads, and the CPUs; None for the CPUs where the system cannot confine a process.
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
