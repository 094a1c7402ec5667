"""Segments any number of images, or a video, into files, or classifies images: `dongfeng.batch`."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, overload

from dongfeng.errors import DongfengError
from dongfeng.runtime.batch_images import classify_images, segment_images
from dongfeng.runtime.batch_results import (
    BatchResult,
    ClassifiedImage,
    SegmentedFrame,
    SegmentedImage,
    SegmentedVideo,
)
from dongfeng.runtime.batch_video import VideoRun
from dongfeng.runtime.images.video import is_video
from dongfeng.runtime.inputs import Failure, Inputs, as_texts, find_video
from dongfeng.runtime.model_choice import ModelChoice
from dongfeng.runtime.results import Kind, check_kind
from dongfeng.runtime.run_progress import RunProgress

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from dongfeng.runtime.load import LoadOptions

Step = SegmentedImage | SegmentedFrame | ClassifiedImage | Failure


@overload
def batch(
    inputs: Inputs,
    out: str | PathLike[str],
    *,
    model: str | PathLike[str] = "pl1a_seg",
    kind: Kind = "overlay",
    resume: bool = False,
    shard: tuple[int, int] | None = None,
    every: int | None = None,
    progress: RunProgress[Step] | None = None,
    **options: Unpack[LoadOptions],
) -> BatchResult[SegmentedImage | SegmentedVideo]: ...


@overload
def batch(
    inputs: Inputs,
    out: None = None,
    *,
    model: str | PathLike[str] = "df1",
    top: int = 5,
    progress: RunProgress[Step] | None = None,
    **options: Unpack[LoadOptions],
) -> BatchResult[ClassifiedImage]: ...


def batch(  # noqa: PLR0913 - one keyword for each option of the commands
    inputs: Inputs,
    out: str | PathLike[str] | None = None,
    *,
    model: str | PathLike[str] | None = None,
    kind: Kind = "overlay",
    resume: bool = False,
    shard: tuple[int, int] | None = None,
    every: int | None = None,
    top: int = 5,
    progress: RunProgress[Step] | None = None,
    **options: Unpack[LoadOptions],
) -> BatchResult[SegmentedImage | SegmentedVideo] | BatchResult[ClassifiedImage]:
    """Segment images or a video into files, or, without `out`, classify images.

    Several images are in progress at once, and one that cannot be read stops no other. Files appear whole or not at
    all. It is what `dongfeng segment` and `dongfeng classify` do.

    Args:
        inputs: Images, folders (searched with all folders below), glob patterns; or one video, or the number of a
            camera as a string.
        out: For segmentation, the folder of the outputs; of a video, a video file or the folder of its frames.
        model: Zoo name or model file; by default "pl1a_seg" segments and "df1" classifies.
        kind: What the outputs show; see `Segmentation.save`.
        resume: Skip images whose outputs are there, whole and made with the same model, settings and kind.
        shard: Part and number of parts: only every N-th image, from the I-th on, counted from 1.
        every: Only every N-th frame of a video.
        top: Number of classes of a classification.
        progress: Follows the run, and may end it early.
        options: How the model is loaded; see `dongfeng.load`. Calibration images are files, folders or patterns.

    Returns:
        A row for each image or video that is done, and what failed.

    Raises:
        DongfengError: the model cannot be loaded or is for another task, or the options contradict each other.
        OSError: an output cannot be written, or would overwrite an input.

    Example:
        >>> found = batch("photos", "out", model="df1seg", resume=True)  # doctest: +SKIP
        >>> [failure.reason for failure in found.failures]  # doctest: +SKIP
        ['photos/broken.png: is no image, is damaged, or has a format that OpenCV does not read']
    """
    progress = progress or RunProgress[Step]()
    choice = ModelChoice(model or ("df1" if out is None else "pl1a_seg"), options)
    if out is None:
        return classify_images(choice, inputs, top, progress)
    folder = Path(out)
    check_kind(kind, folder)
    if every is not None and every < 1:
        raise DongfengError(f"every is {every}; expected at least 1")
    video = find_video(inputs)
    if video is None:
        _refuse_video_options(folder, every)
        return segment_images(choice, inputs, folder, kind=kind, resume=resume, shard=shard, progress=progress)
    for option, value in (("resume", resume), ("shard", shard)):
        if value:
            raise DongfengError(f"--{option}: is for images, and {as_texts(inputs)[0]} is a video")
    return VideoRun(choice=choice, source=video, out=folder, kind=kind, every=every or 1, progress=progress).run()


def _refuse_video_options(out: Path, every: int | None) -> None:
    """Refuse options for videos, where the inputs are images."""
    if is_video(out):
        raise DongfengError(f"{out}: a video is made from one video or camera; give a folder for -o")
    if every is not None:
        raise DongfengError("--every: is for the frames of a video, and these inputs are images")
