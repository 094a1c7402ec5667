"""`SearchRun`: a run as its folder holds it, and where it stands."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path

from dongfeng.search.folder import SearchFolder
from dongfeng.search.records import EvaluationRecord, PruningProgress
from dongfeng.search.result import Candidate, front
from dongfeng.search.saved_config import SavedConfig


@dataclass(frozen=True)
class SearchRun:
    """A run, which may be under way.

    Attributes:
        folder: The folder.
        config: Its configuration.
        records: Its log, in the order drawn.
        progress: The course of pruning; may lag behind the log while a run is under way or after it was killed.
    """

    folder: Path
    config: SavedConfig
    records: tuple[EvaluationRecord, ...]
    progress: tuple[PruningProgress, ...]

    @property
    def front(self) -> tuple[Candidate, ...]:
        """The candidates that no other dominates, from the fastest to the most accurate."""
        return front([record.candidate for record in self.records])


@dataclass(frozen=True, kw_only=True)
class SearchStatus:
    """State of a run.

    Attributes:
        run: Its folder.
        evaluated: Number of evaluated candidates, those that failed included.
        failed: Number of evaluations that failed.
        budget: Evaluations after which to stop; None: no limit.
        pruned: Number of pruned candidates; None before the first count.
        remaining: Number of candidates neither evaluated nor pruned; None before the first count.
        is_done: Whether the budget is spent or nothing is left.
        evaluation_s: Duration of all evaluations together.
        last_ended: Time at which the last evaluation ended, UTC, ISO 8601; None without any.
        front: The candidates that no other dominates, from the fastest to the most accurate.
    """

    run: Path
    evaluated: int
    failed: int
    budget: int | None
    pruned: int | None
    remaining: int | None
    is_done: bool
    evaluation_s: float
    last_ended: str | None
    front: tuple[Candidate, ...]

    def to_json(self) -> dict[str, object]:
        """Return the state as JSON values; `rows` holds the boundary."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "front"}
        return {**values, "run": str(self.run), "rows": [candidate.to_json() for candidate in self.front]}


def read_run(folder: str | PathLike[str]) -> SearchRun:
    """Read the folder of a run.

    Raises:
        SearchError: the folder holds no run, or one that is damaged.
    """
    files = SearchFolder(folder)
    config = files.config()
    records = sorted(files.records(), key=lambda record: record.number)
    return SearchRun(files.folder, config, tuple(records), tuple(files.progress()))


def search_status(folder: str | PathLike[str]) -> SearchStatus:
    """Return where the run in a folder stands.

    Raises:
        SearchError: the folder holds no run, or one that is damaged.
    """
    return status_of(read_run(folder))


def status_of(run: SearchRun) -> SearchStatus:
    """Return where a run stands."""
    last = run.progress[-1] if run.progress else None
    budget = run.config.budget
    return SearchStatus(
        run=run.folder,
        evaluated=len(run.records),
        failed=sum(math.isnan(record.accuracy) for record in run.records),
        budget=budget,
        pruned=None if last is None else last.pruned,
        remaining=None if last is None else last.remaining,
        is_done=last is not None and (last.evaluated == budget or last.remaining == 0),
        evaluation_s=round(math.fsum(record.seconds for record in run.records), 3),
        last_ended=max((record.ended for record in run.records), default=None),
        front=run.front,
    )
