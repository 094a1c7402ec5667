"""Reports: their shape is that of the page, and damaged or foreign files are refused in one line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from dongfeng.benchmark.device_report import device_report
from dongfeng.benchmark.host import HostFacts
from dongfeng.benchmark.report import (
    BenchReport,
    BenchRow,
    LayerRow,
    LeftOut,
    Noise,
    ProfileFacts,
    RunSettings,
    TimerResult,
)
from dongfeng.benchmark.report_file import read_report, write_report
from dongfeng.errors import DeviceError
from tests.benchmark.reports import a_report
from tests.conftest import CHECKOUT


def keys(class_: Any) -> list[str]:
    return [field.name for field in fields(class_)]


def test_the_page_lists_every_key_in_order() -> None:
    page = (CHECKOUT / "docs/bench.md").read_text(encoding="utf-8").partition("## The report")[2]
    tables = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
    first_cells = [[re.findall(r"`(\w+)`", line.split("|")[1]) for line in table.splitlines()[2:]] for table in tables]
    top, rows = ([name for names in cells for name in names] for cells in first_cells[:2])
    assert top == keys(BenchReport)
    assert rows == keys(BenchRow)
    listed = [re.findall(r"\w+", text) for text in re.findall(r"`\{([^}]*)\}`", re.sub(r"\s+", " ", page))]
    for class_ in (HostFacts, LayerRow, LeftOut, Noise, ProfileFacts, RunSettings, TimerResult):
        assert sorted(keys(class_)) in [sorted(names) for names in listed]


def test_every_key_is_there() -> None:
    report = device_report("tx2", ["df1", "resnet18"], layers_of=["df1"]).to_json()
    assert list(report) == keys(BenchReport)
    assert all(list(row) == keys(BenchRow) for row in report["rows"])
    assert all(list(layer) == keys(LayerRow) for layer in report["layers"])
    assert list(a_report().to_json()["rows"][0]["timers"]) == ["network", "with_copies", "image_to_labels"]


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    for report in (a_report(), device_report("tx2", ["df1"], layers_of=["df1"])):
        write_report(report, tmp_path / "r.json")
        assert read_report(tmp_path / "r.json") == report
        assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_a_report_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    report = replace(a_report(), notes=(object(),))  # type: ignore[arg-type]
    (tmp_path / "r.json").write_text("old", encoding="utf-8")
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_report(report, tmp_path / "r.json")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("r.json", "old")]


def test_numbers_that_json_does_not_have_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_report(a_report(measured_ms=float("nan")), tmp_path / "r.json")


def damage(change: Callable[[dict[str, Any]], object]) -> str:
    report = json.loads(json.dumps(a_report().to_json()))
    change(report)
    return json.dumps(report)


DAMAGED = {
    "empty": ("", "not JSON"),
    "cut": (json.dumps(a_report().to_json())[:-20], "not JSON"),
    "nested": ("[" * 100_000, "nested too deeply"),
    "binary": ("\udcff\udcfe", "not UTF-8"),
    "list": ("[1, 2]", "no report of df-bench"),
    "foreign": ('{"format": "dongfeng.device/1"}', r'format "dongfeng.device/1"; expected "dongfeng.bench/1"'),
    "no rows": (damage(lambda report: report.pop("rows")), r'key "rows" is missing'),
    "row": (damage(lambda report: report["rows"].append(7)), r"rows\[1\]: expected an object"),
    "model": (
        damage(lambda report: report["rows"][0].update(model=None)),
        r"rows\[0\].model: expected a text, got null",
    ),
    "height": (
        damage(lambda report: report["rows"][0].update(height="224")),
        r"rows\[0\].height: expected a whole number",
    ),
    "flag": (
        damage(lambda report: report["rows"][0].update(width=True)),
        r"rows\[0\].width: expected a whole number, got true",
    ),
    "negative": (damage(lambda report: report["rows"][0].update(measured_ms=-1)), r"rows\[0\].measured_ms: expected"),
    "huge": (damage(lambda report: report["rows"][0].update(measured_ms=1)).replace(": 1,", ": 1e999,"), "measured_ms"),
    "timers": (damage(lambda report: report["rows"][0].update(timers=[1])), r"rows\[0\].timers: expected an object"),
    "timer": (
        damage(lambda report: report["rows"][0]["timers"].update(warp={})),
        r"rows\[0\].timers.warp: unknown key",
    ),
    "samples": (
        damage(lambda report: report["rows"][0]["timers"]["network"].update(samples_ms=[1, "2"])),
        r"rows\[0\].timers.network.samples_ms\[1\]: expected a number",
    ),
    "no samples": (
        damage(lambda report: report["rows"][0]["timers"]["network"].update(samples_ms=[])),
        r"rows\[0\].timers.network.samples_ms: expected a list of positive times",
    ),
    "twins": (damage(lambda report: report["rows"].append(report["rows"][0])), "holds df1 224x224 ncnn fp32 twice"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_or_foreign_file_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    text, message = DAMAGED[name]
    path = tmp_path / "r.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DeviceError, match=message) as error:
        read_report(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.json"):
        with pytest.raises(DeviceError, match=re.escape(str(path))):
            read_report(path)
