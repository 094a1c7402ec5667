"""Plots of a run: its candidates and boundary, pruned against evaluated, hypervolume over evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from dongfeng.search.records import EvaluationRecord
from dongfeng.search.run import SearchRun
from dongfeng.support.pareto import Floats, frontier, hypervolume
from dongfeng.support.plots import COLOURS, GREY, new_figure, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INCHES = (7.2, 4.8)
_BLUE, _RED, _GREEN = COLOURS[:3]


def draw_scatter(run: SearchRun) -> Figure:
    """Draw every candidate's latency and accuracy, and the boundary."""
    figure, axis = _axes("Candidates and their boundary", "latency (ms)", "accuracy")
    ms, accuracy = _points(run.records)
    axis.plot(ms, accuracy, "o", markersize=4, color=GREY, alpha=0.6, markeredgewidth=0, label="evaluated")
    front = frontier(ms, accuracy)
    ends, levels = [*ms[front], run.config.window_ms[1]], [*accuracy[front], *accuracy[front][-1:]]
    axis.step(ends, levels, where="post", alpha=0.6, color=_BLUE, linewidth=1.4)
    axis.plot(ms[front], accuracy[front], "o", markersize=6, color=_BLUE, label="boundary")
    axis.legend(frameon=False, loc="lower right")
    return figure


def draw_pruning(run: SearchRun) -> Figure:
    """Draw the numbers of pruned and of remaining candidates after each evaluation, of which there is one at least."""
    figure, axis = _axes("Pruned against evaluated", "evaluations", "architectures")
    evaluated, pruned, remaining = np.array(run.progress).T
    axis.plot(evaluated, pruned, color=_RED, label="pruned")
    axis.plot(evaluated, evaluated, color=_BLUE, label="evaluated")
    axis.plot(evaluated, remaining, color=GREY, linestyle="--", label="left")
    if np.maximum(pruned, remaining).max() > 50 * evaluated.max():
        axis.set_yscale("symlog", linthresh=1)
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False)
    return figure


def draw_hypervolume(run: SearchRun) -> Figure:
    """Draw the area below the boundary after each evaluation, as a share of what it is in the end."""
    figure, axis = _axes("Hypervolume over evaluations", "evaluations", "share of the hypervolume reached")
    volumes = hypervolumes(run.records, run.config.window_ms)
    last = volumes[-1] if len(volumes) and volumes[-1] > 0 else 1.0
    axis.step(range(1, len(volumes) + 1), [volume / last for volume in volumes], where="post", color=_GREEN)
    axis.set_ylim(0, 1.03)
    return figure


PLOTS: Mapping[str, Callable[[SearchRun], Figure]] = MappingProxyType(
    {"scatter": draw_scatter, "pruning": draw_pruning, "hypervolume": draw_hypervolume}
)


def hypervolumes(records: Sequence[EvaluationRecord], window_ms: tuple[float, float]) -> list[float]:
    """Return the area between the boundary and its corner after each evaluation, ms times accuracy.

    The records are in the order drawn. The corner is the window's end and the least accuracy.
    """
    ms, accuracy = _points(records)
    if not np.isfinite(accuracy).any():
        return [0.0] * len(accuracy)
    corner = (window_ms[1], float(np.nanmin(accuracy)))
    found: list[float] = []
    for count in range(1, len(ms) + 1):
        is_new = not found or accuracy[count - 1] > corner[1]
        found.append(hypervolume(ms[:count], accuracy[:count], corner) if is_new else found[-1])
    return found


def _points(records: Sequence[EvaluationRecord]) -> tuple[Floats, Floats]:
    """Return latencies (n,) and accuracies (n,)."""
    return np.array([each.latency_ms for each in records]), np.array([each.accuracy for each in records])


def _axes(title: str, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    figure = new_figure(_INCHES, title)
    axis = figure.subplots()
    plain_axes(axis)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    return figure, axis
