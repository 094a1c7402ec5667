"""`dongfeng demo`: whether what it says is so; how good the weights are, `tests/test_toytown_seg.py` asks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import dongfeng
from dongfeng.cli.main import main
from dongfeng.datasets.cityscapes import CLASSES
from dongfeng.datasets.synthetic import HELD_OUT_IMAGES, HELD_OUT_SEED
from dongfeng.datasets.toytown import draw_scene
from dongfeng.demo import _FIRST_INDEX
from dongfeng.errors import DongfengError
from dongfeng.training import open_data

COUNT = 4

CUT_OFF = """\
import socket, sys
def refuse(*_args, **_options):
    raise AssertionError("the network was asked for")
socket.socket.connect = socket.getaddrinfo = refuse
from dongfeng.cli.main import main
raise SystemExit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture
def said(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The JSON of a small demo, whose pictures are in `folder`."""
    assert main(["demo", "-o", str(folder), "--count", str(COUNT), "--threads", "1", "--json"]) == 0
    value: dict[str, Any] = json.loads(capsys.readouterr().out)
    return value


def test_scores_are_those_of_the_scenes_it_wrote(said: dict[str, Any], folder: Path) -> None:
    """Counted here in another way, from the written images and scenes drawn again."""
    names = sorted(path.name for path in (folder / "scenes").iterdir())
    assert names == [f"{index:04}.png" for index in range(COUNT)]
    pairs = np.zeros((19, 19), np.int64)
    with dongfeng.load("toytown_seg", threads=1) as model:
        for index, name in enumerate(names):
            scene = draw_scene(HELD_OUT_SEED, _FIRST_INDEX + index, (256, 512))
            np.testing.assert_array_equal(cv2.imread(str(folder / "scenes" / name)), scene.image_bgr)
            result = model(folder / "scenes" / name)
            np.add.at(pairs, (scene.labels.ravel(), result.labels.ravel()), 1)
            overlay = cv2.imread(str(folder / "overlays" / name))
            np.testing.assert_array_equal(overlay[..., ::-1], result.overlay())
    union = pairs.sum(0) + pairs.sum(1) - pairs.diagonal()
    expected = {name: pairs[at, at] / union[at] if union[at] else None for at, name in enumerate(CLASSES)}
    assert said["iou"] == pytest.approx(expected)
    assert said["miou"] == pytest.approx(np.mean([value for value in expected.values() if value is not None]))
    assert said["pixel_accuracy"] == pytest.approx(pairs.trace() / pairs.sum())


def test_json_says_what_ran_and_how_fast(said: dict[str, Any], folder: Path) -> None:
    assert (said["scenes"], said["backend"], said["precision"]) == (COUNT, "onnxruntime", "fp32")
    assert 0 < said["latency_ms"] < 10_000
    assert said["images_per_s"] > 0
    assert said["contact_sheet"] == str(folder / "contact_sheet.png")
    height, width, _ = cv2.imread(said["contact_sheet"]).shape
    assert height > COUNT * 256
    assert width > 4 * 512


def test_words_say_the_same_as_json(said: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "-o", str(tmp_path), "--count", str(COUNT), "--threads", "1"]) == 0
    out, err = capsys.readouterr()
    scores, speed, sheet = out.splitlines()
    assert scores.startswith(f"mIoU {100 * said['miou']:.1f} %, worst class ")
    assert scores.endswith(f", {100 * said['pixel_accuracy']:.1f} % of all pixels right")
    assert speed.endswith("on onnxruntime in fp32")
    assert sheet == str(tmp_path / "contact_sheet.png")
    assert err == f"drawing and segmenting {COUNT} street scenes\n"


def test_no_network_and_no_cache_are_needed(tmp_path: Path, subprocess_env: dict[str, str]) -> None:
    (tmp_path / "home").write_text("a file where the cache should be")
    env = {**subprocess_env, "DONGFENG_HOME": str(tmp_path / "home"), "DONGFENG_OFFLINE": "0"}
    command = [sys.executable, "-c", CUT_OFF, "demo", "-o", "out", "--count", "1"]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, str(Path("out/contact_sheet.png"))), done.stderr
    assert (tmp_path / "out/contact_sheet.png").is_file()


def test_another_seed_gives_other_scenes(folder: Path, said: dict[str, Any], tmp_path: Path) -> None:
    assert main(["demo", "-o", str(tmp_path), "--count", "1", "--seed", "5", "--threads", "1"]) == 0
    assert (tmp_path / "scenes/0000.png").read_bytes() != (folder / "scenes/0000.png").read_bytes()


def test_int8_is_calibrated_with_synthetic_scenes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--count", "2", "--precision", "int8", "--backend", "onnxruntime", "--threads", "1", "--json"]
    assert main(["demo", "-o", str(tmp_path), *argv]) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["scenes"], value["precision"], value["backend"]) == (2, "int8", "onnxruntime")


def test_training_learns_from_no_scene_of_the_demo() -> None:
    with pytest.raises(DongfengError, match="draws the held-out images"):
        open_data("toytown:2", size_hw=(64, 128), seed=HELD_OUT_SEED)
    assert _FIRST_INDEX >= HELD_OUT_IMAGES


@pytest.mark.parametrize(
    ("argv", "status", "says"),
    [
        (["demo"], 2, "-o/--output"),
        (["demo", "-o", "out", "--count", "0"], 2, "expected a whole number of at least 1"),
        (["demo", "-o", "out", "--count", "1", "--backend", "caffe"], 1, "caffe"),
        (["demo", "-o", "file", "--count", "1"], 1, "file/scenes: Not a directory"),
    ],
    ids=["no folder", "no scenes", "backend", "a file"],
)
def test_errors(
    argv: list[str],
    status: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    try:
        code = main(argv)
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    assert code == status
    assert says in capsys.readouterr().err
