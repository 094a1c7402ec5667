"""Segments a video or a camera, into a video or a folder of frames."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from dongfeng.errors import DongfengError, ImageError
from dongfeng.runtime.batch_results import BatchResult, SegmentedFrame, SegmentedVideo
from dongfeng.runtime.images.read import Image
from dongfeng.runtime.images.video import Video, is_video, writing_video
from dongfeng.runtime.inputs import Failure
from dongfeng.runtime.model_choice import ModelChoice
from dongfeng.runtime.results import Kind, Segmentation, Timing
from dongfeng.runtime.run_progress import RunProgress
from dongfeng.support.files import remove_leftovers

if TYPE_CHECKING:
    from dongfeng.runtime.model import Model

Write = Callable[[int, Segmentation], None]
KEPT_BY_COMPRESSION = ("overlay", "color")


@dataclass(frozen=True, kw_only=True)
class VideoRun:
    """A video that is to be segmented; the arguments are those of `dongfeng.batch`.

    Attributes:
        source: The video file, or the number of a camera.
        out: A video file, or the folder of the frames.
        every: Only every N-th frame.
    """

    choice: ModelChoice
    source: Path | int
    out: Path
    kind: Kind
    every: int
    progress: RunProgress[SegmentedFrame]

    def run(self) -> BatchResult[SegmentedVideo]:
        """Segment all frames.

        Raises:
            DongfengError: the output cannot hold labels, or the model cannot be loaded.
            ImageError: the input cannot be read, or the output not be written so.
            OSError: the output cannot be written, or would overwrite the input.
        """
        if is_video(self.out) and self.kind not in KEPT_BY_COMPRESSION:
            advice = "use --kind overlay or color, or give a folder for -o"
            raise DongfengError(f"{self.out}: compression would change {self.kind}; {advice}")
        if is_video(self.out) and isinstance(self.source, Path) and self.out.resolve() == self.source.resolve():
            raise FileExistsError(f"{self.out}: this output would overwrite the input; choose another name for -o")
        # FFmpeg reads this when OpenCV opens its first video; what it would print of a damaged file is in our error.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        rows, failures = list[SegmentedVideo](), list[Failure]()
        with Video(self.source) as video:
            count = video.count(self.every)
            try:
                with (
                    self.choice.open("segmentation", count=count, otherwise="dongfeng classify") as model,
                    self._output(video) as write,
                ):
                    rows.append(self._segment(video, model, write))
            except _StoppedAtOnce:
                pass
            problem = video.problem()
        interrupted = not rows or rows[0].interrupted
        if problem is not None and not interrupted:
            failures.append(Failure(video.name, f"{problem}; {rows[0].out_holds} that could be read"))
        return BatchResult(model=self.choice.name, rows=tuple(rows), failures=tuple(failures), interrupted=interrupted)

    @contextmanager
    def _output(self, video: Video) -> Iterator[Write]:
        """Open the output; a video appears at the end of the block."""
        if is_video(self.out):
            with writing_video(self.out, video.fps / self.every) as append:
                yield lambda _, result: append(result.picture_bgr(self.kind))
        else:
            self.out.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self._frame(index * self.every) for index in range(video.count(self.every) or 0))
            yield lambda index, result: result.save(self._frame(index), kind=self.kind)

    def _frame(self, index: int) -> Path:
        """Return the file of a frame in the folder."""
        return self.out / f"{index:06d}.png"

    def _segment(self, video: Video, model: Model, write: Write) -> SegmentedVideo:
        """Segment and write the frames, until there is none left or the caller ends the run."""
        ahead, size_hw, interrupted = deque[int](), (0, 0), False
        frames, sums_ms, start = 0, dict[str, float](), perf_counter()
        with closing(model.stream(_images(video, self.every, ahead))) as results:
            self.progress.start(video.name, video.count(self.every), "frame")
            while not (interrupted := self.progress.should_stop()):
                result = next(results, None)
                if not isinstance(result, Segmentation):  # there is none left
                    break
                index = ahead.popleft()
                write(index, result)
                frames, size_hw = frames + 1, result.size_hw
                sums_ms = {stage: sums_ms.get(stage, 0.0) + time_ms for stage, time_ms in result.timing.items()}
                self.progress.step(SegmentedFrame(index))
        if not frames:
            raise _StoppedAtOnce if interrupted else ImageError(f"{video.name}: holds no frame that can be read")
        return SegmentedVideo(
            input=video.name,
            output=self.out,
            frames=frames,
            height=size_hw[0],
            width=size_hw[1],
            input_fps=video.fps,
            output_fps=video.fps / self.every,
            achieved_fps=frames / (perf_counter() - start),
            interrupted=interrupted,
            timing_ms=Timing(**{stage: total_ms / frames for stage, total_ms in sums_ms.items()}),
        )


class _StoppedAtOnce(Exception):
    """The caller ended the run before its first frame, so no video is to be written."""


def _images(video: Video, every: int, ahead: deque[int]) -> Iterator[Image]:
    """Yield the frames, and put their numbers into `ahead`; the results come in the same order."""
    for index, image in video.frames(every):
        ahead.append(index)
        yield image
