"""The report of a run: one web page that fetches nothing, and its plots as SVG and PNG."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from html import escape
from os import PathLike
from pathlib import Path

from dongfeng.errors import SearchError
from dongfeng.search.encoding_text import encoding_text
from dongfeng.search.plots import PLOTS
from dongfeng.search.records import EvaluationRecord
from dongfeng.search.run import SearchRun, read_run, status_of
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


def write_report(folder: str | PathLike[str]) -> list[Path]:
    """Write `report.html`, and the plots beside it, into the folder of a run.

    Returns:
        The files, the page last.

    Raises:
        SearchError: the folder holds no run, or nothing was evaluated yet.
        BackendUnavailable: matplotlib is not installed; the message says how to get it.
        OSError: the folder cannot be written.
    """
    run = read_run(folder)
    if not run.front:
        raise SearchError(f"{run.folder}: no candidate has an accuracy yet; there is nothing to draw")
    contents: dict[Path, bytes] = {}
    figures = []
    for name, draw in PLOTS.items():
        if name == "pruning" and not run.progress:
            continue
        figure = draw(run)
        svg = picture_bytes(figure, "svg")
        contents[run.folder / f"{name}.svg"] = svg
        contents[run.folder / f"{name}.png"] = picture_bytes(figure, "png")
        caption = f"{_CAPTIONS[name]} Also as {name}.svg and {name}.png."
        figures.append(inline_figure(svg.decode("utf-8"), _CAPTIONS[name], escape(caption)))
    contents[run.folder / "report.html"] = _page(run, figures).encode("utf-8")
    with ExitStack() as stack:  # all of them are written before the first takes its name
        for file, content in contents.items():
            stack.enter_context(replacing(file)).write_bytes(content)
    return list(contents)


def _page(run: SearchRun, figures: Sequence[str]) -> str:
    status = status_of(run)
    least, most = run.config.window_ms
    pruned = "" if status.pruned is None else f"{status.pruned:,} pruned, {status.remaining:,} left, "
    about = f"{status.evaluated:,} evaluated, {pruned}{least:g} to {most:g} ms"
    rows = [(encoding_text(each.encoding), f"{each.latency_ms:.3f}", f"{each.accuracy:.6g}") for each in status.front]
    settings = [(key.replace("_", " "), _setting(value)) for key, value in run.config.settings.items()]
    settings += [("time of all evaluations", f"{status.evaluation_s:,.0f} s"), ("time passed", _passed(run.records))]
    return page(
        f"Search {run.folder.resolve().name}",
        about,
        [
            *figures,
            section("Boundary", table(("architecture", "latency, ms", "accuracy"), rows, (1, 2))),
            section("Settings", table(("", ""), settings)),
        ],
    )


def _setting(value: object) -> str:
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)


def _passed(records: Sequence[EvaluationRecord]) -> str:
    """Return the time between the first and the last end of an evaluation, pauses included."""
    ends = [datetime.fromisoformat(record.ended) for record in records]
    return f"{(max(ends) - min(ends)).total_seconds():,.0f} s"
