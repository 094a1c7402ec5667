"""`batch` and `evaluate` from Python: what the commands do, with typed results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import dongfeng
from dongfeng.cli.main import main
from dongfeng.errors import ConversionError, DongfengError
from dongfeng.net.random_weights import random_weights
from dongfeng.runtime.batch import Step, batch
from dongfeng.runtime.batch_results import SegmentedFrame, SegmentedImage, SegmentedVideo
from dongfeng.runtime.evaluate import evaluate
from dongfeng.runtime.load import LoadOptions
from dongfeng.runtime.run_progress import RunProgress
from tests.cli.synthetic_cityscapes import draw as draw_cityscapes
from tests.cli.synthetic_cityscapes import files
from tests.cli.test_segment_video import draw as draw_video

OPTIONS: LoadOptions = {"weights": "random", "size": (64, 128)}
COMMAND = ["segment", "--weights", "random", "--size", "64x128"]
pytestmark = pytest.mark.filterwarnings("ignore::dongfeng.errors.DongfengWarning")


class Heard(RunProgress[Step]):
    """Keeps what it hears, and stops the run after some steps."""

    def __init__(self, most: int = 1000) -> None:
        self.started: list[tuple[str, int | None, str]] = []
        self.steps: list[Step] = []
        self._most = most

    def start(self, name: str, total: int | None, unit: str) -> None:
        self.started.append((name, total, unit))

    def step(self, item: Step) -> None:
        self.steps.append(item)

    def should_stop(self) -> bool:
        return len(self.steps) >= self._most


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    Path("photos").mkdir()
    for name in "abc":
        assert cv2.imwrite(f"photos/{name}.png", rng.integers(0, 256, (48, 64, 3), np.uint8))
    Path("photos/broken.png").write_text("no image", encoding="utf-8")
    return tmp_path


def without_times(value: object) -> object:
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in ("timing_ms", "achieved_fps")}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def test_segmenting_gives_the_files_and_the_json_of_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heard = Heard()
    result = batch(Path("photos"), Path("out"), kind="labels", shard=(1, 2), progress=heard, **OPTIONS)
    assert main([*COMMAND, "photos", "-o", "expected", "--kind", "labels", "--shard", "1/2", "--json"]) == 1
    assert files(Path("out")) == files(Path("expected"))
    expected = json.loads(capsys.readouterr().out.replace("expected/", "out/"))
    assert without_times(json.loads(json.dumps(result.to_json()))) == without_times(expected)
    assert heard.started == [("segmentation", 2, "image")]
    assert heard.steps == [*result.rows, *result.failures]


def test_what_fails_is_heard_and_returned(folder: Path) -> None:
    heard = Heard()
    result = batch(["photos/broken.png", "missing.png", "photos/a.png"], "out", progress=heard, **OPTIONS)
    assert [row.input for row in result.rows] == [Path("photos/a.png")]
    assert [failure.input for failure in result.failures] == ["missing.png", "photos/broken.png"]
    assert heard.steps == [result.failures[1], result.rows[0]]


def test_classes_are_typed(folder: Path) -> None:
    result = batch("photos/a.png", weights="random", top=3)
    (row,) = result.rows
    assert [0 < found.probability <= 1 and found.name != "" for found in row.classes] == [True] * 3


def test_the_caller_ends_a_run_after_the_image_in_hand(folder: Path) -> None:
    result = batch("photos", "out", progress=Heard(most=2), **OPTIONS)
    assert (len(result.rows), result.interrupted) == (2, True)
    assert sorted(files(Path("out"))) == ["a.png", "b.png"]
    draw_video(Path("drive.mp4"))
    heard = Heard(most=3)
    video = batch("drive.mp4", "out.mp4", progress=heard, **OPTIONS)
    (row,) = video.rows
    assert isinstance(row, SegmentedVideo)
    assert (row.frames, row.interrupted) == (3, True)
    assert heard.steps == [SegmentedFrame(index) for index in range(3)]
    nothing = batch("drive.mp4", "none.mp4", progress=Heard(most=0), **OPTIONS)
    assert (nothing.rows, nothing.interrupted) == ((), True)
    assert not Path("none.mp4").exists()


def test_a_file_of_anothers_making_is_run_as_the_caller_says(folder: Path) -> None:
    layers = """
        layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 48 dim: 64 } } }
        layer { name: "score" type: "Convolution" bottom: "data" top: "score"
            convolution_param { num_output: 5 kernel_size: 1 weight_filler { type: "msra" } } }
    """
    Path("net.prototxt").write_text(layers, encoding="utf-8")
    dongfeng.to_onnx(random_weights(dongfeng.read_caffe("net.prototxt")), "net.onnx")
    with pytest.raises(ConversionError, match="give mean="):
        batch("photos/a.png", "out", model="net.onnx")
    resumed = []
    for scale in (0.01, 0.01, 0.02):
        result = batch("photos/a.png", "out", model="net.onnx", mean=(1, 2, 3), scale=scale, resume=True)
        resumed += [row.resumed for row in result.rows if isinstance(row, SegmentedImage)]
    assert resumed == [False, True, False]


def test_wrong_arguments_are_refused(folder: Path) -> None:
    with pytest.raises(DongfengError, match='kind is "pictures"; expected one of overlay'):
        batch("photos", "out", kind="pictures", **OPTIONS)  # type: ignore[call-overload]
    with pytest.raises(DongfengError, match="shard is 3/2; expected I/N"):
        batch("photos", "out", shard=(3, 2), **OPTIONS)
    with pytest.raises(DongfengError, match="every is 0; expected at least 1"):
        batch("photos", "out", every=0, **OPTIONS)
    with pytest.raises(DongfengError, match='dataset is "coco"; expected "imagenet" or "cityscapes"'):
        evaluate("df1", "photos", dataset="coco")  # type: ignore[call-overload]
    with pytest.raises(DongfengError, match="out: Cityscapes is evaluated from label files"):
        evaluate("df1seg", "photos", dataset="cityscapes")  # type: ignore[call-overload]


def test_cityscapes_scores_are_those_in_the_file(folder: Path) -> None:
    draw_cityscapes(Path("cs"), 3)
    found = evaluate("pl1a_seg", "cs", dataset="cityscapes", out="out", **OPTIONS)
    stored = json.loads(Path("out/results.json").read_text(encoding="utf-8"))
    assert found.miou == stored["miou"]
    assert json.loads(json.dumps(found.to_json()))["rows"] == stored["rows"]
    assert (found.images, found.images_evaluated, len(found.files)) == (3, 3, 3)
    stopped = evaluate("pl1a_seg", "cs", dataset="cityscapes", out="new", progress=Heard(most=1), **OPTIONS)
    assert (stopped.miou, len(stopped.files), stopped.interrupted) == (None, 1, True)
    assert not Path("new/results.json").exists()


@pytest.mark.slow
def test_a_type_checker_knows_what_comes_back(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    source = """
        from dongfeng.runtime.batch import batch
        from dongfeng.runtime.evaluate import evaluate
        reveal_type(batch("photos", "out", resume=True, precision="fp32").rows[0])
        reveal_type(batch("photos", top=3).rows[0].classes[0].probability)
        reveal_type(evaluate("df1", "val").rows[0].value_fraction)
        reveal_type(evaluate("df1seg", "cs", dataset="cityscapes", out="out").miou)
    """
    path = tmp_path / "consumer.py"
    path.write_text("\n".join(line.strip() for line in source.splitlines()), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    revealed = [line.partition("Revealed type is ")[2].strip('"') for line in done.stdout.splitlines()[:-1]]
    rows = "dongfeng.runtime.batch_results."
    assert revealed == [f"{rows}SegmentedImage | {rows}SegmentedVideo", "float", "float", "float | None"], done.stdout
