"""Threads of the CPU, and how several images in progress share them."""

from __future__ import annotations

import os

_MOST_STREAMS = 4


def streams_for(threads: int | None, images: int | None) -> int:
    """Return how many images to work on at once, for most of them in a given time.

    One thread each wastes nothing on waiting for each other; more than a few images cost memory for little.

    Args:
        threads: Threads of the CPU to use; None: all.
        images: Number of images; None: many.
    """
    return max(1, min(threads or cpu_count(), _MOST_STREAMS, _MOST_STREAMS if images is None else images))


def share_of_threads(threads: int | None, streams: int) -> int | None:
    """Return the threads of each of `streams` calls at once; None, for one: the backend's own choice."""
    if threads is None and streams == 1:
        return None
    return max(1, (threads or cpu_count()) // streams)


def cpu_count() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
