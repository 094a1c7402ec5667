"""What has to be known of a network so that it can be run on images, and how model files carry it in their metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

import numpy as np

from dongfeng.errors import ConversionError, ShapeError
from dongfeng.net.preprocessing import METADATA_PREPROCESSING, Preprocessing, for_size
from dongfeng.runtime.class_names import Classes, classes_of
from dongfeng.support.strict_json import JsonFormat, Node

Task = Literal["segmentation", "classification"]
Head = Literal["x8", "d8"]
TASKS: tuple[Task, ...] = get_args(Task)
HEADS: tuple[Head, ...] = get_args(Head)

_PREFIX = "dongfeng."
_KEYS = {"preprocessing": METADATA_PREPROCESSING}  # fields that files have another word for
_JSON = JsonFormat(ConversionError, "convert the network again", max_bytes=1 << 20)
_MOST_LABELS = 256  # a label is one byte


@dataclass(frozen=True)
class FileSpec:
    """What a zoo entry or a model file says of a network; None where it does not.

    Attributes:
        name: Name of the model.
        task: "segmentation" or "classification".
        preprocessing: How an image becomes the input.
        head: For segmentation: "x8" interpolates the scores to the image's size before argmax; "d8" takes the argmax
            first and enlarges the labels by nearest neighbour.
        classes: "cityscapes" or "imagenet".
        score_blob: The output that holds the scores.
    """

    name: str | None = None
    task: str | None = None
    preprocessing: Preprocessing | None = None
    head: str | None = None
    classes: str | None = None
    score_blob: str | None = None

    def updated(self, other: FileSpec) -> FileSpec:
        """This with every field that `other` knows taken from there."""
        return replace(self, **{f.name: v for f in fields(other) if (v := getattr(other, f.name)) is not None})


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """All that is known of a network that runs on images.

    Attributes:
        name: Name of the model.
        task: "segmentation" or "classification".
        preprocessing: How an image becomes the input, for this input size.
        head: "x8" or "d8", see `FileSpec`; a classification has no use for it.
        classes: Names and colours of the classes.
        size_hw: Height and width of the input in pixels.
    """

    name: str
    task: Task
    preprocessing: Preprocessing
    head: Head
    classes: Classes
    size_hw: tuple[int, int]

    def for_file(self, score_blob: str) -> FileSpec:
        """Return what a file of this network, with the scores in `score_blob`, has to say."""
        head = self.head if self.task == "segmentation" else None
        return FileSpec(self.name, self.task, self.preprocessing, head, self.classes.known, score_blob)


@dataclass(frozen=True)
class CallerSpec:
    """What the caller of `load` says of a file that does not say it.

    Attributes:
        task: "segmentation" or "classification".
        mean_bgr: Subtracted from each pixel: one value, or three in BGR order.
        scale: Factor after the mean.
    """

    task: str | None = None
    mean_bgr: tuple[float, ...] | None = None
    scale: float | None = None

    @classmethod
    def of(cls, task: str | None, mean: float | Sequence[float] | None, scale: float | None) -> CallerSpec:
        """Return the arguments of `load` in this form.

        Raises:
            ConversionError: the mean has neither one nor three values.
        """
        mean_bgr = None if mean is None else tuple(float(value) for value in np.ravel(mean))
        if mean_bgr is not None and len(mean_bgr) not in (1, 3):
            raise ConversionError(f"mean has {len(mean_bgr)} values; expected 1 or 3")
        return cls(task, mean_bgr, None if scale is None else float(scale))

    @property
    def has_preprocessing(self) -> bool:
        """Whether the caller says anything of the preprocessing."""
        return self.mean_bgr is not None or self.scale is not None

    def preprocessing(self, known: Preprocessing | None, label: str) -> Preprocessing:
        """Return the preprocessing that a file knows, with what the caller says.

        Args:
            known: What the file says; None where it says nothing.
            label: Name of the file in a message.

        Raises:
            ConversionError: neither says it.
        """
        if known is None and (self.mean_bgr is None or self.scale is None):
            raise ConversionError(
                f"{label}: the file does not say how an image becomes its input; give mean=(blue, green, red) and "
                "scale=, for input = (image - mean) * scale"
            )
        result = known or Preprocessing()
        if self.mean_bgr is not None:
            result = replace(result, mean_bgr=self.mean_bgr)
        return result if self.scale is None else replace(result, scale=self.scale)


def complete(
    known: FileSpec, caller: CallerSpec, label: str, *, scores_shape: tuple[int, ...], size_hw: tuple[int, int]
) -> ModelSpec:
    """Return the whole specification of a network: what its file says, then the caller, then the shape of its scores.

    Args:
        known: What the source and the file say.
        caller: What the caller says.
        label: Name of the file in a message.
        scores_shape: (1, C, h, w) or (1, C), 0 where dynamic.
        size_hw: Input size.

    Raises:
        ConversionError: something is missing that only the caller can know, or the caller contradicts the file.
        ShapeError: the scores are not those of the task.
    """
    task = _task(known.task, caller.task, scores_shape, label)
    return ModelSpec(
        name=known.name or label,
        task=task,
        preprocessing=for_size(caller.preprocessing(known.preprocessing, label), size_hw),
        head="d8" if known.head == "d8" else "x8",
        classes=classes_of(task, known.classes, scores_shape[1]),
        size_hw=size_hw,
    )


def to_metadata(spec: FileSpec) -> dict[str, str]:
    """Return a model file's metadata: `dongfeng.FIELD` with a JSON value, for every field that is known.

    `dongfeng.to_onnx(..., metadata=...)` takes it, and `dongfeng.load` then runs the file as the model it came from.
    """
    known = {key: value for key, value in asdict(spec).items() if value is not None}
    return {_KEYS.get(key, _PREFIX + key): json.dumps(value) for key, value in known.items()}


def from_metadata(metadata: Mapping[str, str], label: str) -> FileSpec:
    """Return what a model file's metadata says; entries of other programs do not matter.

    Args:
        metadata: Keys and values of the file.
        label: Name of the file in a message.

    Raises:
        ConversionError: an entry of ours is damaged.
    """
    values: dict[str, Any] = {}
    for field in (field.name for field in fields(FileSpec)):
        key = _KEYS.get(field, _PREFIX + field)
        if key in metadata:
            values[field] = _entry(field, metadata[key], f'{label}: its metadata "{key}" is damaged')
    return FileSpec(**values)


def _entry(field: str, text: str, place: str) -> str | Preprocessing:
    node = _JSON.parse(text, source=place)
    if field == "preprocessing":
        return _preprocessing(node)
    if field in ("task", "head"):
        return node.choice(TASKS if field == "task" else HEADS)
    return node.text()


def _preprocessing(node: Node) -> Preprocessing:
    found = node.fields(("mean_bgr", "scale"), ("shorter_side", "crop_hw"))
    side, crop = found.get("shorter_side"), found.get("crop_hw")
    return Preprocessing(
        mean_bgr=tuple(value.number() for value in found["mean_bgr"].items()),
        scale=found["scale"].number(),
        shorter_side=None if side is None or side.is_null else side.positive_integer(),
        crop_hw=None if crop is None or crop.is_null else crop.size_hw(),
    )


def _task(known: str | None, said: str | None, shape: tuple[int, ...], label: str) -> Task:
    """Return the task: what the file says, else what the caller says, else what the scores look like."""
    if said is not None and said not in TASKS:
        raise ConversionError(f'{label}: task is "{said}"; expected {" or ".join(TASKS)}')
    if known is not None and said not in (None, known):
        raise ConversionError(f"{label}: this is a model for {known}, not for {said}")
    is_map = len(shape) == 4 and shape[2:] != (1, 1)
    task: Task = "segmentation" if (known or said or ("segmentation" if is_map else "")) == TASKS[0] else TASKS[1]
    if task == "segmentation" and (len(shape) != 4 or shape[1] > _MOST_LABELS):
        raise ShapeError(f"{label}: the scores are {shape}; segmentation has (1, C, h, w), C at most {_MOST_LABELS}")
    if task == "classification" and is_map:
        raise ShapeError(f"{label}: the scores are {shape}; classification has (1, C) or (1, C, 1, 1)")
    return task
