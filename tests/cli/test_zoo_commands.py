"""`models`, `info`, `fetch`, `cache`, `backends`: what they print, for people and for programs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import dongfeng
from dongfeng.cli.main import main
from dongfeng.cli.output import cell

PROTOTXT = """\
name: "small"
input: "data"
input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("DONGFENG_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def as_json(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert main([*argv, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert isinstance(value, dict)
    return value


def test_models_prints_one_plain_line_per_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    heading, *lines = out.splitlines()
    assert heading.split()[:3] == ["model", "task", "input"]
    assert [line.split()[0] for line in lines] == dongfeng.list_models()
    assert out.isascii()


def test_models_json_carries_published_results_with_their_unit(capsys: pytest.CaptureFixture[str]) -> None:
    rows = as_json(capsys, "models", "df1*")["rows"]
    assert [row["model"] for row in rows] == ["df1", "df1seg", "df1seg_d8"]
    seg = rows[1]
    assert (seg["height"], seg["width"]) == (1024, 2048)
    fps = [result for result in seg["published"] if result["metric"] == "fps" and result["device"] == "Jetson TX2"]
    assert [(r["value_frames_per_s"], r["height"], r["width"]) for r in fps] == [(71.4, 384, 640)]
    assert all(result["source"] for result in seg["published"])


def test_models_says_when_no_name_fits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "x*"]) == 0
    assert capsys.readouterr().err == "no model is called like 'x*'\n"


def test_info_counts_what_the_paper_counts(capsys: pytest.CaptureFixture[str]) -> None:
    value = as_json(capsys, "info", "df1")
    convolutions = sum(row["macs"] for row in value["rows"] if row["type"] == "Convolution")
    assert (convolutions, value["macs"]) == (746_217_472, 746_729_472)
    assert value["outputs"] == {"fc": [1, 1000]}
    assert value["macs"] == sum(row["macs"] for row in value["rows"])


def test_info_table_and_json_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    rows = as_json(capsys, "info", "pl1a_seg", "--size", "64x128")["rows"]
    assert main(["info", "pl1a_seg", "--size", "64x128"]) == 0
    lines = capsys.readouterr().out.splitlines()[1 : 1 + len(rows)]
    for row, line in zip(rows, lines, strict=True):
        shapes = ", ".join("x".join(map(str, shape)) for shape in row["output_shapes"])
        assert line.split() == [
            row["layer"],
            row["type"],
            *shapes.split(),
            f"{row['macs']:,}",
            f"{row['parameters']:,}",
        ]


def test_info_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "small.prototxt"
    path.write_text(PROTOTXT, encoding="utf-8")
    value = as_json(capsys, "info", str(path))
    assert [row["output_shapes"] for row in value["rows"]] == [[[1, 4, 6, 6]], [[1, 4, 6, 6]]]
    assert value["macs"] == 4 * 6 * 6 * 3 * 3 * 3
    assert value["parameters"] == 4 * 3 * 3 * 3 + 4


def test_info_of_a_net_of_open_size_asks_for_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "open.prototxt"
    path.write_text(PROTOTXT.replace("dim: 8 dim: 8", "dim: 0 dim: 0"), encoding="utf-8")
    assert main(["info", str(path)]) == 0
    captured = capsys.readouterr()
    assert "1x4x?x?" in captured.out
    assert "give --size HxW" in captured.err
    value = as_json(capsys, "info", str(path))
    assert (value["macs"], value["rows"][0]["output_shapes"]) == (None, [[1, 4, None, None]])
    assert as_json(capsys, "info", str(path), "--size", "8x8")["macs"] == 4 * 6 * 6 * 3 * 3 * 3


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["df9seg"], 'no model is called "df9seg"; the closest names: '),
        (["missing.prototxt"], "missing.prototxt: no such file"),
        (["model.onnx"], "expected a zoo name, a .prototxt"),
        (["df1seg", "--size", "100x200"], "the nearest that does is 96x192"),
        (["df1", "missing.caffemodel"], "missing.caffemodel: no such file"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_info_errors_are_one_line(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", *argv]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_info_refuses_weights_of_another_net(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "df1", str(shared / "golden/cases/conv_dilation2/weights.caffemodel")]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert "weights.caffemodel" in err


def test_fetch_prints_where_the_files_are(home: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "weights").mkdir(parents=True)
    for name in ("pl1a_new.bin", "pl1a_new.param.bin"):
        shutil.copy(shared / "pl1a" / name, home / "weights")
    assert main(["fetch", "PL1A-Seg"]) == 0
    assert capsys.readouterr().out.split() == [
        str(home / "weights/pl1a_new.bin"),
        str(home / "weights/pl1a_new.param.bin"),
    ]
    rows = as_json(capsys, "fetch", "pl1a_seg")["rows"]
    assert [(row["model"], row["size_bytes"]) for row in rows] == [("pl1a_seg", 1_480_176), ("pl1a_seg", 10_636)]


def test_fetch_goes_on_after_a_file_that_cannot_be_had(
    home: Path, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "weights").mkdir(parents=True)
    for name in ("pl1a_new.bin", "pl1a_new.param.bin"):
        shutil.copy(shared / "pl1a" / name, home / "weights")
    assert main(["fetch", "df1", "pl1a_seg"]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.split()) == 2
    assert captured.err.startswith("error: df1.caffemodel: DONGFENG_OFFLINE is set")
    assert "https://drive.google.com/" in captured.err
    assert str(home / "weights/df1.caffemodel") in captured.err


def test_cache_lists_and_clears(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache"]) == 0
    assert capsys.readouterr().err == f"0 files, 0.0 MB, in {home}\n"
    (home / "weights").mkdir(parents=True)
    (home / "weights/df1.caffemodel").write_bytes(bytes(1500))
    value = as_json(capsys, "cache")
    row = {"kind": "weights", "size_bytes": 1500, "path": str(home / "weights/df1.caffemodel")}
    assert value == {"folder": str(home), "deleted": False, "total_bytes": 1500, "rows": [row]}
    assert main(["cache", "clear"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].split() == ["weights", "1,500", str(home / "weights/df1.caffemodel")]
    assert not (home / "weights/df1.caffemodel").exists()


def test_backends_says_pass_or_why_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backends"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["onnxruntime", "PASS"] in [line.split() for line in lines]
    rows = as_json(capsys, "backends")["rows"]
    assert len(rows) == len(lines) - 1
    assert all(row["works"] != bool(row["reason"]) for row in rows)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "yes"), (1234567, "1,234,567"), (76.0, "76.0"), (0.00412, "0.00412"), (1234.56, "1234.6")],
)
def test_cells(value: object, text: str) -> None:
    assert cell(value) == text
