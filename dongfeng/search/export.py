"""Chosen architectures of a boundary as network files, ready to be trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np

from dongfeng.errors import SearchError
from dongfeng.formats.caffe import write_caffe
from dongfeng.search.result import Candidate
from dongfeng.search.run import read_run
from dongfeng.search.space import Space


@dataclass(frozen=True)
class ExportedNet:
    """A network file and the candidate that it holds."""

    file: Path
    candidate: Candidate

    def to_json(self) -> dict[str, object]:
        """Return a row of a table."""
        return {"file": str(self.file), **self.candidate.to_json()}


def export_front(
    run_dir: str | PathLike[str], folder: str | PathLike[str], *, pick: int = 3, space: Space | None = None
) -> list[ExportedNet]:
    """Write architectures of a run's boundary as net1.prototxt, net2.prototxt, ..., spread over its latencies.

    Args:
        run_dir: Folder of the run.
        folder: Folder of the network files, created where it is missing.
        pick: Number of architectures; all where the boundary has fewer.
        space: Space of the run; None: the space that its configuration describes.

    Raises:
        SearchError: `run_dir` holds no run, nothing was evaluated yet, or the nets are built by the user's own code
            and `space` is None.
        OSError: the folder cannot be written.
    """
    run = read_run(run_dir)
    if not run.front:
        raise SearchError(f"{run.folder}: no candidate has an accuracy yet; there is nothing to export")
    space = run.config.space() if space is None else space
    chosen = spread(run.front, pick)
    files = write_nets(space, chosen, folder)
    return [ExportedNet(file, candidate) for file, candidate in zip(files, chosen, strict=True)]


def spread(front: Sequence[Candidate], count: int) -> list[Candidate]:
    """Choose candidates of a boundary whose latencies lie evenly, the fastest and the most accurate included.

    Args:
        front: From the fastest to the most accurate.
        count: Number of candidates; all where the boundary has fewer. One alone is the most accurate.

    Raises:
        SearchError: the count is below 1.

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


def write_nets(space: Space, chosen: Sequence[Candidate], folder: str | PathLike[str]) -> list[Path]:
    """Write each candidate's net, without weights, as net1.prototxt, net2.prototxt, ...

    Args:
        space: The space, which builds the nets.
        chosen: The candidates.
        folder: Folder of the files, created where it is missing.

    Raises:
        SearchError: a candidate is not in the space.
        OSError: the folder cannot be written.
    """
    target = Path(folder)
    nets = [space.build(candidate.encoding) for candidate in chosen]
    target.mkdir(parents=True, exist_ok=True)
    paths = [target / f"net{number}.prototxt" for number in range(1, len(nets) + 1)]
    for net, path in zip(nets, paths, strict=True):
        write_caffe(replace(net, name=path.stem), path)
    return paths
