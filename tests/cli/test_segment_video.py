"""`dongfeng segment` of videos: into a video, into frames, interrupted, and what cannot be."""

from __future__ import annotations

import json
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
from dongfeng.runtime.model import Model
from tests.cli.synthetic_cityscapes import files
from tests.cli.test_segment_resume import start
from tests.runtime.test_video import SUFFIXES, read

COUNT, FPS = 20, 12.5
MODEL = ["--model", "pl1a_seg", "--weights", "random", "--size", "64x128"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    draw(Path("drive.mp4"))
    return tmp_path


def draw(path: Path, count: int = COUNT) -> None:
    """A picture that moves on by some pixels in each frame."""
    low = np.random.default_rng(0).integers(0, 256, (6, 20, 3), np.uint8)
    wide = cv2.resize(low, (320, 96), interpolation=cv2.INTER_CUBIC)
    code = cv2.VideoWriter.fourcc(*SUFFIXES[path.suffix])
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, FPS, (160, 96))
    for index in range(count):
        writer.write(np.ascontiguousarray(np.roll(wide, -8 * index, axis=1)[:, :160]))
    writer.release()


def model() -> Model:
    with pytest.warns(dongfeng.errors.DongfengWarning, match="random weights"):
        return dongfeng.load("pl1a_seg", weights="random", size=(64, 128))


def difference(got: np.ndarray, expected: np.ndarray) -> float:
    assert got.shape == expected.shape
    return float(np.abs(got.astype(int) - expected).mean())


def error(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("output", ["out.mp4", "out.avi", "new/out.mkv"])
def test_a_video_becomes_a_video(suffix: str, output: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw(Path(f"in{suffix}"))
    assert main(["segment", *MODEL, f"in{suffix}", "-o", output]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"in{suffix} -> {output}: {COUNT} frames, ")
    assert captured.err.endswith("1 done, 0 failed\n")
    given, _ = read(Path(f"in{suffix}"))
    got, fps = read(Path(output))
    assert (len(got), fps) == (COUNT, pytest.approx(FPS, abs=0.01))
    assert [path for path in Path(output).parent.iterdir() if path.name.startswith(".")] == []
    with model() as ready:
        for index in (0, 7, COUNT - 1):
            expected = ready(given[index]).overlay()[..., ::-1]
            assert difference(got[index], expected) < min(12, difference(got[index], given[index]) / 2)


def test_every_third_frame_in_colours(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["segment", *MODEL, "drive.mp4", "-o", "out.avi", "--every", "3", "--kind", "color", "--json"]
    assert main(argv) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert {key: row[key] for key in ("input", "output", "frames", "height", "width", "interrupted")} == {
        "input": "drive.mp4",
        "output": "out.avi",
        "frames": 7,
        "height": 96,
        "width": 160,
        "interrupted": False,
    }
    assert (row["input_fps"], row["output_fps"]) == pytest.approx((FPS, FPS / 3))
    assert row["achieved_fps"] > 0
    assert set(row["timing_ms"]) == {"decode", "preprocess", "infer", "postprocess"}
    given, _ = read(Path("drive.mp4"))
    got, fps = read(Path("out.avi"))
    assert (len(got), fps) == (7, pytest.approx(FPS / 3, abs=0.01))
    with model() as ready:
        for index, frame in enumerate(got):
            expected = ready(given[3 * index]).color()[..., ::-1]
            others = [
                ready(given[other]).color()[..., ::-1] for other in (3 * index - 2, 3 * index + 2) if 0 <= other < COUNT
            ]
            assert all(difference(frame, expected) < difference(frame, other) for other in others)


def test_frames_into_a_folder_are_named_by_their_number(folder: Path) -> None:
    assert main(["segment", *MODEL, "drive.mp4", "-o", "out", "--every", "6", "--kind", "label_ids"]) == 0
    assert sorted(files(Path("out"))) == ["000000.png", "000006.png", "000012.png", "000018.png"]
    given, _ = read(Path("drive.mp4"))
    with model() as ready:
        for index in (0, 6, 12, 18):
            got = cv2.imread(f"out/{index:06d}.png", cv2.IMREAD_UNCHANGED)
            assert np.array_equal(got, ready(given[index]).label_ids)


def test_damaged_frames_stop_no_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray(Path("drive.mp4").read_bytes())
    start = data.find(b"mdat") + 4
    middle = start + (len(data) - start) // 3
    data[middle : middle + 1000] = bytes(1000)
    Path("drive.mp4").write_bytes(data)
    assert main(["segment", *MODEL, "drive.mp4", "-o", "out.mp4"]) == 1
    frames, _ = read(Path("out.mp4"))
    assert COUNT // 2 < len(frames) < COUNT
    line = error(capsys)
    assert line.startswith(f"error: drive.mp4: {COUNT - len(frames)} of {COUNT} frames are damaged or missing, ")
    assert line.endswith(f"; out.mp4 holds the {len(frames)} frames that could be read")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["97", "-o", "out.mp4"], "camera 97: cannot be opened; "),
        (["missing.mp4", "-o", "out.mp4"], "missing.mp4: no such file"),
        (["text.mp4", "-o", "out.mp4"], "text.mp4: is no video, or is damaged"),
        (["none.avi", "-o", "out.mp4"], "none.avi: holds no frame that can be read"),
        (["drive.mp4", "drive.mp4", "-o", "out.mp4"], "drive.mp4: a video or camera has to be the only INPUT; got 2"),
        (["a.png", "0", "-o", "out.mp4"], "0: a video or camera has to be the only INPUT; got 2"),
        (["a.png", "b.png", "-o", "out.mp4"], "out.mp4: a video is made from one video or camera; give a folder"),
        (["a.png", "-o", "out", "--every", "2"], "--every: is for the frames of a video"),
        (["drive.mp4", "-o", "out.webm"], 'out.webm: cannot write ".webm" videos'),
        (["drive.mp4", "-o", "drive.mp4"], "drive.mp4: this output would overwrite the input"),
        (["drive.mp4", "-o", "a.png"], "a.png: File exists"),
        (["drive.mp4", "-o", "out.mp4", "--kind", "labels"], "out.mp4: compression would change labels; "),
        (["drive.mp4", "-o", "out.mp4", "--resume"], "--resume: is for images, and drive.mp4 is a video"),
        (["drive.mp4", "-o", "out.mp4", "--shard", "1/2"], "--shard: is for images, and drive.mp4 is a video"),
        (["drive.mp4", "-o", "out.mp4", "--model", "df1"], "df1 is a model for classification"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_one_line_and_leaves_no_file(
    argv: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "b.png"):
        assert cv2.imwrite(name, np.zeros((8, 8, 3), np.uint8))
    Path("text.mp4").write_text("no video", encoding="utf-8")
    draw(Path("none.avi"), count=0)
    before = files(folder)
    options = [] if "--model" in argv else MODEL
    assert main(["segment", *argv, *(options or ["--weights", "random"])]) == 1
    assert error(capsys).startswith(f"error: {message}")
    assert files(folder) == before


def test_frames_of_another_size_do_not_fit_into_a_video(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [np.zeros((96, 160, 3), np.uint8)] * 3 + [np.zeros((48, 80, 3), np.uint8)]
    monkeypatch.setattr("dongfeng.runtime.images.video.Video.frames", lambda *_: enumerate(sizes))
    assert main(["segment", *MODEL, "drive.mp4", "-o", "out.mp4"]) == 1
    assert error(capsys).startswith("error: out.mp4: frame 4 has 48x80 pixels, those before it 96x160; ")
    assert sorted(files(folder)) == ["drive.mp4"]
    assert main(["segment", *MODEL, "drive.mp4", "-o", "out"]) == 0
    assert [cv2.imread(f"out/00000{index}.png").shape[0] for index in range(4)] == [96, 96, 96, 48]


def test_ctrl_c_leaves_a_whole_video_of_what_was_done(folder: Path, subprocess_env: dict[str, str]) -> None:
    draw(Path("long.avi"), count=4000)
    with start(subprocess_env, "segment", *MODEL, "long.avi", "-o", "out.mp4", "--json") as process:
        deadline = time.monotonic() + 60
        while not list(folder.glob(".out-*.mp4")) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    frames, fps = read(Path("out.mp4"))
    assert 1 <= len(frames) < 4000
    assert fps == FPS
    assert (
        err.decode().splitlines()[-1] == f"error: interrupted: out.mp4 holds the {len(frames)} frames done until then"
    )
    (row,) = json.loads(out)["rows"]
    assert (row["frames"], row["interrupted"]) == (len(frames), True)
    assert sorted(files(folder)) == ["drive.mp4", "long.avi", "out.mp4"]


def test_a_killed_run_leaves_no_video_and_the_next_clears_up(folder: Path, subprocess_env: dict[str, str]) -> None:
    draw(Path("long.avi"), count=4000)
    command = [sys.executable, "-m", "dongfeng", "segment", *MODEL, "long.avi", "-o", "out.mp4"]
    with subprocess.Popen(command, env=subprocess_env, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not list(folder.glob(".out-*.mp4")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
    assert len(list(folder.glob(".out-*.mp4"))) == 1
    assert main(["segment", *MODEL, "drive.mp4", "-o", "out.mp4"]) == 0
    assert sorted(files(folder)) == ["drive.mp4", "long.avi", "out.mp4"]


def test_a_video_beside_a_terminal_says_now_and_then_how_far_it_is(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dongfeng.support.progress.SECONDS_PER_LINE", 0)
    assert main(["segment", *MODEL, "drive.mp4", "-o", "out.mp4"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[1:-1] == [f"drive.mp4: {index + 1} of {COUNT} frames" for index in range(COUNT)]
