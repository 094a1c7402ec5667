"""Videos that OpenCV writes are read frame by frame, and those that are written here are read by OpenCV."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from dongfeng.errors import ImageError
from dongfeng.runtime.images.video import CODECS, USUAL_FPS, Video, writing_video

COUNT = 40
SUFFIXES = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "FFV1", ".mov": "mp4v", ".webm": "VP80"}


def picture(index: int, size_hw: tuple[int, int] = (64, 96)) -> np.ndarray:
    """Four flat quarters, whose colours tell the number of the frame; flat, so that compression changes little."""
    quarters = [[(40 + 5 * index, 60, 200), (10, 240 - 5 * index, 90)], [(128, 128, 20), (250, 30, 5 * index)]]
    return cv2.resize(np.asarray(quarters, np.uint8), size_hw[::-1], interpolation=cv2.INTER_NEAREST)


def make(path: Path, count: int = COUNT, fps: float = 12.5, size_hw: tuple[int, int] = (64, 96)) -> Path:
    code = cv2.VideoWriter.fourcc(*SUFFIXES[path.suffix])
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, fps, size_hw[::-1])
    assert writer.isOpened()
    for index in range(count):
        writer.write(picture(index, size_hw))
    writer.release()
    return path


def read(path: Path) -> tuple[list[np.ndarray], float]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (got := capture.read())[0]:
        frames.append(got[1])
    return frames, capture.get(cv2.CAP_PROP_FPS)


def is_near(got: np.ndarray, expected: np.ndarray) -> bool:
    return got.shape == expected.shape and np.abs(got.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_frames_come_in_order_with_their_numbers(suffix: str, tmp_path: Path) -> None:
    with Video(make(tmp_path / f"x{suffix}")) as video:
        assert (video.fps, video.frame_count) == (12.5, COUNT)
        frames = list(video.frames())
        assert video.problem() is None
    assert [index for index, _ in frames] == list(range(COUNT))
    assert all(is_near(frame, picture(index)) for index, frame in frames)


@pytest.mark.parametrize("every", [3, 7, 1000])
def test_every_nth_frame(every: int, tmp_path: Path) -> None:
    with Video(make(tmp_path / "x.mp4")) as video:
        frames = list(video.frames(every))
        assert len(frames) == video.count(every)
    assert [index for index, _ in frames] == list(range(0, COUNT, every))
    assert all(is_near(frame, picture(index)) for index, frame in frames)


def test_behind_damaged_frames_the_others_keep_their_numbers(tmp_path: Path) -> None:
    path = make(tmp_path / "x.mp4")
    data = bytearray(path.read_bytes())
    start = data.find(b"mdat") + 4
    whole = start + (len(data) - start) // 3
    data[whole : whole + 600] = bytes(600)
    path.write_bytes(data)
    with Video(path) as video:
        frames = list(video.frames())
        problem = video.problem()
    lost = COUNT - len(frames)
    assert 1 <= lost < COUNT // 2
    assert problem is not None
    assert problem.startswith(f"{path}: {lost} of {COUNT} frames are damaged or missing, the first of them number ")
    assert frames[-1][0] == COUNT - 1


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_what_is_missing_at_the_end_is_told(suffix: str, tmp_path: Path) -> None:
    path = make(tmp_path / f"x{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with Video(path) as video:
        count = len(list(video.frames()))
        assert 0 < count < COUNT
        assert f"{COUNT - count} of {COUNT} frames are damaged or missing, the first of them number {count}" in str(
            video.problem()
        )


def test_a_video_that_says_neither_its_rate_nor_its_length(tmp_path: Path) -> None:
    """JPEGs one behind the other, as some cameras write them."""
    path = tmp_path / "x.avi"
    path.write_bytes(b"".join(cv2.imencode(".jpg", picture(index))[1].tobytes() for index in range(5)))
    with Video(path) as video:
        assert video.frame_count is None
        assert video.count(2) is None
        assert 0 < video.fps <= USUAL_FPS
        assert len(list(video.frames())) == 5
        assert video.problem() is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.mp4", None, "x.mp4: no such file"),
        ("x.mp4", b"", "x.mp4: is empty; expected a video file"),
        ("x.mp4", b"no video" * 100, "x.mp4: is no video, or is damaged"),
        ("", None, ": is a folder; expected a video file"),
    ],
    ids=["missing", "empty", "text", "folder"],
)
def test_what_is_no_video(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError) as error:
        Video(tmp_path / name)
    assert str(error.value).endswith(message)


def test_a_camera_that_is_not_there() -> None:
    with pytest.raises(ImageError, match="^camera 97: cannot be opened; there is none, or another program uses it$"):
        Video(97)


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("fps", [12.5, 30000 / 1001 / 7])
def test_what_is_written_is_what_others_read(suffix: str, fps: float, tmp_path: Path) -> None:
    path = tmp_path / f"new/x{suffix}"
    with writing_video(path, fps) as write:
        for index in range(COUNT):
            write(picture(index))
        assert not path.exists()
    frames, got_fps = read(path)
    assert len(frames) == COUNT
    assert got_fps == pytest.approx(fps, abs=0.002)
    assert all(is_near(frame, picture(index)) for index, frame in enumerate(frames))
    assert list(path.parent.iterdir()) == [path]


def test_odd_sides_lose_a_row_and_a_column(tmp_path: Path) -> None:
    with writing_video(tmp_path / "x.mp4", 10) as write:
        write(picture(0, (63, 95)))
    (frame,), _ = read(tmp_path / "x.mp4")
    assert is_near(frame, picture(0, (63, 95))[:62, :94])


def write_sizes(path: Path) -> None:
    with writing_video(path, 10) as write:
        write(picture(0))
        write(picture(1, (32, 48)))


def write_nothing(path: Path) -> None:
    with writing_video(path, 10):
        pass


def write_slowly(path: Path) -> None:
    with writing_video(path, 1e-5) as write:
        write(picture(0))


def write_and_fail(path: Path) -> None:
    with writing_video(path, 10) as write:
        write(picture(0))
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (write_sizes, "x.mp4: frame 2 has 32x48 pixels, those before it 64x96; a video has one size: give a folder"),
        (write_nothing, "x.mp4: there is no frame to write"),
        (write_slowly, 'x.mp4: OpenCV cannot write 64x96 pixels at 1e-05 frames/s as ".mp4"'),
        (write_and_fail, ""),
    ],
)
def test_a_video_that_fails_leaves_the_old_file_and_nothing_else(do: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(b"old")
    with pytest.raises((ImageError, KeyboardInterrupt)) as error:
        do(path)  # type: ignore[operator]
    assert message in str(error.value)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r'cannot write "\.webm" videos; the suffix has to be one of \.avi, '):
        write_nothing(tmp_path / "x.webm")


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".x-abcdefgh.mp4").write_bytes(b"half")
    with writing_video(tmp_path / "x.mp4", 10) as write:
        write(picture(0))
    assert [path.name for path in tmp_path.iterdir()] == ["x.mp4"]


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from dongfeng.runtime.images.video import writing_video
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
rng = np.random.default_rng(0)
try:
    with writing_video(Path(sys.argv[1]), 10) as write:
        for _ in range(40):
            write(rng.integers(0, 256, (64, 96, 3), np.uint8))
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.skipif(os.name != "posix", reason="only POSIX limits the size of files")
def test_a_full_disk_is_noticed(suffix: str, tmp_path: Path, subprocess_env: dict[str, str]) -> None:
    """A limit on the size of files stands for it: OpenCV does not say that it cannot write."""
    command = [sys.executable, "-c", FULL, f"x{suffix}"]
    done = subprocess.run(command, env=subprocess_env, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert f"x{suffix}: only " in done.stdout
    assert "of 40 frames could be written; is there space on the disk?" in done.stdout
    assert list(tmp_path.iterdir()) == []
