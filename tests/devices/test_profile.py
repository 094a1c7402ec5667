from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dongfeng.devices import list_devices, load_profile, write_profile
from dongfeng.devices.profile_json import format_profile, parse_profile
from dongfeng.errors import DeviceError, DongfengError

ROW = {
    "operation": "conv+relu",
    "kernel_hw": [3, 3],
    "stride_hw": [2, 2],
    "groups": 1,
    "c_in": 3,
    "c_out": 32,
    "in_hw": [224, 224],
    "out_hw": [112, 112],
    "ms": 0.5,
}
POINT = {"model": "df1", "size_hw": [224, 224], "ms": 2.5, "source": "a page"}
ROOFLINE = {"tflops": 1.0, "gb_per_s": 20.0}


def profile() -> dict[str, Any]:
    return {
        "format": "dongfeng.device/1",
        "name": "board",
        "device": "A board",
        "runtime": "TensorRT",
        "runtime_version": "8.2",
        "precision": "fp16",
        "fusion": "fused",
        "source": "measured by hand",
        "roofline": dict(ROOFLINE),
        "units": [dict(ROW)],
        "published": [dict(POINT)],
    }


@pytest.mark.parametrize("name", ["gtx1080ti", "snapdragon845", "titanx", "tx2"])
def test_a_shipped_profile_is_found_and_comes_back_as_written(name: str, tmp_path: Path) -> None:
    shipped = load_profile(name)
    write_profile(shipped, tmp_path / "copy.json")
    copy = load_profile(tmp_path / "copy.json")
    assert {**vars(copy), "table": None} == {**vars(shipped), "table": None}
    assert format_profile(copy) == format_profile(shipped)


def test_names_are_forgiving() -> None:
    assert list_devices() == ["gtx1080ti", "snapdragon845", "titanx", "tx2"]
    assert load_profile("GTX-1080_Ti").name == "gtx1080ti"
    with pytest.raises(DeviceError, match='no device is called "tx3", did you mean "tx2"'):
        load_profile("tx3")


def test_tx2_keeps_below_its_peak() -> None:
    roofline = load_profile("tx2").roofline
    assert 0 < roofline.tflops <= 1.33
    assert 0 < roofline.gb_per_s <= 59.7
    assert roofline.bytes_per_value == 2


def test_without_a_roofline_one_is_fitted_to_the_table() -> None:
    document = profile()
    del document["roofline"]
    document["units"] = [
        {
            **ROW,
            "c_in": c,
            "c_out": c,
            "in_hw": [n, n],
            "out_hw": [n, n],
            "stride_hw": [1, 1],
            "ms": c * c * n * n / 1e9,
        }
        for c in (16, 64, 256)
        for n in (16, 64)
    ]
    read = parse_profile(json.dumps(document), filename="board.json")
    assert read.roofline.tflops == pytest.approx(18, rel=0.05)  # 2 * 9 operations for each 1e-9 ms
    assert read.roofline.bytes_per_value == 2


def edited(edit: Callable[[dict[str, Any]], object]) -> str:
    document = profile()
    edit(document)
    return json.dumps(document)


BROKEN = [
    ("", "not JSON"),
    ("[]", "expected an object"),
    ("null", "expected an object"),
    ('{"a": 1, "a": 2}', 'key "a" stands twice'),
    ("[" * 100_000, "nested too deeply|not JSON"),
    ('{"format": ' + "9" * 5000 + "}", "is missing"),
    (edited(lambda d: d.pop("name")), 'key "name" is missing'),
    (edited(lambda d: d.update(format="dongfeng.device/2")), r'format: expected one of "dongfeng.device/1"'),
    (edited(lambda d: d.update(colour="red")), "colour: unknown key"),
    (edited(lambda d: d.update(precision="fp8")), 'precision: expected one of "fp32"'),
    (edited(lambda d: d.update(fusion="some")), "fusion: expected one of"),
    (edited(lambda d: d.update(gap_us=-1)), "gap_us: expected a number from 0"),
    (edited(lambda d: d.update(threads=0)), "threads: expected a positive integer"),
    (edited(lambda d: (d.pop("roofline"), d.pop("units"))), 'expected measured "units", a "roofline", or both'),
    (edited(lambda d: d["roofline"].update(tflops=0)), "roofline.tflops: expected a positive number"),
    (edited(lambda d: d["roofline"].update(tflops=float("nan"))), "roofline.tflops: expected a number"),
    (edited(lambda d: d["roofline"].update(gb_per_s=float("inf"))), "roofline.gb_per_s: expected a number"),
    (edited(lambda d: d["roofline"].update(gb_per_s="fast")), "roofline.gb_per_s: expected a number"),
    (edited(lambda d: d["units"][0].update(ms=-0.1)), r"units\[0\].ms: expected a number from 0"),
    (edited(lambda d: d["units"][0].update(ms=10**400)), "too large|expected a number"),
    (edited(lambda d: d["units"][0].update(c_in=2**70)), r"units\[0\].c_in: expected at most"),
    (edited(lambda d: d["units"][0].update(in_hw=[224, 2**70])), r"units\[0\].in_hw\[1\]: expected at most"),
    (edited(lambda d: d["units"][0].update(in_hw=[224])), r"units\[0\].in_hw: expected \[height, width\]"),
    (edited(lambda d: d["units"][0].update(groups=5)), r"units\[0\].groups: 5 groups do not divide 3 -> 32"),
    (edited(lambda d: d["units"][0].update(operation="CONV\n")), r"units\[0\].operation: .* is no operation"),
    (edited(lambda d: d["units"].append(d["units"][0])), r"units\[1\]: this kernel stands in the table twice"),
    (edited(lambda d: d["units"].append(7)), r"units\[1\]: expected an object"),
    (edited(lambda d: d["published"][0].pop("source")), r'published\[0\]: key "source" is missing'),
    (edited(lambda d: (d.pop("roofline"), d["units"][0].update(ms=0))), "no measured kernel takes any time"),
]


@pytest.mark.parametrize(("text", "message"), BROKEN)
def test_a_damaged_profile_says_where(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "board.json"
    path.write_text(text)
    with pytest.raises(DeviceError, match=message) as caught:
        load_profile(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert isinstance(caught.value, DongfengError)
    assert isinstance(caught.value, ValueError)
    assert "reinstall" not in str(caught.value)


def test_files_that_are_no_text_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "image.json").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(DeviceError, match=r"image.json: not UTF-8 at byte 0"):
        load_profile(tmp_path / "image.json")
    with pytest.raises(DeviceError, match=r"none.json: No such file"):
        load_profile(tmp_path / "none.json")
    with pytest.raises(DeviceError, match=r"Is a directory"):
        load_profile(tmp_path)
    with pytest.raises(DeviceError, match="null"):
        load_profile("a\0b.json")
