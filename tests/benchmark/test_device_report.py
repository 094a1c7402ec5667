"""A device's table: published as in the tables, predictions near them, and none shown as a measurement."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dongfeng.benchmark.device_report import device_report, with_measured
from dongfeng.benchmark.report import BenchReport, new_row
from dongfeng.benchmark.report_file import write_report
from dongfeng.errors import DeviceError, ShapeError, UnknownModel
from tests.benchmark.reports import combination

COLUMNS = {
    "tx2": [("fps_tx2_trt304_640x384", (384, 640))],
    "gtx1080ti": [("fps_1080ti_trt304_1024x2048", (1024, 2048)), ("fps_1080ti_trt304_1024x1024", (1024, 1024))],
    "titanx": [("fps_titanx_caffe_1024x2048", (1024, 2048))],
}


def read(shared: Path, name: str) -> list[dict[str, str]]:
    with (shared / "research" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def tabled(shared: Path, device: str) -> dict[tuple[str, int, int], float]:
    """(model, height, width) -> milliseconds, by the tables."""
    found = {}
    for row in read(shared, "readme_segmentation.csv"):
        for column, size in COLUMNS[device]:
            if row[column]:
                found[(plain(row["model"]), *size)] = 1000 / float(row[column])
    if device == "tx2":
        for row in read(shared, "readme_backbones_tx2.csv"):
            if row["tx2_latency_ms_224_bs1"]:
                found[(plain(row["model"]), 224, 224)] = float(row["tx2_latency_ms_224_bs1"])
    return found


@pytest.mark.parametrize("device", COLUMNS)
def test_the_table_holds_every_published_figure(device: str, shared: Path) -> None:
    report = device_report(device)
    shown = {(plain(row.model), row.height, row.width): row.published_ms for row in report.rows}
    expected = tabled(shared, device)
    extra = {("df1seg", 720, 1280): 1000 / 21.8} if device == "tx2" else {}  # in the paper's text
    assert shown == pytest.approx({**expected, **extra}, rel=1e-5)
    assert "sum of per-layer times at batch 1" in report.notes[0]
    assert "sum of per-layer times at batch 1" in report.to_json()["profile"]["latency"]


def test_the_eight_figures_of_the_tx2_are_met_within_five_percent() -> None:
    rows = [row for row in device_report("tx2").rows if not row.model.startswith("resnet")]
    assert len(rows) == 8
    for row in rows:
        assert row.predicted_ms == pytest.approx(row.published_ms, rel=0.05)
        assert row.is_fitted is True
        assert row.predicted_error_ms > 0


def test_nothing_is_shown_as_measured_that_was_not() -> None:
    for device in ("tx2", "gtx1080ti", "titanx", "snapdragon845"):
        for row in device_report(device).rows:
            assert {value for name, value in vars(row).items() if name.startswith("measured")} == {None}
            assert row.timers is None


def test_a_size_that_does_not_fit_is_computed_at_the_one_that_stands_in() -> None:
    report = device_report("tx2", ["DF1-Seg"])
    small, large = report.rows
    assert (small.height, small.computed_height) == (384, None)
    assert (large.height, large.width, large.computed_height, large.computed_width) == (
        720,
        1280,
        736,
        1280,
    )
    assert any("computed at 736x1280" in note for note in report.notes)


def test_models_and_sizes_are_taken_as_asked() -> None:
    rows = device_report("tx2", ["df2", "resnet50"], sizes_hw=[(224, 224)]).rows
    assert [(row.model, row.published_ms) for row in rows] == [("df2", 5.0), ("resnet50", 10.6)]
    (row,) = device_report("tx2", ["df1seg"], sizes_hw=[(512, 1024)]).rows
    assert (row.published_ms, row.is_fitted, row.height) == (None, None, 512)
    assert row.predicted_ms > 0
    (unpublished,) = device_report("tx2", ["pl1a_seg"]).rows
    assert (unpublished.height, unpublished.width) == (384, 640)
    assert (unpublished.accuracy_metric, unpublished.task) == ("miou", "segmentation")
    with pytest.raises(ShapeError, match="512x992"):
        device_report("tx2", ["df1seg"], sizes_hw=[(500, 1000)])
    with pytest.raises(UnknownModel, match="nosuch"):
        device_report("tx2", ["nosuch"])


def test_parts_and_layers_add_up() -> None:
    report = device_report("gtx1080ti", ["df2seg1"], sizes_hw=[(1024, 2048)], layers_of=["DF2Seg1"])
    (row,) = report.rows
    parts = [row.looked_up_ms or 0.0, row.interpolated_ms or 0.0, row.modelled_ms or 0.0]
    assert sum(parts) == pytest.approx(row.predicted_ms)
    assert sum(layer.ms for layer in report.layers) == pytest.approx(row.predicted_ms)
    assert sum(layer.share_fraction for layer in report.layers) == pytest.approx(1)
    by_basis = sum(layer.ms for layer in report.layers if layer.basis == "looked up")
    assert by_basis == pytest.approx(row.looked_up_ms)
    assert len({layer.basis for layer in report.layers}) >= 2


def measured(**more: Any) -> BenchReport:
    row = new_row(combination("df1", (224, 224), "TensorRT", "fp16"), "tx2")
    return BenchReport(kind="device", rows=(replace(row, **{"measured_ms": 2.6, "measured_timer": "trtexec", **more}),))


def test_a_measurement_stands_beside_its_prediction(tmp_path: Path) -> None:
    file = tmp_path / "board.json"
    write_report(measured(), file)
    first, *others = device_report("tx2", measured=file).rows
    assert (first.measured_ms, first.measured_source, first.measured_timer) == (2.6, str(file), "trtexec")
    assert first.published_ms == 2.5
    assert {row.measured_ms for row in others} == {None}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"device": "this-machine"}, "measured on this-machine, not on tx2"),
        ({"height": 256}, "df1 256x224 TensorRT fp16 was measured"),
        ({"precision": "fp32"}, "df1 224x224 TensorRT fp32 was measured"),
        ({"measured_ms": None}, "nothing was measured"),
    ],
)
def test_a_measurement_of_something_else_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        with_measured(device_report("tx2").rows, "tx2", measured(**more), "board.json")
