"""Two reports side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dongfeng.benchmark.compare import compare_reports
from dongfeng.benchmark.device_report import device_report
from dongfeng.benchmark.report import BenchReport, BenchRow, Noise, RunSettings, Timers
from dongfeng.benchmark.report_file import write_report
from tests.benchmark.reports import a_row, a_timer


def row(model: str, samples_ms: list[float], **more: Any) -> BenchRow:
    timers = Timers(network=a_timer(samples_ms), with_copies=a_timer([2 * ms for ms in samples_ms]))
    return replace(a_row(model, (64, 128)), **{"timers": timers, **more})


def run(*rows: BenchRow, **more: Any) -> BenchReport:
    return BenchReport(kind="run", rows=rows, **more)


def times(median_ms: float, seed: int = 0) -> list[float]:
    return list(np.random.default_rng(seed).normal(median_ms, 0.01 * median_ms, 101))


def test_ratios_are_of_medians_and_clear_beyond_noise() -> None:
    a = run(row("df1", times(10, 1)), row("df2", times(20, 2)))
    b = run(row("df2", times(10, 3)), row("df1", times(10, 4)))
    one, two = compare_reports(a, b).rows
    assert (one.model, two.model) == ("df1", "df2")
    assert two.ratio == pytest.approx(np.median(times(10, 3)) / np.median(times(20, 2)))
    assert (one.is_clear, two.is_clear) == (False, True)
    assert two.ratio_low < two.ratio < two.ratio_high
    assert (two.a_ms, two.b_ms) == (np.median(times(20, 2)), np.median(times(10, 3)))
    assert compare_reports(a, b, timer="with_copies").rows[0].a_ms == pytest.approx(2 * one.a_ms)


def test_files_are_compared_as_what_they_hold(tmp_path: Path) -> None:
    a, b = run(row("df1", times(10, 1))), run(row("df1", times(20, 2)))
    for name, report in (("a.json", a), ("b.json", b)):
        write_report(report, tmp_path / name)
    found = compare_reports(tmp_path / "a.json", str(tmp_path / "b.json"))
    assert found == compare_reports(a, b)
    (as_json,) = found.to_json()["rows"]
    assert list(as_json) == [
        *("model", "height", "width", "backend", "precision"),
        *("a_ms", "b_ms", "ratio", "ratio_low", "ratio_high", "is_clear"),
    ]


def test_rows_match_by_model_size_backend_and_precision() -> None:
    ours = row("df1", times(10))
    others: list[dict[str, Any]] = [{"height": 32}, {"width": 64}, {"backend": "openvino"}, {"precision": "bf16"}]
    found = compare_reports(run(ours), run(*(row("df1", times(10), **other) for other in others)))
    assert found.rows == ()
    assert [each.report for each in found.unmatched] == ["a", "b", "b", "b", "b"]
    assert str(found.unmatched[0]) == "df1 64x128 ncnn fp32"
    assert {each.reason for each in found.unmatched} == {"the other report has no such row"}


def test_what_was_not_measured_is_named() -> None:
    predicted = device_report("tx2", ["df1"])
    found = compare_reports(predicted, predicted)
    assert found.rows == ()
    assert [each.report for each in found.unmatched] == ["a", "b"]
    assert "no samples" in found.unmatched[0].reason
    a = run(row("df1", times(10)))
    assert len(compare_reports(a, a, timer="image_to_labels").unmatched) == 2


def settings(threads: int) -> RunSettings:
    return RunSettings(threads=threads, pinned_cpus=None, seconds_per_timer=3.0, least_samples=20, interleaved=False)


def test_differences_between_the_machines_are_said() -> None:
    noise = Noise(is_noisy=True, others_fraction=None, stolen_fraction=None, reasons=("a reason",))
    a = run(row("df1", times(10)), noise=noise, settings=settings(2))
    b = run(row("df1", times(10)), settings=settings(4))
    versions = {**b.versions, "onnxruntime": "9.9"}
    b = replace(b, versions=versions, host=replace(b.host, governor="performance"))
    notes = " | ".join(compare_reports(a, b).notes)
    for part in ("A was measured on a machine that was too noisy", "threads: 2 in A, 4 in B", "9.9 in B", "governor: "):
        assert part in notes
