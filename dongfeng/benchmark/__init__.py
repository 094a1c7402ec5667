"""Measuring how long networks take: this machine (`measure_here`), a device's profile, and two reports compared."""

from __future__ import annotations

from dongfeng.benchmark.compare import Comparison, compare_reports
from dongfeng.benchmark.device_report import add_measured, device_report
from dongfeng.benchmark.report import FORMAT, read_report, write_report
from dongfeng.benchmark.statistics import Summary, ratio_of_medians, summarize
from dongfeng.benchmark.this_machine import Settings, measure_here

__all__ = [
    "FORMAT",
    "Comparison",
    "Settings",
    "Summary",
    "add_measured",
    "compare_reports",
    "device_report",
    "measure_here",
    "ratio_of_medians",
    "read_report",
    "summarize",
    "write_report",
]
