"""`convert ... -o OUT.engine`: what it builds is what was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from dongfeng.backends.tensorrt import read_sidecar
from dongfeng.cli.main import main

pytest.importorskip("tensorrt_rtx")

SMALL = ["pl1a_seg", "--weights", "random:5", "--size", "64x128"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_zoo_name_becomes_an_engine(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*SMALL, "-o", "new/m.engine", "--precision", "fp16", "--compute-capability", "8.6", "--workspace", "512"]
    assert main(["convert", *words]) == 0
    captured = capsys.readouterr()
    assert captured.out == "new/m.engine\n"
    assert "76 of 76 layers with weights compute in fp16 (the builder's plan says; no GPU was asked)" in captured.err
    sidecar = read_sidecar("new/m.engine")
    assert sidecar is not None
    assert (sidecar.precision, sidecar.compute_capabilities) == ("fp16", ("8.6",))
    assert {"dongfeng.recipe", "dongfeng.name", "dongfeng.head", "dongfeng.score_blob"} <= set(sidecar.metadata)
    assert sidecar.rebuild == (
        "dongfeng convert pl1a_seg -o new/m.engine --weights random:5 --size 64x128 --precision fp16 --workspace 512 "
        "--compute-capability 8.6"
    )
    Path("new/m.engine").unlink()
    assert main(sidecar.rebuild.split()[1:]) == 0
    assert read_sidecar("new/m.engine") is not None


def test_an_onnx_file_becomes_an_engine_in_eight_bits(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("frames").mkdir()
    for index in range(2):
        image = np.random.default_rng(index).integers(0, 256, (64, 128, 3), np.uint8)
        cv2.imwrite(f"frames/{index}.png", image)
    assert main(["convert", *SMALL, "-o", "net.onnx", "--output", "Decoder_score"]) == 0
    capsys.readouterr()
    assert main(["convert", "net.onnx", "-o", "m.engine", "--precision", "int8", "--images", "frames", "--json"]) == 0
    captured = capsys.readouterr()
    said = json.loads(captured.out)
    assert (said["precision"], said["audit_source"]) == ("int8", "builder")
    in_int8 = [row for row in said["rows"] if row["precision"] == "int8"]
    assert len(in_int8) > len(said["rows"]) / 2
    assert all(bool(row["reason"]) == (row["precision"] != "int8") for row in said["rows"])
    assert "calibrating with 2 images" in captured.err


def test_an_open_batch(folder: Path) -> None:
    assert main(["convert", "df1", "--weights", "random", "-o", "m.engine", "--dynamic", "1x2x4"]) == 0
    sidecar = read_sidecar("m.engine")
    assert sidecar is not None
    assert (sidecar.dynamic, sidecar.inputs["data"].shape) == ((1, 2, 4), (-1, 3, 224, 224))


@pytest.mark.parametrize(
    "words",
    [
        ["-o", "m.onnx", "--precision", "fp16"],
        ["-o", "m.engine", "--dynamic"],
        ["-o", "m.onnx", "--dynamic", "1x2x4"],
        ["-o", "m.engine", "--verify"],
        ["-o", "m.engine", "--images", "frames"],
        ["-o", "m.engine", "--dynamic", "1x2"],
        ["-o", "m.engine", "--compute-capability", "sm86"],
    ],
    ids=" ".join,
)
def test_what_does_not_go_together_is_wrong_usage(words: list[str], folder: Path) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["convert", *SMALL, *words])
    assert exit_.value.code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.onnx", "-o", "m.engine"], "error: none.onnx: no such file\n"),
        ([*SMALL, "-o", "m.engine", "--target", "tensorrt"], 'run: pip install "dongfeng[tensorrt]"\n'),
        ([*SMALL, "-o", "m.engine", "--precision", "int8"], "int8 needs about ten inputs"),
    ],
    ids=["file", "library", "images"],
)
def test_what_fails_is_one_line(words: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", *words]) == 1
    last = capsys.readouterr().err.splitlines(keepends=True)[-1]
    assert last.startswith("error: ")
    assert said in last
