"""`df-cityscapes` that is killed, resumed and shared: it ends with the files of an undisturbed run, to the byte."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from dongfeng.cli.cityscapes import main
from tests.cli.synthetic_cityscapes import draw, files

FRAMES = 6
GIVEN = ["--root", "cs", "--model", "pl1a_seg", "--weights", "random", "--size", "64x128"]
OPTIONS = ["--kind", "color", "--evaluate"]
RUN = "import sys; from dongfeng.cli.cityscapes import main; sys.exit(main())"
# Files get their names by being renamed; N of them is done, and the next one is written but has no name yet.
DIE_AFTER = """
import os, pathlib, signal
rename, left = pathlib.Path.replace, [{count}]
def replace(path, target):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return rename(path, target)
pathlib.Path.replace = replace
"""
LAST = 1 + 2 * FRAMES  # run.json and two files a frame; results.json is still to come


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    draw(Path("cs"), FRAMES)
    assert main([*GIVEN, *OPTIONS, "--out", "undisturbed"]) == 0
    assert len(files(Path("undisturbed"))) == LAST + 1
    return tmp_path


def labels(folder: str) -> list[Path]:
    return sorted(Path(folder, "label_ids").rglob("[!.]*.png"))


def no_model(*_: object, **__: object) -> None:
    pytest.fail("the model was loaded")


@pytest.mark.parametrize("count", [0, 5, LAST], ids=["at once", "middle", "results"])
def test_a_run_killed_while_it_writes_a_file_is_resumed(
    count: int, folder: Path, subprocess_env: dict[str, str]
) -> None:
    command = [sys.executable, "-c", DIE_AFTER.format(count=count) + RUN, *GIVEN, *OPTIONS, "--out", "out"]
    killed = subprocess.run(command, env=subprocess_env, capture_output=True, check=False)
    assert killed.returncode == -9
    left = files(Path("out"))
    assert len(left) == count + 1
    hidden = [name for name in left if Path(name).name.startswith(".")]
    assert len(hidden) == 1  # what it was writing
    assert main([*GIVEN, *OPTIONS, "--out", "out", "--resume"]) == 0
    assert files(Path("out")) == files(Path("undisturbed"))


def test_a_run_killed_at_any_moment_is_resumed(folder: Path, subprocess_env: dict[str, str]) -> None:
    """Again and again, a little later each time, until one gets to its end."""
    command = [sys.executable, "-u", "-c", RUN, *GIVEN, *OPTIONS, "--out", "out", "--resume"]
    stages = []
    for lines in (1, 2, 4):
        with subprocess.Popen(
            command, env=subprocess_env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            for _ in range(lines):
                assert process.stdout.readline()
            process.kill()
        stages.append(len(labels("out")))
    assert 1 <= stages[0] <= stages[1] <= stages[2] <= FRAMES
    assert main([*GIVEN, *OPTIONS, "--out", "out", "--resume"]) == 0
    assert files(Path("out")) == files(Path("undisturbed"))


def test_what_is_there_is_left_alone_and_what_is_not_whole_is_done_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = labels("undisturbed")[:5]
    (kept,) = labels("undisturbed")[5:]
    written_ns = kept.stat().st_mtime_ns
    expected = files(Path("undisturbed"))
    damaged[0].write_bytes(damaged[0].read_bytes()[:-1])
    damaged[1].write_bytes(b"")
    damaged[2].unlink()
    cv2.imwrite(str(damaged[3]), np.zeros((32, 64), np.uint8))
    cv2.imwrite(str(damaged[4]), np.zeros((64, 128, 3), np.uint8))
    capsys.readouterr()
    assert main([*GIVEN, *OPTIONS, "--out", "undisturbed", "--resume"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if " -> " in line]
    assert [line.endswith(" (already there)") for line in lines] == [False] * 5 + [True] * (FRAMES - 5)
    assert kept.stat().st_mtime_ns == written_ns
    assert files(Path("undisturbed")) == expected


def test_a_finished_run_needs_no_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = files(Path("undisturbed"))
    monkeypatch.setattr("dongfeng.runtime.load.load_stream", no_model)
    assert main([*GIVEN, *OPTIONS, "--out", "undisturbed", "--resume"]) == 0
    assert files(Path("undisturbed")) == expected


def test_another_kind_is_not_there_yet(folder: Path) -> None:
    assert main([*GIVEN, "--kind", "overlay", "--out", "undisturbed", "--resume"]) == 0
    assert len(list(Path("undisturbed/overlay").rglob("*.png"))) == FRAMES


def test_shards_share_the_frames_and_one_run_evaluates_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []
    for part in (1, 2, 3):
        assert main([*GIVEN, *OPTIONS, "--out", "out", "--shard", f"{part}/3"]) == 0
        new = [path for path in labels("out") if path not in seen]
        assert len(new) == FRAMES // 3
        seen += new
        name = f"results-{part}-of-3.json"
        assert f'"images_evaluated": {FRAMES // 3}' in Path("out", name).read_text(encoding="utf-8")
        Path("out", name).unlink()
    monkeypatch.setattr("dongfeng.runtime.load.load_stream", no_model)
    assert main([*GIVEN, *OPTIONS, "--out", "out", "--resume"]) == 0
    assert files(Path("out")) == files(Path("undisturbed"))


def test_a_shard_of_nothing_is_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main([*GIVEN, *OPTIONS, "--out", "out", "--shard", "100/100"]) == 0
    assert capsys.readouterr().err == "0 done, 0 failed, 0 evaluated\n"


def test_another_model_does_not_go_on_with_these_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(Path("undisturbed"))
    capsys.readouterr()
    assert main([*GIVEN, "--weights", "random:2", "--out", "undisturbed", "--resume"]) == 1
    assert capsys.readouterr().err == (
        'error: undisturbed: was made with weights "random", this run has weights "random:2"; '
        "choose another folder, or leave out --resume to start over\n"
    )
    assert files(Path("undisturbed")) == before


def test_the_same_weight_file_with_other_content_is_another_model(
    folder: Path, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = Path("net.bin")
    weights.write_bytes((shared / "pl1a/pl1a_new.bin").read_bytes())
    given = ["--root", "cs", "--model", "pl1a_seg", "--weights", "net.bin", "--size", "64x128", "--out", "out"]
    assert main([*given, "--shard", "1/6"]) == 0
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    capsys.readouterr()
    assert main([*given, "--resume"]) == 1
    assert 'error: out: was made with sha256 ["27854cb0618' in capsys.readouterr().err


def test_starting_over_with_another_model_leaves_nothing_of_the_old_one(
    folder: Path, subprocess_env: dict[str, str]
) -> None:
    """Killed after its first frame, it must not take the old model's other frames for its own."""
    other = [*GIVEN, "--weights", "random:2", "--out"]
    assert main([*other, "expected", *OPTIONS]) == 0
    command = [sys.executable, "-c", DIE_AFTER.format(count=3) + RUN, *other, "undisturbed", *OPTIONS]
    assert subprocess.run(command, env=subprocess_env, capture_output=True, check=False).returncode == -9
    assert len(labels("undisturbed")) == 1
    assert not Path("undisturbed/results.json").exists()
    assert main([*other, "undisturbed", *OPTIONS, "--resume"]) == 0
    assert files(Path("undisturbed")) == files(Path("expected"))


def test_a_mistake_in_the_models_name_costs_no_files(folder: Path) -> None:
    before = files(Path("undisturbed"))
    assert main([*GIVEN, "--model", "pl1a_sag", "--out", "undisturbed"]) == 1
    assert files(Path("undisturbed")) == before


def test_files_that_are_nobodys_are_trusted_when_resuming(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = files(Path("undisturbed"))
    Path("undisturbed/run.json").unlink()
    monkeypatch.setattr("dongfeng.runtime.load.load_stream", no_model)
    assert main([*GIVEN, *OPTIONS, "--out", "undisturbed", "--resume"]) == 0
    assert files(Path("undisturbed")) == expected


@pytest.mark.parametrize("text", ["{", "[]", '{"model": "a", "model": "b"}'])
def test_a_damaged_record_is_one_line_and_starting_over_replaces_it(
    text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = files(Path("undisturbed"))
    Path("undisturbed/run.json").write_text(text, encoding="utf-8")
    capsys.readouterr()
    assert main([*GIVEN, *OPTIONS, "--out", "undisturbed", "--resume"]) == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("error: undisturbed/run.json:")
    assert error.endswith("; choose another folder, or leave out --resume to start over")
    assert main([*GIVEN, *OPTIONS, "--out", "undisturbed"]) == 0
    assert files(Path("undisturbed")) == expected
