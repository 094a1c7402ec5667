"""Two reports side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dongfeng.benchmark.compare import compare_reports
from dongfeng.benchmark.device_report import device_report
from dongfeng.benchmark.report import new_report, new_row


def row(model: str, samples_ms: list[float], **more: Any) -> dict[str, Any]:
    timers = {"network": {"samples_ms": samples_ms}, "with_copies": {"samples_ms": [2 * ms for ms in samples_ms]}}
    about = {"height": 64, "width": 128, "backend": "ncnn", "precision": "fp32", "device": "this-machine"}
    return new_row(model=model, **{**about, "timers": {**timers, "image_to_labels": None}, **more})


def times(median_ms: float, seed: int = 0) -> list[float]:
    return list(np.random.default_rng(seed).normal(median_ms, 0.01 * median_ms, 101))


def test_ratios_are_of_medians_and_clear_beyond_noise() -> None:
    a = new_report("run", [row("df1", times(10, 1)), row("df2", times(20, 2))])
    b = new_report("run", [row("df2", times(10, 3)), row("df1", times(10, 4))])
    one, two = compare_reports(a, b).rows
    assert (one.key.model, two.key.model) == ("df1", "df2")
    assert two.ratio.ratio == pytest.approx(np.median(times(10, 3)) / np.median(times(20, 2)))
    assert (one.ratio.is_clear, two.ratio.is_clear) == (False, True)
    assert two.ratio.low < two.ratio.ratio < two.ratio.high
    assert (two.a_ms, two.b_ms) == (np.median(times(20, 2)), np.median(times(10, 3)))
    assert compare_reports(a, b, timer="with_copies").rows[0].a_ms == pytest.approx(2 * one.a_ms)


def test_rows_match_by_model_size_backend_and_precision() -> None:
    ours = row("df1", times(10))
    others = [{"height": 32}, {"width": 64}, {"backend": "openvino"}, {"precision": "bf16"}]
    a = new_report("run", [ours])
    b = new_report("run", [row("df1", times(10), **other) for other in others])
    found = compare_reports(a, b)
    assert found.rows == ()
    assert [each.report for each in found.unmatched] == ["a", "b", "b", "b", "b"]
    assert str(found.unmatched[0].key) == "df1 64x128 ncnn fp32"
    assert {each.reason for each in found.unmatched} == {"the other report has no such row"}


def test_what_was_not_measured_is_named() -> None:
    predicted = device_report("tx2", ["df1"])
    found = compare_reports(predicted, predicted)
    assert found.rows == ()
    assert [each.report for each in found.unmatched] == ["a", "b"]
    assert "no samples" in found.unmatched[0].reason
    a = new_report("run", [row("df1", times(10))])
    assert len(compare_reports(a, a, timer="image_to_labels").unmatched) == 2


def test_differences_between_the_machines_are_said() -> None:
    a = new_report("run", [row("df1", times(10))], noise={"is_noisy": True}, settings={"threads": 2})
    b = new_report("run", [row("df1", times(10))], settings={"threads": 4})
    b["versions"] = {**b["versions"], "onnxruntime": "9.9"}
    b["host"] = {**b["host"], "governor": "performance"}
    notes = " | ".join(compare_reports(a, b).notes)
    for part in ("A was measured on a machine that was too noisy", "threads: 2 in A, 4 in B", "9.9 in B", "governor: "):
        assert part in notes
