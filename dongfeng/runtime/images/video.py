"""Read frames from a video file or a camera, and writes frames into a video file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from dongfeng.errors import ImageError
from dongfeng.runtime.images.read import Image
from dongfeng.runtime.results import Bytes
from dongfeng.support.files import remove_leftovers, replacing

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})  # that are read
# MPEG-4 Part 2, which OpenCV's own packages can write everywhere; the four letters that players expect in each.
CODECS = {".avi": "XVID", ".mkv": "mp4v", ".mov": "mp4v", ".mp4": "mp4v"}
USUAL_FPS = 30.0
_MOST_FPS = 240.0  # a higher number is the tick of a clock, which browsers write for want of a frame rate
_ROUNDING_FRAMES = 2  # error of the number of frames, where a container knows only its duration
_PATIENCE_FRAMES = 1000  # after so many damaged ones in a row the video is taken to be over


class Video:
    """A video file or a camera, read frame by frame; a context manager, not for several threads at once.

    Attributes:
        name: The file, or "camera N".
        fps: Frames per second; `USUAL_FPS` where they are unknown.
        frame_count: Number of frames by the file's header; None where it is unknown, and for a camera.
    """

    def __init__(self, source: Path | int) -> None:
        """Open a file, or the camera of that number.

        Raises:
            ImageError: there is no such file or camera, or it is no video.
        """
        import cv2

        self.name = f"camera {source}" if isinstance(source, int) else str(source)
        self._is_camera = isinstance(source, int)
        if isinstance(source, Path):
            _check_is_file(source)
        with _quiet():
            self._capture = cv2.VideoCapture(source if isinstance(source, int) else str(source))
        if not self._capture.isOpened():
            self._capture.release()
            reason = "there is none, or another program uses it" if self._is_camera else "is no video, or is damaged"
            raise ImageError(f"{self.name}: {'cannot be opened; ' if self._is_camera else ''}{reason}")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        is_known = 0 < fps <= _MOST_FPS
        self.fps = fps if is_known else USUAL_FPS
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.frame_count = int(count) if not self._is_camera and is_known and count > 0 else None
        self._grabbed, self._last, self._last_ms = 0, -1, 0.0
        self._missing: int | None = None  # index of the first frame that is missing

    def frames(self, every: int = 1) -> Iterator[tuple[int, Image]]:
        """Read the frames in order, lazily; damaged ones are left out, and `problem` reports them.

        Args:
            every: Only every N-th frame, from the first on.

        Yields:
            Index of the frame, from 0, and the frame: (H, W, 3) uint8, BGR, upright.
        """
        import cv2

        index = 0
        while True:
            if self._capture.grab():
                self._grabbed, self._last = self._grabbed + 1, index
                self._last_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
                decoded, frame = self._capture.retrieve() if index % every == 0 else (False, None)
                if decoded:
                    yield index, np.asarray(frame, np.uint8)
            elif index >= (self.frame_count or 0) or index - self._last > _PATIENCE_FRAMES:
                return
            elif self._missing is None:
                self._missing = index  # and go on: the frame after a damaged one may be whole
            index += 1

    def count(self, every: int) -> int | None:
        """Return how many frames `frames` yields, by the file's header; None where it is unknown."""
        return None if self.frame_count is None else -(-self.frame_count // every)

    def problem(self) -> str | None:
        """Describe what was wrong with the frames, once all were read; None if nothing was."""
        if self._is_camera:
            return f"{self.name}: gives no more frames"
        if self.frame_count is None or self._missing is None:
            return None
        missing, at_end = self.frame_count - self._grabbed, self.frame_count - 1 - self._last
        if self.frame_count - 1 - self._last_ms * self.fps / 1000 < _ROUNDING_FRAMES:
            missing -= at_end  # the last frame read ends the file's duration, so these never existed
        if missing <= 0:
            return None
        return (
            f"{self.name}: {missing} of {self.frame_count} frames are damaged or missing, "
            f"the first of them number {self._missing}"
        )

    def close(self) -> None:
        """Close the file or camera."""
        self._capture.release()

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def is_video(path: Path) -> bool:
    """Tell by its suffix whether a file is a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()


@contextmanager
def writing_video(path: Path, fps: float) -> Iterator[Callable[[Bytes], None]]:
    """Write a video, which appears complete, at the end of the block, or not at all; missing folders are made.

    Args:
        path: The file; its suffix decides the container, one of `CODECS`.
        fps: Frames per second.

    Yields:
        A function that appends a frame, (H, W, 3) uint8, BGR; all have the size of the first. An odd side loses its
        last row or column, because the codec halves the resolution of colours.

    Raises:
        ImageError: the suffix is another, a frame has another size, OpenCV cannot write it, or there is no frame.
        OSError: the file cannot be written, for want of space for instance.
    """
    if path.suffix.lower() not in CODECS:
        known = ", ".join(CODECS)
        raise ImageError(f'{path}: cannot write "{path.suffix}" videos; the suffix has to be one of {known}')
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers([path])
    with replacing(path) as temporary:
        writer = _Writer(path, temporary, fps)
        try:
            yield writer.write
        finally:
            writer.close()
        writer.check()


class _Writer:
    """Write a video's temporary file."""

    def __init__(self, path: Path, temporary: Path, fps: float) -> None:
        import cv2

        self._path, self._temporary, self._fps = path, temporary, fps
        self._size_hw = (0, 0)
        self._frames = 0
        self._writer = cv2.VideoWriter()

    def write(self, frame: Bytes) -> None:
        height, width = frame.shape[:2]
        if not self._frames:
            self._open(height, width)
        if (height, width) != self._size_hw:
            raise ImageError(
                f"{self._path}: frame {self._frames + 1} has {height}x{width} pixels, those before it "
                f"{self._size_hw[0]}x{self._size_hw[1]}; a video has one size: give a folder instead, for pictures"
            )
        self._writer.write(frame)
        self._frames += 1

    def close(self) -> None:
        self._writer.release()

    def check(self) -> None:
        """Count the frames in the file, without decoding them: OpenCV does not report when it cannot write."""
        import cv2

        if not self._frames:
            raise ImageError(f"{self._path}: there is no frame to write")
        with _quiet():
            written = cv2.VideoCapture(str(self._temporary), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
        count = 0
        while written.grab():
            count += 1
        written.release()
        if count != self._frames:
            raise OSError(
                f"{self._path}: only {count} of {self._frames} frames could be written; is there space on the disk?"
            )

    def _open(self, height: int, width: int) -> None:
        import cv2

        codec = cv2.VideoWriter.fourcc(*CODECS[self._path.suffix.lower()])
        with _quiet():
            opened = self._writer.open(str(self._temporary), cv2.CAP_FFMPEG, codec, self._fps, (width, height))
        if not opened:
            raise ImageError(
                f"{self._path}: OpenCV cannot write {height}x{width} pixels at {self._fps:g} frames/s as "
                f'"{self._path.suffix}"'
            )
        self._size_hw = height, width


def _check_is_file(path: Path) -> None:
    if path.is_dir():
        raise ImageError(f"{path}: is a folder; expected a video file")
    try:
        size = path.stat().st_size
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise ImageError(f"{path}: {reason}") from None
    if size == 0:
        raise ImageError(f"{path}: is empty; expected a video file")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence OpenCV while it opens a file or camera; our own error says what is wrong."""
    import cv2

    logging = cv2.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(level)
