"""Measuring this machine: a small network, for real, for a moment."""

from __future__ import annotations

import functools
import hashlib
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from dongfeng.benchmark.contestant import open_contestant
from dongfeng.benchmark.interleaved import TimingRules
from dongfeng.benchmark.statistics import summarize
from dongfeng.benchmark.this_machine import bench
from dongfeng.errors import BackendUnavailable
from dongfeng.runtime.results import Classification
from dongfeng.zoo.models import model_info
from tests.benchmark.reports import combination

RULES = TimingRules(seconds=0.03, least_samples=4, warm_up_s=0.0, most_warm_up_s=1.0)
bench_small = functools.partial(bench, "pl1a_seg", sizes_hw=[(64, 128)], threads=1, rules=RULES)


def test_a_run_holds_what_was_measured(session_cache: Path) -> None:
    shares: list[float] = []
    report = bench_small(
        backends=["onnxruntime"],
        precisions=["fp32", "bf16", "fp32"],
        name="mine",
        with_layers=True,
        on_progress=shares.append,
    )
    (row,) = report.rows
    assert str(row.key) == "pl1a_seg 64x128 onnxruntime fp32"
    assert (row.device, row.processor, row.weights, row.weights_sha256) == ("mine", "cpu", "random:0", None)
    assert (row.published_ms, row.predicted_ms, row.measured_source) == (None, None, "here")
    assert row.timers is not None
    timers = row.timers.measured()
    assert list(timers) == ["network", "with_copies", "image_to_labels"]
    for timer in timers.values():
        found = summarize(timer.samples_ms)
        assert timer.n == len(timer.samples_ms) >= RULES.least_samples
        assert timer.median_ms == pytest.approx(found.median_ms, abs=1e-6)
        assert timer.is_varied is (timer.variation_fraction > 0.02)
        assert timer.warm_up_runs >= 1
    assert row.measured_ms == timers["network"].median_ms
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in session_cache.rglob("pl1a_seg-*.onnx")}
    assert row.model_sha256 in digests
    (left,) = report.left_out
    assert (left.precision, left.model) == ("bf16", "pl1a_seg")
    assert "computes in fp32 or int8" in left.reason
    assert report.settings is not None
    assert report.settings.threads == 1
    assert report.settings.pinned_cpus is None or len(report.settings.pinned_cpus) == 1
    assert report.settings.interleaved is False
    assert report.noise is not None
    assert report.noise.is_noisy is bool(report.noise.reasons)
    assert shares[-1] == pytest.approx(1)
    assert {layer.basis for layer in report.layers} == {"measured"}
    assert sum(layer.operation == "Conv" for layer in report.layers) > 20
    assert sum(layer.share_fraction for layer in report.layers) == pytest.approx(1)


def test_released_weights_are_taken_where_they_are_in_the_cache(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DONGFENG_HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    shutil.copy(shared / "pl1a/pl1a_new.bin", tmp_path / "weights")
    (row,) = bench_small().rows
    assert row.weights == "pl1a_new.bin"
    assert row.weights_sha256 == model_info("pl1a_seg").weights[0].sha256


@pytest.mark.slow
def test_int8_is_measured_on_synthetic_images() -> None:
    report = bench_small(precisions=["int8", "fp32"], backends=["onnxruntime"])
    eight, float32 = report.rows
    assert (eight.precision, float32.precision) == ("int8", "fp32")
    assert eight.model_sha256 != float32.model_sha256
    assert report.settings is not None
    assert report.settings.interleaved is True


def test_where_nothing_can_run_the_first_reason_is_given() -> None:
    with pytest.raises(BackendUnavailable, match="no backend is called"):
        bench_small(backends=["nosuch"], precisions=["fp32", "bf16"])


@pytest.mark.parametrize("backend", ["openvino", "ncnn"])
def test_layers_of_the_other_backends(backend: str) -> None:
    if find_spec(backend) is None:
        pytest.skip(f"needs {backend}")
    report = bench_small(backends=[backend], with_layers=True)
    if backend == "ncnn":
        assert report.layers == ()
        assert "ncnn has no layer profile" in report.notes[0]
    else:
        assert len(report.layers) > 20
        assert report.notes == ()


def test_a_classifier_is_measured_to_its_classes() -> None:
    each = open_contestant(combination("df1", (224, 224), "onnxruntime", "fp32"), device="cpu", threads=1)
    with each.model:
        calls = each.calls()
        assert set(calls) == {"network", "with_copies", "image_to_labels"}
        result = calls["image_to_labels"]()
        assert isinstance(result, Classification)
        assert len(result.logits) == 1000
