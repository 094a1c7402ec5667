"""A run told to people: one web page that fetches nothing, and its pictures as SVG and PNG."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from dongfeng.errors import SearchError
from dongfeng.search.encoding_text import encoding_text
from dongfeng.search.folder import EvaluationRecord, PruningProgress, SearchFolder
from dongfeng.search.plots import PLOTS
from dongfeng.search.result import Candidate, Result
from dongfeng.support.files import replacing
from dongfeng.support.html_page import inline_figure, page, section, table
from dongfeng.support.plots import picture_bytes

_CAPTIONS: Mapping[str, str] = {
    "scatter": "Each point is an evaluated architecture; the line joins those that none beats in both. Up and to the "
    "left is better.",
    "pruning": "Pruned architectures can no longer lift the boundary, if the order of accuracies holds: they need no "
    "evaluation.",
    "hypervolume": "Area between the boundary and the corner of the slowest latency and the least accuracy found, as a "
    "share of what it is in the end.",
}


class SearchRun(NamedTuple):
    """A run as its folder tells it.

    Attributes:
        folder: The folder.
        config: Its configuration.
        records: Its log, in the order drawn.
        progress: How pruning went; may lag behind the log while a run is under way or after it was killed.
    """

    folder: Path
    config: dict[str, Any]
    records: list[EvaluationRecord]
    progress: list[PruningProgress]

    @property
    def front(self) -> tuple[Candidate, ...]:
        """The candidates that no other dominates, from the fastest to the most accurate."""
        return Result(tuple(record.candidate for record in self.records), 0, 0).front


def read_run(folder: str | PathLike[str]) -> SearchRun:
    """What is in the folder of a run, which may be under way.

    Raises:
        SearchError: the folder holds no run, or one that is damaged.
    """
    files = SearchFolder(folder)
    config = files.config()
    records = sorted(files.records(), key=lambda record: record.number)
    return SearchRun(files.folder, config, records, files.progress())


def status(run: SearchRun) -> dict[str, Any]:
    """Where a run stands, as JSON has it."""
    last = run.progress[-1] if run.progress else PruningProgress(0, 0, 0)
    failed = sum(math.isnan(record.accuracy) for record in run.records)
    return {
        "run": str(run.folder),
        "evaluated": len(run.records),
        "failed": failed,
        "budget": run.config["budget"],
        "pruned": last.pruned if run.progress else None,
        "remaining": last.remaining if run.progress else None,
        "is_done": _is_done(run, last),
        "evaluation_s": round(math.fsum(record.seconds for record in run.records), 3),
        "last_ended": max((record.ended for record in run.records), default=None),
        "rows": [
            {
                "encoding": encoding_text(each.encoding),
                "latency_ms": each.latency_ms,
                "accuracy": each.accuracy,
            }
            for each in run.front
        ],
    }


def write_report(run: SearchRun) -> list[Path]:
    """Write `report.html`, and the pictures beside it, into the run's folder.

    Raises:
        SearchError: nothing was evaluated yet.
        BackendUnavailable: matplotlib is not installed; the message says how to get it.
        OSError: the folder cannot be written.
    """
    if not run.front:
        raise SearchError(f"{run.folder}: no candidate has an accuracy yet; there is nothing to draw")
    least, most = run.config["window_ms"]
    contents: dict[Path, bytes] = {}
    drawings = []
    for name, draw in PLOTS.items():
        if name == "pruning" and not run.progress:
            continue
        figure = draw(run.records, run.progress, (least, most))
        svg = picture_bytes(figure, "svg")
        contents[run.folder / f"{name}.svg"] = svg
        contents[run.folder / f"{name}.png"] = picture_bytes(figure, "png")
        caption = f"{_CAPTIONS[name]} Also as {name}.svg and {name}.png."
        drawings.append(inline_figure(svg.decode("utf-8"), _CAPTIONS[name], escape(caption)))
    contents[run.folder / "report.html"] = _page(run, drawings).encode("utf-8")
    with ExitStack() as stack:  # all of them are written before the first takes its name
        for file, content in contents.items():
            stack.enter_context(replacing(file)).write_bytes(content)
    return list(contents)


def _is_done(run: SearchRun, last: PruningProgress) -> bool:
    budget = run.config["budget"]
    return bool(run.progress) and (last.evaluated == budget or last.remaining == 0)


def _page(run: SearchRun, drawings: Sequence[str]) -> str:
    found = status(run)
    least, most = run.config["window_ms"]
    pruned = "" if found["pruned"] is None else f"{found['pruned']:,} pruned, {found['remaining']:,} left, "
    about = f"{found['evaluated']:,} evaluated, {pruned}{least:g} to {most:g} ms"
    rows = [(encoding_text(each.encoding), f"{each.latency_ms:.3f}", f"{each.accuracy:.6g}") for each in run.front]
    facts = [(key.replace("_", " "), _fact(value)) for key, value in run.config.items()]
    facts += [("time of all evaluations", f"{found['evaluation_s']:,.0f} s"), ("time passed", _passed(run.records))]
    return page(
        f"Search {run.folder.resolve().name}",
        about,
        [
            *drawings,
            section("Boundary", table(("architecture", "latency, ms", "accuracy"), rows, (1, 2))),
            section("Settings", table(("", ""), facts)),
        ],
    )


def _fact(value: object) -> str:
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)


def _passed(records: Sequence[EvaluationRecord]) -> str:
    """Between the first and the last end of an evaluation, pauses included."""
    ends = [datetime.fromisoformat(record.ended) for record in records]
    return f"{(max(ends) - min(ends)).total_seconds():,.0f} s"
