"""Chosen architectures of a boundary as network files that are ready to be trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np

from dongfeng.errors import SearchError
from dongfeng.formats.caffe import write_caffe
from dongfeng.search.result import Candidate
from dongfeng.search.space import Space


def spread(front: Sequence[Candidate], count: int) -> list[Candidate]:
    """Candidates of a boundary whose latencies lie as evenly as they can, the fastest and the most accurate included.

    Args:
        front: From the fastest to the most accurate.
        count: How many; all where the boundary has fewer. One alone is the most accurate.

    Example:
        >>> front = [Candidate(((width,),), ms, 0.5) for width, ms in enumerate((1.0, 1.1, 1.9, 3.0), 1)]
        >>> [each.latency_ms for each in spread(front, 3)]
        [1.0, 1.9, 3.0]
    """
    if count < 1:
        raise SearchError(f"pick: expected a whole number of at least 1, got {count}")
    if len(front) <= count:
        return list(front)
    if count == 1:
        return [front[-1]]
    chosen = [0]
    targets = np.linspace(front[0].latency_ms, front[-1].latency_ms, count)[1:]
    for place, target in enumerate(targets, 2):
        free = range(chosen[-1] + 1, len(front) - (count - place))
        chosen.append(min(free, key=lambda index: abs(front[index].latency_ms - float(target))))
    return [front[index] for index in chosen]


def export(space: Space, chosen: Sequence[Candidate], folder: str | PathLike[str], *, stem: str = "net") -> list[Path]:
    """Write each candidate's net, without weights, as STEM1.prototxt, STEM2.prototxt, ...

    Args:
        space: What builds the nets.
        chosen: The candidates.
        folder: Made where it is missing.
        stem: Begin of the files' names, and name of the nets.

    Raises:
        SearchError: a candidate is not in the space.
        OSError: the folder cannot be written.
    """
    target = Path(folder)
    nets = [space.build(candidate.encoding) for candidate in chosen]
    target.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, net in enumerate(nets, 1):
        path = target / f"{stem}{number}.prototxt"
        write_caffe(replace(net, name=f"{stem}{number}"), path)
        paths.append(path)
    return paths
