"""`dongfeng train`: from a data set to files that `dongfeng` runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import dongfeng
from dongfeng.cli.main import main
from dongfeng.datasets.toyshapes import CLASS_NAMES

pytest.importorskip("torch")
pytest.importorskip("safetensors")

QUICK = ["--steps", "6", "--threads", "1", "--device", "cpu", "--set", "log_every=2", "--set", "validation_images=12"]
SHAPES = ["train", "8/8/16", "--data", "toyshapes:24", "--size", "32x32", "--batch", "8", *QUICK]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_run_leaves_a_network_that_loads(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SHAPES, "-o", "run"]) == 0
    captured = capsys.readouterr()
    first, prototxt, caffemodel = captured.out.splitlines()
    assert first.startswith("top-1 ")
    assert "step 2: loss " in captured.err
    assert f"step 6: {first}" in captured.err
    with dongfeng.load(prototxt, weights=caffemodel) as model:
        assert (model.task, model.size_hw, len(model.class_names)) == ("classification", (32, 32), len(CLASS_NAMES))
        assert model.preprocessing.scale == pytest.approx(0.008)
    config = json.loads(Path("run/config.json").read_text())
    assert (config["net"], config["data"], config["size_hw"], config["steps"]) == (
        "8/8/16",
        "toyshapes:24",
        [32, 32],
        6,
    )
    log = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in log] == [2, 4, 6, 6]
    assert set(log[0]) == {"step", "loss", "lr", "images_per_s"}
    assert set(log[-1]) == {"step", "top1", "evaluation_s"}


def test_toytown_scenes(capsys: pytest.CaptureFixture[str]) -> None:
    net = ["train", "toytown_seg", "--data", "toytown:4", "--batch", "2", *QUICK, "--steps", "1"]
    assert main([*net, "--half", "--set", "label_stride=2", "--set", "validation_images=2", "-o", "run", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert 0 <= value["miou"] <= 1
    assert len(value["rows"]) == 19
    assert set(value["rows"][0]) == {"class", "iou_fraction"}
    net_bytes = sum(
        blob.nbytes
        for layer in dongfeng.read_caffe(value["prototxt"], value["caffemodel"]).layers
        for blob in layer.blobs
    )
    assert Path(value["caffemodel"]).stat().st_size < 0.6 * net_bytes


def test_a_run_is_resumed_with_what_it_began_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SHAPES, "-o", "run"]) == 0
    weights = Path("run/backbone.caffemodel").read_bytes()
    assert main([*SHAPES, "-o", "run"]) == 1
    assert main(["train", "--resume", "-o", "run", "--lr", "0.7"]) == 1
    assert main(["train", "--resume", "-o", "nothing"]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert errors == [
        "error: run: holds a training already; resume it, or choose another folder",
        "error: run: holds another training: lr 0.05 there, 0.7 here; choose another folder",
        "error: nothing: holds no training to resume; leave out --resume to begin one",
    ]
    Path("run/backbone.caffemodel").unlink()
    assert main(["train", "--resume", "-o", "run"]) == 0
    assert Path("run/backbone.caffemodel").read_bytes() == weights


def test_fine_tuning_says_which_layers_are_new(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "df1", "--weights", "random", "-o", "w.caffemodel"]) == 0
    tune = ["train", "df1", "--weights", "w.caffemodel", "--data", "toyshapes:4", "--batch", "2", *QUICK]
    assert main([*tune, "--steps", "1", "-o", "run"]) == 0
    assert "w.caffemodel: weights for 78 layers; random ones for fc\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--data", "toytown"], "which network is to be trained?"),
        (["df9", "--data", "toytown"], 'no model is called "df9"'),
        (["none.prototxt", "--data", "toytown"], "none.prototxt: no such file"),
        (["df1seg", "--size", "100x200"], "multiple"),
        (["8/8", "--data", "toyshapes"], "three stages"),
        (["8/x/8", "--data", "toyshapes"], 'no model is called "8/x/8"'),
        (["df1seg", "--data", "cityscapes:none"], "none: no such folder"),
        (["--recipe", "none"], 'no recipe is called "none"'),
        (["df1", "--set", "stps=3"], 'there is no setting "stps"'),
        (["df1", "--data", "toyshapes:2", "--weights", "none"], "none: no such file; weights is a .caffemodel"),
        (["df1", "--data", "toyshapes:2", "--device", "cuda:99"], "CUDA devices; use --device cpu"),
    ],
)
def test_what_is_wrong_is_one_line(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *argv, "-o", "run"]) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    assert message in error
