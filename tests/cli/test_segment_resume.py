"""`segment` that is killed, resumed and shared: it ends with the files of an undisturbed run, to the byte."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

import dongfeng
from dongfeng.cli.main import main
from tests.cli.synthetic_cityscapes import files
from tests.cli.test_cityscapes_resume import DIE_AFTER, no_model

IMAGES = 12
MODEL = ["--model", "pl1a_seg", "--weights", "random", "--size", "64x128"]
GIVEN = ["segment", *MODEL, "--kind", "color", "drive"]
RUN = "import sys; from dongfeng.cli.main import main; sys.exit(main())"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images below `drive`, and in `undisturbed` what a run makes of them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for index in range(IMAGES):
        path = Path("drive", "abc"[index % 3], f"{index:02d}.{'png' if index % 2 else 'jpg'}")
        path.parent.mkdir(parents=True, exist_ok=True)
        low = rng.integers(0, 256, (6, 10, 3), np.uint8)
        assert cv2.imwrite(str(path), cv2.resize(low, (160, 90), interpolation=cv2.INTER_CUBIC))
    assert main([*GIVEN, "-o", "undisturbed"]) == 0
    assert len(files(Path("undisturbed"))) == IMAGES
    return tmp_path


def start(env: dict[str, str], *argv: str) -> subprocess.Popen[bytes]:
    """The command on its own, as from a terminal: a test that runs in the background passes on that it ignores Ctrl-C."""
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [sys.executable, "-u", "-c", listen + RUN, *argv]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def resumed_lines(capsys: pytest.CaptureFixture[str]) -> list[bool]:
    return [line.endswith(" (already there)") for line in capsys.readouterr().out.splitlines() if " -> " in line]


@pytest.mark.parametrize("count", [0, 5, IMAGES - 1], ids=["first", "middle", "last"])
def test_a_run_killed_while_it_writes_a_file_is_resumed(
    count: int, folder: Path, subprocess_env: dict[str, str]
) -> None:
    command = [sys.executable, "-c", DIE_AFTER.format(count=count) + RUN, *GIVEN, "-o", "out"]
    killed = subprocess.run(command, env=subprocess_env, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    left = files(Path("out"))
    assert len([name for name in left if Path(name).name.startswith(".")]) == 1  # what it was writing
    assert len(left) == count + 1
    assert main([*GIVEN, "-o", "out", "--resume"]) == 0
    assert files(Path("out")) == files(Path("undisturbed"))


@pytest.mark.slow
def test_runs_killed_at_random_moments_are_resumed(folder: Path, subprocess_env: dict[str, str]) -> None:
    """Again and again in the same folder, most of them while files are being written."""
    moments, done = random.Random(4), []
    for round_ in range(8):
        with start(subprocess_env, *GIVEN, "-o", "out", *(["--resume"] if round_ else [])) as process:
            assert process.stdout is not None
            for _ in range(moments.randrange(1, 5)):
                process.stdout.readline()
            time.sleep(moments.uniform(0, 0.01))
            process.kill()
        done.append(len([name for name in files(Path("out")) if not Path(name).name.startswith(".")]))
    assert done == sorted(done)
    assert main([*GIVEN, "-o", "out", "--resume"]) == 0
    assert files(Path("out")) == files(Path("undisturbed"))


def test_ctrl_c_leaves_whole_files_and_nothing_else(folder: Path, subprocess_env: dict[str, str]) -> None:
    with start(subprocess_env, *GIVEN, *(["drive/a/00.jpg"] * 3), "-o", "out") as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    left = files(Path("out"))
    assert 1 <= len(left) < IMAGES
    assert left.items() <= files(Path("undisturbed")).items()
    assert process.returncode == 130
    assert err.decode().splitlines()[-1] == "error: interrupted"


def test_what_is_there_is_left_alone_and_what_is_not_whole_is_done_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = files(Path("undisturbed"))
    outputs = sorted(Path("undisturbed").rglob("*.png"))
    outputs[0].write_bytes(outputs[0].read_bytes()[:-1])
    outputs[1].write_bytes(b"")
    outputs[2].unlink()
    damaged = bytearray(outputs[3].read_bytes())
    damaged[len(damaged) // 2] ^= 1
    outputs[3].write_bytes(damaged)
    assert cv2.imwrite(str(outputs[4]), cv2.imread(str(outputs[4])))  # whole, and nobody's
    kept_ns = [path.stat().st_mtime_ns for path in outputs[5:]]
    capsys.readouterr()
    assert main([*GIVEN, "-o", "undisturbed", "--resume"]) == 0
    assert resumed_lines(capsys) == [False] * 5 + [True] * (IMAGES - 5)
    assert [path.stat().st_mtime_ns for path in outputs[5:]] == kept_ns
    assert files(Path("undisturbed")) == expected


def test_a_finished_run_needs_no_model_and_says_so_in_json(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dongfeng.runtime.load.load_stream", no_model)
    capsys.readouterr()
    assert main([*GIVEN, "-o", "undisturbed", "--resume", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert len(rows) == IMAGES
    assert all((row["resumed"], row["height"], row["width"], row["timing_ms"]) == (True, 90, 160, None) for row in rows)


@pytest.mark.parametrize(
    "other",
    [
        ["--weights", "random:2"],
        ["--size", "96x128"],
        ["--kind", "overlay"],
        ["--kind", "labels"],
        ["--backend", "openvino"],
        ["--backend", "ncnn"],
    ],
    ids=" ".join,
)
def test_outputs_of_other_settings_are_never_taken_for_ones_own(other: list[str], folder: Path) -> None:
    if other[0] == "--backend":
        pytest.importorskip(other[1])
    assert main([*GIVEN, *other, "-o", "expected"]) == 0
    assert main([*GIVEN, *other, "-o", "undisturbed", "--resume"]) == 0
    assert files(Path("undisturbed")) == files(Path("expected"))


def test_the_same_weight_file_with_other_content_is_another_model(
    folder: Path, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray((shared / "pl1a/pl1a_new.bin").read_bytes())
    Path("net.bin").write_bytes(data)
    argv = ["segment", "--size", "64x128", "--weights", "net.bin", "drive/a", "-o", "out", "--resume"]
    assert main(argv) == 0
    data[-1] ^= 1
    Path("net.bin").write_bytes(data)
    capsys.readouterr()
    assert main(argv) == 0
    assert resumed_lines(capsys) == [False] * (IMAGES // 3)
    assert main(argv) == 0
    assert resumed_lines(capsys) == [True] * (IMAGES // 3)


def test_shards_share_the_images(folder: Path) -> None:
    before = set[str]()
    for part in (1, 2, 3, 4, 5):
        assert main([*GIVEN, "-o", "out", "--shard", f"{part}/5"]) == 0
        new = set(files(Path("out"))) - before
        assert len(new) in (IMAGES // 5, IMAGES // 5 + 1)
        before |= new
    assert files(Path("out")) == files(Path("undisturbed"))


def test_shards_after_the_last_image_are_empty(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main([*GIVEN, "-o", "out", "--shard", "13/13"]) == 0
    assert capsys.readouterr().err == "0 done, 0 failed\n"


def test_files_of_the_user_are_left_alone(folder: Path) -> None:
    theirs = {"notes.txt": b"x", "other.png": b"y", ".hidden-abcdefgh.png": b"z", "a/.00-copy.png": b"w"}
    for name, content in theirs.items():
        Path("undisturbed", name).write_bytes(content)
    Path("undisturbed/a/.00-abcdefgh.png").write_bytes(b"what a killed run leaves of 00.png")
    assert main([*GIVEN, "-o", "undisturbed", "--weights", "random:2"]) == 0
    left = files(Path("undisturbed"))
    assert len(left) == IMAGES + len(theirs)
    assert theirs.items() <= left.items()


def test_pictures_that_lie_beside_their_outputs_keep_their_names_when_resumed(
    folder: Path, subprocess_env: dict[str, str]
) -> None:
    """An output is no input of the next run, and neither is what a killed run has left of one."""
    given = ["segment", *MODEL, "drive/a", "-o", "drive/a"]
    for path in Path("drive/a").glob("*.png"):
        path.rename(path.with_suffix(".jpeg"))
    before = files(Path("drive/a"))
    assert main([*given]) == 0
    undisturbed = files(Path("drive/a"))
    assert set(undisturbed) == {*before, *(Path(name).with_suffix(".png").name for name in before)}
    for name in set(undisturbed) - set(before):
        Path("drive/a", name).unlink()
    command = [sys.executable, "-c", DIE_AFTER.format(count=2) + RUN, *given]
    assert subprocess.run(command, env=subprocess_env, capture_output=True, check=False).returncode == -9
    assert main([*given, "--resume"]) == 0
    assert files(Path("drive/a")) == undisturbed


def test_a_marked_file_is_the_picture_that_python_saves(folder: Path) -> None:
    with pytest.warns(dongfeng.errors.DongfengWarning, match="random weights"):
        model = dongfeng.load("pl1a_seg", weights="random", size=(64, 128))
    with model:
        model("drive/a/00.jpg").save("expected.png", kind="color")
    got = Path("undisturbed/a/00.png")
    assert np.array_equal(cv2.imread(str(got)), cv2.imread("expected.png"))
    mark = json.loads(got.read_bytes().partition(b"dongfeng\0")[2].partition(b"}")[0] + b"}")
    assert mark == {
        "model": "pl1a_seg",
        "weights": "random",
        "size_hw": [64, 128],
        "backend": "onnxruntime",
        "precision": "fp32",
        "sha256": [],
        "kind": "color",
    }
