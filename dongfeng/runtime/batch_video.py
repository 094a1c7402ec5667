"""`dongfeng segment` of a video or a camera, into a video or a folder of frames."""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from dongfeng.cli.frame_progress import frame_progress
from dongfeng.cli.inference import Row, open_model, report
from dongfeng.cli.interrupt import INTERRUPTED, deferred_interrupt
from dongfeng.cli.output import complain, print_json
from dongfeng.errors import DongfengError, ImageError

if TYPE_CHECKING:
    from dongfeng.runtime.images.read import Image
    from dongfeng.runtime.images.video import Video
    from dongfeng.runtime.model import Model
    from dongfeng.runtime.results import Segmentation

Write = Callable[[int, "Segmentation"], None]
PICTURES = ("overlay", "color")


def refuse_video(args: argparse.Namespace) -> None:
    """What is said of a video while the inputs are images.

    Raises:
        DongfengError: they would have to become a video, or `--every` is given.
    """
    if _is_video_name(Path(args.output)):
        raise DongfengError(f"{args.output}: a video is made from one video or camera; give a folder for -o")
    if args.every is not None:
        raise DongfengError("--every: is for the frames of a video, and these inputs are images")


def segment_video(args: argparse.Namespace, source: Path | int) -> int:
    """Segment the frames of a video file, or of the camera of that number, and report; the exit status."""
    from dongfeng.runtime.images.video import Video

    output, every = Path(args.output), args.every or 1
    _check(args, source, output)
    _silence_ffmpeg()
    with Video(source) as video:
        with (
            open_model(args, "segmentation", count=video.count(every)) as model,
            deferred_interrupt() as interrupted,
            _sink(args, output, video) as write,
        ):
            row = _over_frames(args, video, model, write, interrupted)
        problem = None if row["interrupted"] else video.problem()
    frames = f"{row['frames']} frame{'s' if row['frames'] > 1 else ''}"
    if row["interrupted"]:
        if args.json:
            print_json({"model": args.model, "rows": [row], "errors": ["interrupted"]})
        complain(f"interrupted: {output} holds the {frames} done until then")
        return INTERRUPTED
    problems = [] if problem is None else [f"{problem}; {output} holds the {frames} that could be read"]
    if not args.json:
        print(f"{video.name} -> {output}: {frames}, {row['achieved_fps']:.1f} frames/s")
    return report(args, [row], problems)


def _check(args: argparse.Namespace, source: Path | int, output: Path) -> None:
    """Refuse what cannot be meant, before anything is opened or loaded."""
    for option in ("resume", "shard"):
        if getattr(args, option):
            raise DongfengError(f"--{option}: is for images, and {args.inputs[0]} is a video")
    if _is_video_name(output):
        if args.kind not in PICTURES:
            raise DongfengError(
                f"{output}: compression would change {args.kind}; use --kind overlay or color, or give a folder for -o"
            )
        if isinstance(source, Path) and output.resolve() == source.resolve():
            raise FileExistsError(f"{output}: this output would overwrite the input; choose another name for -o")


def _is_video_name(output: Path) -> bool:
    """Whether an output is to be a video file, rather than a folder."""
    from dongfeng.runtime.images.video import is_video

    return is_video(output)


@contextmanager
def _sink(args: argparse.Namespace, output: Path, video: Video) -> Iterator[Write]:
    """Where the results go: a function that takes the number of a frame and its result."""
    from dongfeng.runtime.images.video import writing_video
    from dongfeng.support.files import remove_leftovers

    every = args.every or 1
    if _is_video_name(output):
        with writing_video(output, video.fps / every) as write:
            yield lambda _, result: write(result.picture_bgr(args.kind))
    else:
        output.mkdir(parents=True, exist_ok=True)
        remove_leftovers(_frame_path(output, index * every) for index in range(video.count(every) or 0))
        yield lambda index, result: result.save(_frame_path(output, index), kind=args.kind)


def _frame_path(folder: Path, index: int) -> Path:
    return folder / f"{index:06d}.png"


def _over_frames(
    args: argparse.Namespace, video: Video, model: Model, write: Write, interrupted: Callable[[], bool]
) -> Row:
    """Segment and write the frames, until there is none left or Ctrl-C; what is to be said of them."""
    every, ahead = args.every or 1, deque[int]()
    frames, size_hw, sums_ms, start = 0, (0, 0), dict[str, float](), perf_counter()

    def images() -> Iterator[Image]:
        for index, image in video.frames(every):
            ahead.append(index)  # the results come in the same order
            yield image

    with closing(model.stream(images())) as results, frame_progress(video.name, video.count(every)) as step:
        while not interrupted():
            result = next(results, None)
            if result is None:
                break
            write(ahead.popleft(), result)
            frames, size_hw = frames + 1, result.labels.shape
            sums_ms = {stage: sums_ms.get(stage, 0.0) + time_ms for stage, time_ms in result.timing.items()}
            step()
        else:
            if not frames:
                raise KeyboardInterrupt
    if not frames:
        raise ImageError(f"{video.name}: holds no frame that can be read")
    return {
        "input": video.name,
        "output": args.output,
        "frames": frames,
        "height": size_hw[0],
        "width": size_hw[1],
        "input_fps": video.fps,
        "output_fps": video.fps / every,
        "achieved_fps": frames / (perf_counter() - start),
        "interrupted": interrupted(),
        "timing_ms": {stage: total_ms / frames for stage, total_ms in sums_ms.items()},
    }


def _silence_ffmpeg() -> None:
    """What FFmpeg prints of a damaged file is in our own error; it reads this when OpenCV opens its first video."""
    import os

    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
