"""Reports of `df-bench` as tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from dongfeng.cli.output import cell, print_table

if TYPE_CHECKING:
    from dongfeng.benchmark.host import HostFacts
    from dongfeng.benchmark.report import (
        BenchReport,
        BenchRow,
        LayerRow,
        Noise,
        ProfileFacts,
        RunSettings,
        TimerResult,
    )

_BAR = 30  # characters of the longest bar
_LAYER_COLUMNS = ("layer", "operation", "ms", "error ms", "share %", "found")


def show_run(report: BenchReport) -> None:
    """Print the measurements of this machine."""
    network = ("network ms", "p90", "p99", "min", "n", "variation %")
    columns = ("model", "size", "backend", "precision", *network, "with copies ms", "image to labels ms", "weights")
    print_table(columns, [_measured(row) for row in report.rows])
    print()
    facts = _machine(report.host)
    if report.settings is not None and report.noise is not None:
        facts[1:1] = [("threads", _threads(report.settings))]
        facts += _noise(report.noise)
    for title, value in facts:
        print(f"{title:12}{value}")
    _show_layers_and_notes(report)


def _measured(row: BenchRow) -> tuple[object, ...]:
    headline = row.timer(row.measured_timer)
    return (
        *(row.model, _size(row), row.backend, row.precision, _median(row.timer("network"))),
        *(_spread(headline) if headline else (None,) * 5),
        *(_median(row.timer("with_copies")), _median(row.timer("image_to_labels")), row.weights),
    )


def _median(timer: TimerResult | None) -> float | None:
    return None if timer is None else timer.median_ms


def _spread(timer: TimerResult) -> tuple[object, ...]:
    variation = f"{100 * timer.variation_fraction:.1f}{' !' if timer.is_varied else ''}"
    return (timer.p90_ms, timer.p99_ms, timer.min_ms, timer.n, variation)


def _machine(host: HostFacts) -> list[tuple[str, str]]:
    """Return the facts that a reader has to know of the machine; "unknown" stands for what it does not tell."""
    clocks = "unknown" if not host.cpu_mhz else f"{min(host.cpu_mhz):.0f} to {max(host.cpu_mhz):.0f} MHz"
    if host.cpu_min_mhz is not None and host.cpu_max_mhz is not None:
        clocks += f" (allowed: {host.cpu_min_mhz:.0f} to {host.cpu_max_mhz:.0f})"
    is_virtual = ", virtual machine" if host.is_virtual else ""
    return [
        ("CPU", f"{host.cpu or 'unknown'}, {host.physical_cores} cores{is_virtual}"),
        ("governor", f"{host.governor or 'unknown'}; boost {_known(host.is_boost_on)}"),
        ("clocks", clocks),
        ("power mode", f"{host.power_mode or 'unknown'}; on battery {_known(host.is_on_battery)}"),
    ]


def _threads(settings: RunSettings) -> str:
    cpus = settings.pinned_cpus
    pinned = "not pinned" if cpus is None else f"pinned to CPU {', '.join(map(str, cpus))}"
    return f"{settings.threads}, {pinned}"


def _noise(noise: Noise) -> list[tuple[str, str]]:
    others = noise.others_fraction
    return [
        ("others", "unknown" if others is None else f"{100 * others:.0f} % of the CPUs"),
        ("noise", "too noisy, see the warnings" if noise.is_noisy else "medians steady within 3 % during the run"),
    ]


def show_device(report: BenchReport, profile: ProfileFacts) -> None:
    """Print what is published, predicted and measured of a device."""
    runtime = " ".join(filter(None, (profile.runtime, profile.runtime_version)))
    print(f"{profile.device}, {runtime}, {profile.precision}")
    print()
    columns = ("model", "size", "precision", "published ms", "predicted ms", "error %", "fitted", "measured ms", "by")
    print_table(columns, [_latencies(row) for row in report.rows])
    _show_layers_and_notes(report)


def _latencies(row: BenchRow) -> tuple[object, ...]:
    published, predicted = row.published_ms, row.predicted_ms
    error = f"{100 * (predicted / published - 1):+.1f}" if published and predicted else None
    bar = "?" if row.predicted_error_ms is None else cell(row.predicted_error_ms)
    estimate = None if predicted is None else f"{cell(predicted)} ± {bar}"
    fitted, measured = cell(row.is_fitted), (row.measured_ms, row.measured_source)
    return (row.model, _size(row), row.precision, published, estimate, error, fitted, *measured)


def _show_layers_and_notes(report: BenchReport) -> None:
    """Print a table and a bar chart of where the time of each row goes, then the notes."""
    for title, group in groupby(report.layers, key=str):
        rows = list(group)
        by_basis: dict[str, float] = {}
        for row in rows:
            by_basis[row.basis] = by_basis.get(row.basis, 0.0) + row.ms
        parts = ", ".join(f"{cell(ms)} ms {basis}" for basis, ms in by_basis.items())
        print(f"\n{title}: {cell(sum(by_basis.values()))} ms ({parts})\n")
        longest = max(row.ms for row in rows) or 1.0
        if sys.stdout.isatty():
            _chart(rows, longest)
        else:
            print_table((*_LAYER_COLUMNS, ""), [(*_layer(row), "#" * round(_BAR * row.ms / longest)) for row in rows])
    if report.notes:
        print()
    for line in report.notes:
        print(f"note: {line}")


def _chart(rows: Sequence[LayerRow], longest_ms: float) -> None:
    from rich import box
    from rich.bar import Bar
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    for column in _LAYER_COLUMNS:
        table.add_column(column, justify="right" if column.endswith(("ms", "%")) else "left", overflow="fold")
    table.add_column("", min_width=_BAR // 2)
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in _layer(row)), Bar(longest_ms, 0, row.ms))
    Console().print(table)


def _layer(row: LayerRow) -> tuple[object, ...]:
    return (row.layer, row.operation, row.ms, row.error_ms, f"{100 * row.share_fraction:.1f}", row.basis)


def _size(row: BenchRow) -> str:
    return f"{row.height}x{row.width}"


def _known(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"
