"""Measuring this machine: a small network, for real, for a moment."""

from __future__ import annotations

import hashlib
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from dongfeng.benchmark import Settings, measure_here, summarize
from dongfeng.benchmark.contestant import Entry, open_contestant
from dongfeng.benchmark.interleaved import Rules
from dongfeng.errors import BackendUnavailable, DongfengError
from dongfeng.zoo.models import model_info

RULES = Rules(seconds=0.03, least_samples=4, warm_up_s=0.0, most_warm_up_s=1.0)
SMALL = (64, 128)
NEEDS = {"onnxruntime": "onnxruntime", "openvino": "openvino", "ncnn": "ncnn"}


def entry(backend: str = "onnxruntime", precision: str = "fp32", model: str = "pl1a_seg") -> Entry:
    return Entry(model_info(model), SMALL if model == "pl1a_seg" else (224, 224), backend, precision)


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings(threads=1, name="mine", rules=RULES, with_layers=True)


def test_a_run_holds_what_was_measured(settings: Settings, session_cache: Path) -> None:
    shares: list[float] = []
    report = measure_here([entry(), entry(precision="bf16")], settings, on_progress=shares.append)
    (row,) = report["rows"]
    assert (row["model"], row["height"], row["width"], row["backend"]) == ("pl1a_seg", 64, 128, "onnxruntime")
    assert (row["device"], row["processor"], row["weights"], row["weights_sha256"]) == ("mine", "cpu", "random:0", None)
    assert (row["published_ms"], row["predicted_ms"], row["measured_source"]) == (None, None, "here")
    for timer in row["timers"].values():
        found = summarize(timer["samples_ms"])
        assert timer["n"] == len(timer["samples_ms"]) >= RULES.least_samples
        assert timer["median_ms"] == pytest.approx(found.median_ms, abs=1e-6)
        assert timer["is_varied"] is (timer["variation_fraction"] > 0.02)
        assert timer["warm_up_runs"] >= 1
    assert row["measured_ms"] == row["timers"]["network"]["median_ms"]
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in session_cache.rglob("pl1a_seg-*.onnx")}
    assert row["model_sha256"] in digests
    (left,) = report["left_out"]
    assert (left["precision"], left["model"]) == ("bf16", "pl1a_seg")
    assert "computes in fp32 or int8" in left["reason"]
    assert report["settings"]["threads"] == 1
    assert report["settings"]["pinned_cpus"] is None or len(report["settings"]["pinned_cpus"]) == 1
    assert set(report["noise"]) == {"is_noisy", "others_fraction", "stolen_fraction", "reasons"}
    assert report["noise"]["is_noisy"] is bool(report["noise"]["reasons"])
    assert shares[-1] == pytest.approx(1)
    assert {layer["basis"] for layer in report["layers"]} == {"measured"}
    assert sum(layer["operation"] == "Conv" for layer in report["layers"]) > 20
    assert sum(layer["share_fraction"] for layer in report["layers"]) == pytest.approx(1)


def test_released_weights_are_taken_where_they_are_in_the_cache(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DONGFENG_HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    shutil.copy(shared / "pl1a/pl1a_new.bin", tmp_path / "weights")
    (row,) = measure_here([entry()], Settings(rules=RULES))["rows"]
    assert row["weights"] == "pl1a_new.bin"
    assert row["weights_sha256"] == model_info("pl1a_seg").weights[0].sha256


@pytest.mark.slow
def test_int8_is_measured_on_drawn_images(settings: Settings) -> None:
    report = measure_here([entry(precision="int8"), entry()], Settings(threads=1, rules=RULES))
    eight, float32 = report["rows"]
    assert (eight["precision"], float32["precision"]) == ("int8", "fp32")
    assert eight["model_sha256"] != float32["model_sha256"]
    assert report["settings"]["interleaved"] is True


def test_where_nothing_can_run_the_first_reason_is_given(settings: Settings) -> None:
    with pytest.raises(BackendUnavailable, match="no backend is called"):
        measure_here([entry("nosuch"), entry(precision="bf16")], settings)
    with pytest.raises(DongfengError, match="name a model"):
        measure_here([], settings)


@pytest.mark.parametrize("backend", ["openvino", "ncnn"])
def test_layers_of_the_other_backends(backend: str) -> None:
    if find_spec(NEEDS[backend]) is None:
        pytest.skip(f"needs {backend}")
    report = measure_here([entry(backend)], Settings(threads=1, rules=RULES, with_layers=True))
    if backend == "ncnn":
        assert report["layers"] == []
        assert "ncnn has no layer profile" in report["notes"][0]
    else:
        assert len(report["layers"]) > 20
        assert report["notes"] == []


def test_a_classifier_is_measured_to_its_classes() -> None:
    each = open_contestant(entry(model="df1"), device="cpu", threads=1)
    with each.model:
        runs = each.runs
        assert set(runs) == {"network", "with_copies", "image_to_labels"}
        result = runs["image_to_labels"]
        assert result is not None
        assert len(result().logits) == 1000  # type: ignore[attr-defined]
