"""Results of `dongfeng.batch`; the fields of a row are the keys of the commands' JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from dongfeng.runtime.inputs import Failure
from dongfeng.runtime.results import Timing
from dongfeng.support.json_dataclass import as_json


@dataclass(frozen=True, kw_only=True)
class SegmentedImage:
    """An image whose labels are in a file.

    Attributes:
        input: The image.
        output: The PNG.
        height: Of both, in pixels.
        width: Of both, in pixels.
        resumed: Whether an earlier run had written the output.
        timing_ms: Time taken by each stage; None where nothing was left to do.
    """

    input: Path
    output: Path
    height: int
    width: int
    resumed: bool
    timing_ms: Timing | None

    def __str__(self) -> str:
        return f"{self.input} -> {self.output}{' (already there)' if self.resumed else ''}"


@dataclass(frozen=True)
class SegmentedFrame:
    """A frame of a video whose labels were written.

    Attributes:
        index: Number of the frame in its video, from 0.
    """

    index: int


@dataclass(frozen=True, kw_only=True)
class SegmentedVideo:
    """A video, or the frames of a camera, whose labels were written.

    Attributes:
        input: The video file, or the camera, such as "camera 0".
        output: The video, or the folder of the frames.
        frames: Number of frames written.
        height: Of the last frame, in pixels.
        width: Of the last frame, in pixels.
        input_fps: Frames per second of the input.
        output_fps: Frames per second of the output.
        achieved_fps: Frames segmented per second.
        interrupted: Whether the caller ended the run before the last frame.
        timing_ms: Time taken by each stage, the mean of all frames.
    """

    input: str
    output: Path
    frames: int
    height: int
    width: int
    input_fps: float
    output_fps: float
    achieved_fps: float
    interrupted: bool
    timing_ms: Timing

    @property
    def out_holds(self) -> str:
        """Number of frames written, such as "out.mp4 holds the 12 frames"."""
        return f"{self.output} holds the {self._counted()}"

    def __str__(self) -> str:
        return f"{self.input} -> {self.output}: {self._counted()}, {self.achieved_fps:.1f} frames/s"

    def _counted(self) -> str:
        return f"{self.frames} frame{'s' if self.frames > 1 else ''}"


@dataclass(frozen=True)
class ProbableClass:
    """A class of an image, with its probability of 0..1."""

    index: int
    name: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class ClassifiedImage:
    """An image and its most probable classes, the most probable first."""

    input: Path
    classes: tuple[ProbableClass, ...]
    timing_ms: Timing

    def __str__(self) -> str:
        return f"{self.input}: " + ", ".join(f"{one.name} {100 * one.probability:.1f} %" for one in self.classes)


Row_co = TypeVar("Row_co", covariant=True)


@dataclass(frozen=True, kw_only=True)
class BatchResult(Generic[Row_co]):
    """The result of a batch.

    Attributes:
        model: The model, as it was given.
        rows: The images that are done, in order, or the video.
        failures: The images and inputs that gave no result, and why.
        interrupted: Whether the caller ended the run early.
    """

    model: str
    rows: tuple[Row_co, ...]
    failures: tuple[Failure, ...]
    interrupted: bool

    def to_json(self) -> dict[str, object]:
        """Return the JSON that `dongfeng segment --json` and `dongfeng classify --json` print."""
        errors = [failure.reason for failure in self.failures] + ["interrupted"] * self.interrupted
        return {"model": self.model, "rows": as_json(self.rows), "errors": errors}
