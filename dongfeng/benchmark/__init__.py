"""Measuring how long networks take: this machine (`bench`), a device (`device_report`), and two reports compared.

The room is not called `bench`, because `dongfeng.bench` is the function, and one attribute cannot be both.
"""

from __future__ import annotations

from dongfeng.benchmark.board import SshBoard
from dongfeng.benchmark.compare import ReportComparison, compare_reports
from dongfeng.benchmark.device_report import device_report
from dongfeng.benchmark.html_report import write_page
from dongfeng.benchmark.interleaved import TimingRules
from dongfeng.benchmark.lut import measure_profile, profile_of_board
from dongfeng.benchmark.report import BenchReport, BenchRow
from dongfeng.benchmark.report_file import read_report, write_report
from dongfeng.benchmark.this_machine import bench

__all__ = [
    "BenchReport",
    "BenchRow",
    "ReportComparison",
    "SshBoard",
    "TimingRules",
    "bench",
    "compare_reports",
    "device_report",
    "measure_profile",
    "profile_of_board",
    "read_report",
    "write_page",
    "write_report",
]
