"""Reports of `df-bench` as tables."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dongfeng.cli.output import cell, print_table

if TYPE_CHECKING:
    from dongfeng.benchmark.report import Report, Row

_BAR = 30  # characters of the longest bar


def show_run(report: Report) -> None:
    """What was measured here."""
    network = ("network ms", "p90", "p99", "min", "n", "variation %")
    columns = ("model", "size", "backend", "precision", *network, "with copies ms", "image to labels ms", "weights")
    print_table(columns, [_measured(row) for row in report["rows"]])
    print()
    for title, value in _machine(report):
        print(f"{title:12}{value}")
    _show_layers(report["layers"])
    _show_notes(report)


def _measured(row: Row) -> tuple[object, ...]:
    timers = row["timers"]
    main = timers[row["measured_timer"]]
    network = timers["network"] or {}
    variation = f"{100 * main['variation_fraction']:.1f}{' !' if main['is_varied'] else ''}"
    return (
        row["model"],
        _size(row),
        row["backend"],
        row["precision"],
        network.get("median_ms"),
        *(main[key] for key in ("p90_ms", "p99_ms", "min_ms", "n")),
        variation,
        *((timers[name] or {}).get("median_ms") for name in ("with_copies", "image_to_labels")),
        row["weights"],
    )


def _machine(report: Report) -> list[tuple[str, str]]:
    """What a reader has to know of the machine; what it does not tell is said to be unknown."""
    host, settings, noise = report["host"], report["settings"], report["noise"]
    pins = settings["pinned_cpus"]
    mhz = host["cpu_mhz"]
    clocks = "unknown" if not mhz else f"{min(mhz):.0f} to {max(mhz):.0f} MHz"
    if host["cpu_max_mhz"] is not None:
        clocks += f" (allowed: {host['cpu_min_mhz']:.0f} to {host['cpu_max_mhz']:.0f})"
    others = noise["others_fraction"]
    is_virtual = ", virtual machine" if host["is_virtual"] else ""
    return [
        ("CPU", f"{host['cpu'] or 'unknown'}, {host['physical_cores']} cores{is_virtual}"),
        ("threads", f"{settings['threads']}, {'not pinned' if pins is None else f'pinned to CPU {_list(pins)}'}"),
        ("governor", f"{host['governor'] or 'unknown'}; boost {_known(host['is_boost_on'])}"),
        ("clocks", clocks),
        ("power mode", f"{host['power_mode'] or 'unknown'}; on battery {_known(host['is_on_battery'])}"),
        ("others", "unknown" if others is None else f"{100 * others:.0f} % of the CPUs"),
        ("noise", "too noisy, see the warnings" if noise["is_noisy"] else "medians steady within 3 % during the run"),
    ]


def show_device(report: Report) -> None:
    """What is published, predicted and measured of a device."""
    profile = report["profile"]
    runtime = " ".join(filter(None, (profile["runtime"], profile["runtime_version"])))
    print(f"{profile['device']}, {runtime}, {profile['precision']}")
    print()
    columns = ("model", "size", "precision", "published ms", "predicted ms", "error %", "fitted", "measured ms", "by")
    print_table(columns, [_known_of(row) for row in report["rows"]])
    _show_layers(report["layers"])
    _show_notes(report)


def _show_notes(report: Report) -> None:
    """What a reader of the tables has to know; so it stands with them."""
    if report["notes"]:
        print()
    for line in report["notes"]:
        print(f"note: {line}")


def _known_of(row: Row) -> tuple[object, ...]:
    published, predicted = row["published_ms"], row["predicted_ms"]
    error = f"{100 * (predicted / published - 1):+.1f}" if published and predicted else None
    bar = row["predicted_error_ms"]
    estimate = None if predicted is None else f"{cell(predicted)} ± {'?' if bar is None else cell(bar)}"
    fitted = None if row["is_fitted"] is None else "yes" if row["is_fitted"] else "no"
    measured = (row["measured_ms"], row["measured_source"])
    return (row["model"], _size(row), row["precision"], published, estimate, error, fitted, *measured)


def _show_layers(layers: Sequence[Row]) -> None:
    """One table, and a bar chart of where the time goes, for each model, size, backend and precision."""
    tables: dict[str, list[Row]] = {}
    for layer in layers:
        title = f"{layer['model']} {_size(layer)} {layer['backend']} {layer['precision']}"
        tables.setdefault(title, []).append(layer)
    for title, rows in tables.items():
        by_basis: dict[str, float] = {}
        for row in rows:
            by_basis[row["basis"]] = by_basis.get(row["basis"], 0.0) + row["ms"]
        parts = ", ".join(f"{cell(ms)} ms {basis}" for basis, ms in by_basis.items())
        print(f"\n{title}: {cell(sum(by_basis.values()))} ms ({parts})\n")
        if sys.stdout.isatty():
            _chart(rows)
        else:
            _plain_chart(rows)


def _plain_chart(rows: Sequence[Row]) -> None:
    longest = max(row["ms"] for row in rows) or 1.0
    columns = ("layer", "operation", "ms", "error ms", "share %", "found", "")
    print_table(columns, [(*_layer(row), "#" * round(_BAR * row["ms"] / longest)) for row in rows])


def _chart(rows: Sequence[Row]) -> None:
    from rich import box
    from rich.bar import Bar
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    longest = max(row["ms"] for row in rows) or 1.0
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    for column in ("layer", "operation", "ms", "error ms", "share %", "found"):
        table.add_column(column, justify="right" if column.endswith(("ms", "%")) else "left", overflow="fold")
    table.add_column("", min_width=_BAR // 2)
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in _layer(row)), Bar(longest, 0, row["ms"]))
    Console().print(table)


def _layer(row: Row) -> tuple[Any, ...]:
    share = round(100 * row["share_fraction"], 1)
    return (row["layer"], row["operation"], row["ms"], row["error_ms"], f"{share:.1f}", row["basis"])


def _size(row: Mapping[str, Any]) -> str:
    return f"{row['height']}x{row['width']}"


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _known(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"
