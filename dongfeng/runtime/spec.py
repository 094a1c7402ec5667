"""What a model file has to say so that it can be run on images: carried in the metadata of every ONNX file we write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from dongfeng.errors import ConversionError
from dongfeng.net.preprocessing import Preprocessing

TASKS = ("segmentation", "classification")
HEADS = ("x8", "d8")

_PREFIX = "dongfeng."
_KEYS = {"preprocessing": "recipe"}  # where the file has another word than the code


@dataclass(frozen=True)
class ModelSpec:
    """What the runtime knows of a model; None where it does not.

    Attributes:
        name: What it is called.
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

    def updated(self, other: ModelSpec) -> ModelSpec:
        """This with every field that `other` knows taken from there."""
        return replace(self, **{f.name: v for f in fields(other) if (v := getattr(other, f.name)) is not None})


def to_metadata(spec: ModelSpec) -> dict[str, str]:
    """The entries of a model file's metadata: `dongfeng.FIELD` with a JSON value, for every field that is known.

    Pass them to `dongfeng.to_onnx(..., metadata=...)`, and `dongfeng.load` runs the file as the model it came from.
    """
    return {
        _PREFIX + _KEYS.get(key, key): json.dumps(value) for key, value in asdict(spec).items() if value is not None
    }


def from_metadata(metadata: Mapping[str, str], source: str) -> ModelSpec:
    """What a model file's metadata says; entries of other programs do not matter.

    Args:
        metadata: Keys and values of the file.
        source: What to call the file in an error.

    Raises:
        ConversionError: an entry of ours is damaged.
    """
    values: dict[str, Any] = {}
    for field in (field.name for field in fields(ModelSpec)):
        key = _KEYS.get(field, field)
        text = metadata.get(_PREFIX + key)
        if text is None:
            continue
        try:
            values[field] = _preprocessing(json.loads(text)) if key == "recipe" else str(json.loads(text))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConversionError(f'{source}: its metadata "{_PREFIX}{key}" is damaged: {text!r}') from error
    spec = ModelSpec(**values)
    for key, value, known in (("task", spec.task, TASKS), ("head", spec.head, HEADS)):
        if value not in (None, *known):
            raise ConversionError(
                f'{source}: its metadata "{_PREFIX}{key}" is "{value}"; expected {" or ".join(known)}'
            )
    return spec


def _preprocessing(values: Mapping[str, Any]) -> Preprocessing:
    crop = values.get("crop_hw")
    side = values.get("shorter_side")
    return Preprocessing(
        mean_bgr=tuple(float(value) for value in values["mean_bgr"]),
        scale=float(values["scale"]),
        shorter_side=None if side is None else int(side),
        crop_hw=None if crop is None else (int(crop[0]), int(crop[1])),
    )
