"""A report as one web page that fetches nothing, with its picture also beside it as SVG and PNG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

from dongfeng.benchmark.scatter import number, panels_of, rows_of, shown, size_of
from dongfeng.benchmark.scatter_plot import draw
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


def write_report(report: Mapping[str, Any], path: str | PathLike[str]) -> list[Path]:
    """Write the page and its pictures, whole or not at all.

    Args:
        report: As `df-bench --json` prints it (docs/bench.md).
        path: The page, NAME.html; the pictures are NAME.svg and NAME.png beside it.

    Returns:
        The three files.

    Raises:
        DeviceError: the report holds no rows, or the path has another suffix.
        BackendUnavailable: matplotlib is not installed; the message says how to get it.
        OSError: the folder is missing or cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() not in _SUFFIXES:
        raise DeviceError(f"{target}: expected a name that ends in .html; the pictures are NAME.svg and NAME.png")
    figure = draw(panels_of(report), _device(report))
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


def _page(report: Mapping[str, Any], svg: str, stem: str) -> str:
    title = f"Networks on {_device(report)}"
    about = " · ".join(part for part in (shown(report.get("created")), _profile(report)) if part)
    sections = [
        _figure(report, svg, stem),
        section("Latency", _latency(report)),
        _layers(report),
        _list("Notes", report.get("notes")),
        section("Left out", _left_out(report)),
        *(section(name, _facts(report.get(key))) for name, key in _FACTS),
    ]
    return page(title, about, sections)


_FACTS = (
    ("The machine df-bench ran on", "host"),
    ("Settings", "settings"),
    ("Noise", "noise"),
    ("Device profile", "profile"),
    ("Versions", "versions"),
)


def _device(report: Mapping[str, Any]) -> str:
    """The device in words: the profile's, else the machine's processor, else the rows' name for it."""
    profile, host = _mapping(report.get("profile")), _mapping(report.get("host"))
    named = rows_of(report)[0].get("device")
    on_gpu = str(rows_of(report)[0].get("processor") or "cpu") != "cpu"
    return shown(profile.get("device") or (None if on_gpu else host.get("cpu")) or named or "an unknown device")


def _profile(report: Mapping[str, Any]) -> str:
    profile = _mapping(report.get("profile"))
    return " ".join(shown(profile[key]) for key in ("runtime", "runtime_version", "precision") if profile.get(key))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _figure(report: Mapping[str, Any], svg: str, stem: str) -> str:
    """The picture, and how to read it."""
    out = [row for row in rows_of(report) if number(row.get("accuracy_fraction")) is None]
    names = ", ".join(dict.fromkeys(shown(row.get("model")) for row in out))
    missing = f" Not shown, for want of a published accuracy: {escape(names)}." if names else ""
    beside = f"Also as {escape(stem)}.svg and {escape(stem)}.png."
    label = "Accuracy against latency; the tables hold the figures"
    return inline_figure(svg, label, f"{_CAPTION} {beside}{missing}")


def _latency(report: Mapping[str, Any]) -> str:
    heads: Cells = ("model", "input", "device", "backend", "precision", "accuracy, %", "published, ms", "predicted, ms")
    heads = (
        *heads,
        "predicted to published",
        "measured, ms",
        "with copies, ms",
        "image to labels, ms",
        "p99, ms",
        "frames/s",
    )
    rows = rows_of(report)
    is_one = len({row.get("device") for row in rows}) == 1  # the title says which
    return table(
        heads, [_row(row | {"device": None} if is_one else row) for row in map(dict, rows)], range(5, len(heads))
    )


def _row(row: Mapping[str, Any]) -> Cells:
    published, predicted, measured = (number(row.get(f"{kind}_ms")) for kind in ("published", "predicted", "measured"))
    accuracy, error = number(row.get("accuracy_fraction")), number(row.get("predicted_error_ms"))
    timers = {name: _mapping(timer) for name, timer in _mapping(row.get("timers")).items()}
    copies, labels = (number(timers.get(name, {}).get("median_ms")) for name in ("with_copies", "image_to_labels"))
    p99 = number(timers.get(str(row.get("measured_timer")), {}).get("p99_ms"))
    best = measured or published or predicted
    both = published and predicted
    return (
        *(shown(row.get("model")), size_of(row), *(shown(row.get(key)) for key in ("device", "backend", "precision"))),
        "" if accuracy is None else f"{100 * accuracy:.1f}",
        _ms(published),
        _ms(predicted)
        + (f" ± {error:.2f}" if predicted and error else "")
        + (" (fitted)" if row.get("is_fitted") else ""),
        f"{100 * (predicted / published - 1):+.1f} %" if both and predicted and published else "",
        *(_ms(measured), _ms(copies), _ms(labels), _ms(p99)),
        f"{1000 / best:.1f}" if best else "",
    )


def _ms(value: float | None) -> str:
    return (
        "" if value is None else f"{value:.1f}" if value >= 100 else f"{value:.3g}" if value < 0.1 else f"{value:.2f}"
    )


def _layers(report: Mapping[str, Any]) -> str:
    """Where the time goes, folded away, with a bar for each layer."""
    layers = report.get("layers")
    rows = [row for row in layers if isinstance(row, Mapping)] if isinstance(layers, list) else []
    if not rows:
        return ""
    widest = max((number(row.get("ms")) or 0.0 for row in rows), default=0.0) or 1.0
    lines = []
    for row in rows:
        ms, share = number(row.get("ms")) or 0.0, number(row.get("share_fraction")) or 0.0
        cells = [str(row.get(key) or "") for key in ("model", "layer", "operation", "basis")]
        bar = f'<span class=bar style="width:{12 * ms / widest:.2f}rem"></span>'
        numbers = f"<td class=number>{_ms(ms)}</td><td class=number>{100 * share:.1f}</td><td>{bar}</td>"
        lines.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + numbers + "</tr>")
    heads = "".join(f"<th>{head}</th>" for head in ("model", "layer", "operation", "basis"))
    heads += "<th class=number>ms</th><th class=number>%</th><th></th>"
    table = f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n" + "\n".join(lines) + "\n</tbody>\n</table>"
    summary = f"<summary>Where the time goes ({len(rows)} layers)</summary>"
    return f"<details>\n{summary}\n<div class=wide>{table}</div>\n</details>"


def _left_out(report: Mapping[str, Any]) -> str:
    found = report.get("left_out")
    rows = [row for row in found if isinstance(row, Mapping)] if isinstance(found, list) else []
    cells = [
        (
            shown(row.get("model")),
            size_of(row),
            shown(row.get("backend")),
            shown(row.get("precision")),
            str(row.get("reason")),
        )
        for row in rows
    ]
    return table(("model", "input", "backend", "precision", "reason"), cells) if cells else ""


def _facts(value: object) -> str:
    """Names and values, of any depth."""
    rows = [(name.replace("_", " "), text) for name, text in _flat(_mapping(value))]
    return table(("", ""), rows) if rows else ""


def _flat(facts: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, str]]:
    for key, value in facts.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}, ")
        elif isinstance(value, list | tuple):
            yield name, ", ".join(map(_fact, value)) or "none"
        else:
            yield name, _fact(value)


def _fact(value: object) -> str:
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def _list(title: str, values: object) -> str:
    lines = [f"<li>{escape(str(value))}</li>" for value in values] if isinstance(values, list) else []
    return f"<h2>{title}</h2>\n<ul>\n" + "\n".join(lines) + "\n</ul>" if lines else ""
