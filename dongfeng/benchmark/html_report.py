"""A report as one web page that fetches nothing, with its plot also beside it as SVG and PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from html import escape
from os import PathLike
from pathlib import Path

from dongfeng.benchmark.report import BenchReport, BenchRow, LayerRow, LeftOut
from dongfeng.benchmark.scatter import panels_of, shown, size_of
from dongfeng.benchmark.scatter_plot import scatter_plot
from dongfeng.errors import DeviceError
from dongfeng.support.files import replacing
from dongfeng.support.html_page import Cells, inline_figure, page, section, table
from dongfeng.support.plots import picture_bytes

_SUFFIXES = (".html", ".htm")
_CAPTION = (
    "Up and to the left is better; what stands at one height is one network. The line joins the networks that no other "
    "of the same input size beats in both. Accuracy is what was published of the released fp32 weights, at the input "
    "size of that evaluation: at a smaller one, or in int8, it is lower. Bars show the error of a prediction, if known."
)
_FACTS = (
    ("The machine df-bench ran on", "host"),
    ("Settings", "settings"),
    ("Noise", "noise"),
    ("Device profile", "profile"),
    ("Versions", "versions"),
)


def write_page(report: BenchReport, path: str | PathLike[str]) -> list[Path]:
    """Write the page and its plot, whole or not at all.

    Args:
        report: The report, of one row at least.
        path: The page, NAME.html; the plot is NAME.svg and NAME.png beside it.

    Returns:
        The three files.

    Raises:
        DeviceError: the report holds no rows, or the path has another suffix.
        BackendUnavailable: matplotlib is not installed; the message says how to get it.
        OSError: the folder is missing or cannot be written.
    """
    target = check_page(path)
    if not report.rows:
        raise DeviceError("this report holds no rows: give one that df-bench has written, with at least one model")
    figure = scatter_plot(panels_of(report), _device(report))
    svg, png = picture_bytes(figure, "svg"), picture_bytes(figure, "png")
    contents = {
        target: _page(report, svg.decode("utf-8"), target.stem).encode("utf-8"),
        target.with_suffix(".svg"): svg,
        target.with_suffix(".png"): png,
    }
    with ExitStack() as stack:  # all of them are written before the first takes its name
        for file, content in contents.items():
            stack.enter_context(replacing(file)).write_bytes(content)
    return list(contents)


def check_page(path: str | PathLike[str]) -> Path:
    """Return the path of a page.

    Raises:
        DeviceError: it has another suffix.
    """
    target = Path(path)
    if target.suffix.lower() not in _SUFFIXES:
        raise DeviceError(f"{target}: expected a name that ends in .html; the plot is NAME.svg and NAME.png")
    return target


def _page(report: BenchReport, svg: str, stem: str) -> str:
    facts = report.to_json()
    profile = report.profile
    known = (profile.runtime, profile.runtime_version, profile.precision) if profile else ()
    about = " · ".join(filter(None, (shown(report.created), " ".join(filter(None, map(shown, known))))))
    sections = [
        _figure(report, svg, stem),
        section("Latency", _latency(report.rows)),
        _layers(report.layers),
        _list("Notes", report.notes),
        section("Left out", _left_out(report.left_out)),
        *(section(name, _facts(facts[key] or {})) for name, key in _FACTS),
    ]
    return page(f"Networks on {_device(report)}", about, sections)


def _device(report: BenchReport) -> str:
    """Return the device in words: the profile's, else the machine's processor, else the rows' name for it."""
    first = report.rows[0]
    cpu = report.host.cpu if (first.processor or "cpu") == "cpu" else None
    return shown((report.profile and report.profile.device) or cpu or first.device)


def _figure(report: BenchReport, svg: str, stem: str) -> str:
    """Return the plot, and how to read it."""
    names = ", ".join(dict.fromkeys(shown(row.model) for row in report.rows if row.accuracy_fraction is None))
    missing = f" Not shown, for want of a published accuracy: {escape(names)}." if names else ""
    beside = f"Also as {escape(stem)}.svg and {escape(stem)}.png."
    label = "Accuracy against latency; the tables hold the figures"
    return inline_figure(svg, label, f"{_CAPTION} {beside}{missing}")


_HEADS: Cells = (
    *("model", "input", "device", "backend", "precision", "accuracy, %", "published, ms", "predicted, ms"),
    *("predicted to published", "measured, ms", "with copies, ms", "image to labels, ms", "p99, ms", "frames/s"),
)


def _latency(rows: Sequence[BenchRow]) -> str:
    devices = {row.device for row in rows}
    return table(_HEADS, [_row(row, "" if len(devices) == 1 else row.device) for row in rows], range(5, len(_HEADS)))


def _row(row: BenchRow, device: str) -> Cells:
    published, predicted, measured = row.published_ms, row.predicted_ms, row.measured_ms
    copies, labels, headline = map(row.timer, ("with_copies", "image_to_labels", row.measured_timer))
    error = f" ± {row.predicted_error_ms:.2f}" if predicted and row.predicted_error_ms else ""
    best = measured or published or predicted
    return (
        *(shown(row.model), size_of(row), *map(shown, (device, row.backend, row.precision))),
        "" if row.accuracy_fraction is None else f"{100 * row.accuracy_fraction:.1f}",
        _ms(published),
        _ms(predicted) + error + (" (fitted)" if row.is_fitted else ""),
        f"{100 * (predicted / published - 1):+.1f} %" if predicted and published else "",
        _ms(measured),
        _ms(copies.median_ms) if copies else "",
        _ms(labels.median_ms) if labels else "",
        _ms(headline.p99_ms) if headline else "",
        f"{1000 / best:.1f}" if best else "",
    )


def _ms(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if value >= 100 else f"{value:.3g}" if value < 0.1 else f"{value:.2f}"


def _layers(layers: Sequence[LayerRow]) -> str:
    """Return the layers' times, folded away, with a bar for each."""
    if not layers:
        return ""
    widest = max(layer.ms for layer in layers) or 1.0
    lines = []
    for layer in layers:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in (layer.model, layer.layer, layer.operation, layer.basis))
        bar = f'<span class=bar style="width:{12 * layer.ms / widest:.2f}rem"></span>'
        numbers = f"<td class=number>{_ms(layer.ms)}</td><td class=number>{100 * layer.share_fraction:.1f}</td>"
        lines.append(f"<tr>{cells}{numbers}<td>{bar}</td></tr>")
    heads = "".join(f"<th>{head}</th>" for head in ("model", "layer", "operation", "basis"))
    heads += "<th class=number>ms</th><th class=number>%</th><th></th>"
    rows = f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n" + "\n".join(lines) + "\n</tbody>\n</table>"
    summary = f"<summary>Where the time goes ({len(layers)} layers)</summary>"
    return f"<details>\n{summary}\n<div class=wide>{rows}</div>\n</details>"


def _left_out(rows: Sequence[LeftOut]) -> str:
    cells = [(shown(row.model), size_of(row), shown(row.backend), shown(row.precision), row.reason) for row in rows]
    return table(("model", "input", "backend", "precision", "reason"), cells) if cells else ""


def _facts(facts: Mapping[str, object]) -> str:
    """Return a table of names and values."""
    rows = [(name.replace("_", " "), _fact(value)) for name, value in facts.items()]
    return table(("", ""), rows) if rows else ""


def _fact(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_fact, value)) or "none"
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def _list(title: str, values: Sequence[str]) -> str:
    lines = [f"<li>{escape(value)}</li>" for value in values]
    return f"<h2>{title}</h2>\n<ul>\n" + "\n".join(lines) + "\n</ul>" if lines else ""
