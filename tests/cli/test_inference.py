"""`segment` and `classify`: every image that can be read gives its result, wherever the others stand."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import dongfeng
from dongfeng.cli.main import main

MODEL = ["--model", "pl1a_seg", "--weights", "random", "--size", "64x128"]
WARNING = "warning: pl1a_seg: random weights, so the results mean nothing\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with images of two sizes and one that is none."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)
    for name in ("photo.jpg", "drive/a/1.png", "drive/b/1.png", "drive/b/2.bmp"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(name, noise)
    assert cv2.imwrite("drive/grey.png", noise[:33, :77, 0])
    Path("drive/b/broken.png").write_text("no image", encoding="utf-8")
    return tmp_path


def pngs(folder: str) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()}


def test_labels_of_real_frames_are_those_of_the_release(shared: Path, tmp_path: Path) -> None:
    names = ["demo33.png", "demo6.png"]
    frames = [str(shared / "pl1a/frames" / name) for name in names]
    weights = str(shared / "pl1a/pl1a_new.bin")
    assert main(["segment", "--weights", weights, *frames, "--kind", "labels", "-o", str(tmp_path)]) == 0
    for name in names:
        got = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
        expected = cv2.imread(str(shared / "pl1a/labels" / name), cv2.IMREAD_UNCHANGED)
        assert got.shape == expected.shape
        assert (got == expected).mean() >= 0.9999


def test_a_folder_keeps_its_structure_and_a_broken_image_stops_no_other(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", *MODEL, "drive", "-o", "out"]) == 1
    captured = capsys.readouterr()
    assert pngs("out") == {"a/1.png", "b/1.png", "b/2.png", "grey.png"}
    assert captured.out.splitlines() == [
        "drive/a/1.png -> out/a/1.png",
        "drive/b/1.png -> out/b/1.png",
        "drive/b/2.bmp -> out/b/2.png",
        "drive/b/broken.png: skipped",
        "drive/grey.png -> out/grey.png",
    ]
    problem = "error: drive/b/broken.png: is no image, is damaged, or has a format that OpenCV does not read\n"
    assert captured.err == f"{WARNING}{problem}4 done, 1 failed\n"


def test_json_has_a_row_per_image_and_the_errors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", *MODEL, "drive/b", "missing.jpg", "-o", "out", "--json"]) == 1
    captured = capsys.readouterr()
    value = json.loads(captured.out)
    assert [(row["input"], row["output"], row["height"], row["width"]) for row in value["rows"]] == [
        ("drive/b/1.png", "out/1.png", 60, 100),
        ("drive/b/2.bmp", "out/2.png", 60, 100),
    ]
    for row in value["rows"]:
        assert set(row["timing_ms"]) == {"decode", "preprocess", "infer", "postprocess"}
        assert all(time_ms >= 0 for time_ms in row["timing_ms"].values())
    assert [error.split(":")[0] for error in value["errors"]] == ["missing.jpg", "drive/b/broken.png"]
    assert captured.err.count("error: ") == 2


@pytest.mark.parametrize("kind", ["overlay", "color", "labels", "label_ids"])
def test_each_kind_is_what_python_saves(kind: str, folder: Path) -> None:
    assert main(["segment", *MODEL, "--kind", kind, "photo.jpg", "-o", "out"]) == 0
    with pytest.warns(dongfeng.errors.DongfengWarning, match="random weights"):
        model = dongfeng.load("pl1a_seg", weights="random", size=(64, 128))
    with model:
        result = model("photo.jpg")
    expected = {"overlay": result.overlay, "color": result.color}.get(kind, lambda: getattr(result, kind))()
    got = cv2.imread("out/photo.png", cv2.IMREAD_UNCHANGED)
    assert np.array_equal(got, expected[..., ::-1] if expected.ndim == 3 else expected)


def test_existing_outputs_are_replaced_and_are_no_inputs_the_next_time(folder: Path) -> None:
    Path("drive/b/broken.png").unlink()
    assert main(["segment", *MODEL, "drive", "-o", "drive/out"]) == 0
    first = pngs("drive/out")
    Path("drive/out/grey.png").write_bytes(b"")
    assert main(["segment", *MODEL, "drive", "-o", "drive/out"]) == 0
    assert pngs("drive/out") == first
    assert cv2.imread("drive/out/grey.png") is not None


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["drive/a/1.png", "-o", "drive/a"], "drive/a/1.png: this output would overwrite an input"),
        (["photo.jpg", "-o", "photo.jpg"], "photo.jpg: File exists"),
        (
            ["photo.jpg", "-o", "out", "--model", "df1", "--size", "224x224"],
            "df1 is a model for classification; use: dongfeng classify",
        ),
        (["photo.jpg", "-o", "out", "--size", "50x100"], "the nearest that does is 64x96"),
        (["photo.jpg", "-o", "out", "--model", "nothing"], 'no model is called "nothing"'),
        (["photo.jpg", "-o", "out", "--weights", "none.bin"], "none.bin: no such file"),
        (["photo.jpg", "-o", "out", "--device", "tpu"], 'no device is called "tpu"'),
        (["nothing.jpg", "-o", "out"], "nothing.jpg: no such file or folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_concerns_all_images_is_an_error_at_once(
    argv: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path("drive/a/1.png").read_bytes()
    assert main(["segment", *MODEL, *argv]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (error,) = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert message in error
    assert Path("drive/a/1.png").read_bytes() == before


def test_classify_prints_the_classes_that_python_gives(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(dongfeng.errors.DongfengWarning, match="random weights"):
        model = dongfeng.load("df1", weights="random:7")
    with model:
        top = model("photo.jpg").top(3)
    argv = ["classify", "--weights", "random:7", "--top", "3", "photo.jpg"]
    assert main(argv) == 0
    shown = ", ".join(f"{name} {100 * probability:.1f} %" for _, name, probability in top)
    assert capsys.readouterr().out == f"photo.jpg: {shown}\n"
    assert main([*argv, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert [(entry["index"], entry["name"]) for entry in row["classes"]] == [entry[:2] for entry in top]
    assert [entry["probability"] for entry in row["classes"]] == pytest.approx([entry[2] for entry in top], rel=1e-4)


def test_a_segmentation_model_does_not_classify(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", *MODEL, "photo.jpg"]) == 1
    assert "use: dongfeng segment --model pl1a_seg" in capsys.readouterr().err


@pytest.mark.parametrize("to_file", [False, True], ids=["all on the terminal", "results in a file"])
def test_a_terminal_shows_a_bar_and_results_stay_whole(
    to_file: bool, folder: Path, subprocess_env: dict[str, str]
) -> None:
    """What the bar draws over is for the eye; what goes to a file is for programs."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "dongfeng", "segment", *MODEL, "drive/a", "photo.jpg", "-o", "out"]
    with Path("lines.txt").open("wb") as file:
        stdout = file if to_file else theirs
        process = subprocess.Popen(command, env=subprocess_env, stdin=theirs, stdout=stdout, stderr=theirs)
    os.close(theirs)
    seen = _read_all(ours)
    assert process.wait(timeout=60) == 0
    assert "2/2" in seen
    assert "2 done, 0 failed" in seen
    lines = ["drive/a/1.png -> out/1.png", "photo.jpg -> out/photo.png"]
    assert Path("lines.txt").read_text(encoding="utf-8").splitlines() == (lines if to_file else [])
    assert all((line in seen) != to_file for line in lines)


def _read_all(terminal: int) -> str:
    """Everything written to a terminal until its other side is closed."""
    seen = b""
    try:
        while part := os.read(terminal, 4096):
            seen += part
    except OSError:  # how Linux tells that the other side is closed
        pass
    os.close(terminal)
    return seen.decode()


@pytest.mark.parametrize("command", ["segment", "classify"])
@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--backend", "caffe"], 'no backend is called "caffe"'),
        (["--precision", "fp8"], 'no precision is called "fp8"'),
        (["--precision", "int8"], "--precision int8: needs images to quantize with; give --calibration DIR"),
        (["--precision", "int8", "--calibration", "nowhere"], "--calibration nowhere: no such file or folder"),
        (["--calibration", "drive"], "--calibration: is for --precision int8; the precision is auto"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_how_to_run_is_refused_in_one_line(
    command: str, argv: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["-o", "out"] if command == "segment" else []
    assert main([command, "--weights", "random", *argv, "photo.jpg", *where]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (error,) = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert message in error


@pytest.mark.parametrize(("backend", "precision"), [("openvino", "fp32"), ("openvino", "bf16"), ("ncnn", "fp32")])
def test_backend_and_precision_are_those_of_python(backend: str, precision: str, folder: Path) -> None:
    pytest.importorskip(backend)
    with pytest.warns(dongfeng.errors.DongfengWarning, match="random weights"):
        model = dongfeng.load("pl1a_seg", weights="random", size=(64, 128), backend=backend, precision=precision)
    with model:
        expected = model("photo.jpg").labels
    argv = ["--backend", backend, "--precision", precision, "--kind", "labels", "photo.jpg", "-o", "out"]
    assert main(["segment", *MODEL, *argv]) == 0
    got = cv2.imread("out/photo.png", cv2.IMREAD_UNCHANGED)
    assert (got == expected).mean() >= 0.999


@pytest.mark.slow
def test_int8_is_calibrated_on_the_images_of_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("drive/b/broken.png").unlink()
    argv = ["--precision", "int8", "--backend", "onnxruntime", "--calibration", "drive", "--kind", "labels"]
    assert main(["segment", *MODEL, *argv, "photo.jpg", "-o", "out"]) == 0
    images = sorted(Path("drive").rglob("*.[pb][nm][gp]"))
    with pytest.warns(dongfeng.errors.DongfengWarning, match="random weights"):
        model = dongfeng.load(
            "pl1a_seg",
            weights="random",
            size=(64, 128),
            backend="onnxruntime",
            precision="int8",
            calibration=images,
        )
    with model:
        assert model.precision == "int8"
        expected = model("photo.jpg").labels
    got = cv2.imread("out/photo.png", cv2.IMREAD_UNCHANGED)
    assert np.array_equal(got, expected)
    before = pngs("out")
    capsys.readouterr()
    assert main(["segment", *MODEL, *argv, "photo.jpg", "-o", "out", "--resume"]) == 0
    assert "(already there)" in capsys.readouterr().out
    Path("drive/a/1.png").unlink()
    assert main(["segment", *MODEL, *argv, "photo.jpg", "-o", "out", "--resume"]) == 0
    assert "(already there)" not in capsys.readouterr().out
    assert pngs("out") == before
