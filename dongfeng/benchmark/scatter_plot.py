"""The speed/accuracy scatter as a plot by matplotlib (extra `plot`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from dongfeng.benchmark.scatter import ORIGINS, Origin, Panel, Point
from dongfeng.support.plots import COLOURS, DPI, GREY, new_figure, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

_MARKERS: dict[Origin, str] = {"measured": "o", "published": "s", "predicted": "D"}
_PANEL_INCHES = (7.2, 5.4)
_WIDE, _VERY_WIDE = 4.0, 40.0  # largest by smallest latency from which the axis has marks like 1, 2, 3, 5; 1, 2, 5
_MARGIN = 1.35  # of the latencies, to either side
_LONG_NAME = 24  # characters; of longer names only two fit beside each other
_MOST_NAMES = 10  # in a panel, before each network is named once
_HALF_MARKER, _HALF_LINE = 5.0, 1.5  # points
_OUTSIDE = 10.0  # cost of leaving the plot, by that of hiding something
# Offsets of a label in points, the best first; it begins, ends or is centred there, away from its point.
_PLACES = ((0, 8), (0, -8), (9, 0), (-9, 0), (7, 6), (-7, 6), (7, -6), (-7, -6), (0, 20), (0, -20))


def scatter_plot(panels: Sequence[Panel], device: str) -> Figure:
    """Plot the panels side by side.

    Args:
        panels: From `panels_of`; none: a plot that says so.
        device: The device in words.

    Raises:
        BackendUnavailable: matplotlib is not installed.
    """
    columns = max(len(panels), 1)
    figure = new_figure((_PANEL_INCHES[0] * columns, _PANEL_INCHES[1]), f"Speed and accuracy on {device}")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=False):
        _draw_panel(axis, panel)
    if not panels:
        axes[0].set_axis_off()
        axes[0].text(0.5, 0.5, "no accuracy is published of these models", ha="center", color=GREY)
    figure.draw_without_rendering()  # gives everything its place
    for axis, panel in zip(axes, panels, strict=False):
        _label(axis, panel)
    return figure


def _draw_panel(axis: Axes, panel: Panel) -> None:
    for index, series in enumerate(panel.series):
        colour = COLOURS[index % len(COLOURS)]
        ms, percent = zip(*((point.ms, point.accuracy_percent) for point in series.frontier), strict=True)
        axis.step(ms, percent, where="post", color=colour, linewidth=1.2, alpha=0.55, zorder=1)
        for point in series.points:
            _draw_point(axis, point, colour)
    _scale(axis, panel)
    axis.set_ylabel(panel.metric, parse_math=False)
    plain_axes(axis)
    _legend(axis, panel)


def _draw_point(axis: Axes, point: Point, colour: str) -> None:
    all_ms, percent = [latency.ms for latency in point.latencies], point.accuracy_percent
    axis.plot([min(all_ms), max(all_ms)], [percent] * 2, color=colour, linewidth=0.8, zorder=2)
    for latency in point.latencies:
        ms, error_ms = latency.ms, latency.error_ms
        bar = None if error_ms is None else [[min(error_ms, 0.99 * ms)], [error_ms]]
        style = {"zorder": 3 + ORIGINS.index(latency.origin), **_marker(latency.origin, colour)}
        axis.errorbar(ms, percent, xerr=bar, color=colour, elinewidth=0.8, capsize=2.5, **style)


def _marker(origin: Origin, colour: str) -> dict[str, Any]:
    """Return a full marker for measured latencies, a hollow one for published, a small one on top for predicted."""
    face = colour if origin == "measured" else "white"
    size = 4.5 if origin == "predicted" else 8.0
    return {"marker": _MARKERS[origin], "markersize": size, "markerfacecolor": face, "markeredgecolor": colour}


def _scale(axis: Axes, panel: Panel) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    all_ms = [latency.ms for point in panel.points for latency in point.latencies]
    low, high = min(all_ms) / _MARGIN, max(all_ms) * _MARGIN
    axis.set_xscale("log")
    axis.set_xlim(low, high)
    marks = (1.0, 2.0, 3.0, 5.0, 7.0) if high / low < _VERY_WIDE else (1.0, 2.0, 5.0)
    axis.xaxis.set_major_locator(LogLocator(subs=marks) if high / low > _WIDE else MaxNLocator(7))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel("latency of one image (ms, logarithmic)")
    values = [point.accuracy_percent for point in panel.points]
    room = max(0.18 * (max(values) - min(values)), 1.0)
    axis.set_ylim(min(values) - room, max(values) + room)


def _legend(axis: Axes, panel: Panel) -> None:
    """Add legends below the plot, where they hide nothing: of the markers, then of the colours."""
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D

    used = {latency.origin for point in panel.points for latency in point.latencies}
    marks = [
        Line2D([], [], linestyle="none", label=origin, **_marker(origin, GREY)) for origin in ORIGINS if origin in used
    ]
    lines = [
        Line2D([], [], color=COLOURS[index % len(COLOURS)], linewidth=1.4, label=f"frontier at {series.name}")
        for index, series in enumerate(panel.series)
    ]
    for handles, top in ((marks, -0.12), (lines, -0.175)):
        names = [str(handle.get_label()) for handle in handles]
        columns = 3 if max(map(len, names)) <= _LONG_NAME else 2
        legend = Legend(
            axis,
            handles,
            names,
            loc="upper center",
            bbox_to_anchor=(0.5, top),
            ncols=columns,
            frameon=False,
            fontsize=9,
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
        axis.add_artist(legend).set_clip_on(False)


def _named_points(panel: Panel) -> list[Point]:
    """Return all points; where there are many, the fastest of each network, whose others have the same accuracy."""
    points = panel.points
    if len(points) <= _MOST_NAMES:
        return points
    fastest: dict[tuple[str, float], Point] = {}
    for point in sorted(points, key=lambda point: point.ms):
        fastest.setdefault((point.label, point.accuracy_percent), point)
    return list(fastest.values())


def _label(axis: Axes, panel: Panel) -> None:
    """Name each point at the place where its name hides the least of markers, lines and other names."""
    taken = [box for point in panel.points for box in _boxes_of_point(axis, point)]
    taken += [box for series in panel.series for box in _boxes_of_steps(axis, series.frontier)]
    within = axis.get_window_extent()
    for point in _named_points(panel):
        at = (point.ms, point.accuracy_percent)
        text = axis.annotate(point.label, at, (0, 0), textcoords="offset points", fontsize=9, annotation_clip=False)
        text.set_parse_math(False)
        costs = {}
        for place in _PLACES:
            box = _put(text, place)
            outside = box.width * box.height - _overlap(box, within)
            costs[place] = _OUTSIDE * outside + sum(_overlap(box, other) for other in taken)
        taken.append(_put(text, min(costs, key=costs.__getitem__)))


def _boxes_of_point(axis: Axes, point: Point) -> list[Bbox]:
    percent = point.accuracy_percent
    markers = [_box(axis, latency.ms, latency.ms, percent, percent, _HALF_MARKER) for latency in point.latencies]
    bars = [(latency.ms, latency.error_ms) for latency in point.latencies if latency.error_ms is not None]
    return markers + [_box(axis, max(ms - e, ms / 100), ms + e, percent, percent, _HALF_LINE) for ms, e in bars]


def _boxes_of_steps(axis: Axes, frontier: Sequence[Point]) -> Iterator[Bbox]:
    for one, other in pairwise(frontier):
        low, high = one.accuracy_percent, other.accuracy_percent
        yield _box(axis, one.ms, other.ms, low, low, _HALF_LINE)
        yield _box(axis, other.ms, other.ms, low, high, _HALF_LINE)


def _put(text: Annotation, place: tuple[int, int]) -> Bbox:
    x, y = place
    text.set_position(place)
    text.set_horizontalalignment("left" if x > 0 else "right" if x < 0 else "center")
    text.set_verticalalignment("bottom" if y > 0 else "top" if y < 0 else "center")
    return text.get_window_extent()


def _box(axis: Axes, low_ms: float, high_ms: float, low: float, high: float, half: float) -> Bbox:
    """Return the pixels of a rectangle between latencies and percents, wider by `half` points on every side."""
    from matplotlib.transforms import Bbox

    (x0, y0), (x1, y1) = axis.transData.transform([(low_ms, low), (high_ms, high)])
    more = half * DPI / 72
    return Bbox.from_extents(x0 - more, y0 - more, x1 + more, y1 + more)


def _overlap(one: Bbox, other: Bbox) -> float:
    """Return the area that two boxes share, in square pixels."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return float(max(width, 0.0) * max(height, 0.0))
