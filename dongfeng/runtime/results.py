"""The results of a model for an image: `Segmentation` and `Classification`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from dongfeng.errors import DongfengError, ImageError

Kind = Literal["overlay", "color", "labels", "label_ids"]
KINDS: tuple[Kind, ...] = ("overlay", "color", "labels", "label_ids")
LOSSLESS = (".png", ".tif", ".tiff", ".bmp")  # formats that keep every label
PICTURES = (*LOSSLESS, ".jpg", ".jpeg", ".webp")

Bytes = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Timing(Mapping[str, float]):
    """Time taken by each stage, in milliseconds; attributes that are readable as a mapping too.

    Attributes:
        decode: Reading and decoding the image.
        preprocess: Resizing and input arithmetic.
        infer: The network.
        postprocess: From scores to labels.
    """

    decode: float
    preprocess: float
    infer: float
    postprocess: float

    @property
    def total(self) -> float:
        """Sum of all stages."""
        return sum(self.values())

    def __getitem__(self, stage: str) -> float:
        return float(vars(self)[stage])

    def __iter__(self) -> Iterator[str]:
        return iter(vars(self))

    def __len__(self) -> int:
        return len(vars(self))


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A class for every pixel of an image.

    Attributes:
        labels: (H, W) uint8 class indices at the image's size; for Cityscapes models train ids, 0..18.
        scores: (C, h, w) float32, unscaled, at the network's score resolution.
        timing: Time taken by each stage, in ms.
        image_bgr: (H, W, 3) uint8, BGR: the image, upright.
        class_names: Name of each class.
        palette: (C, 3) uint8, RGB: colour of each class.
        classes: "cityscapes", or None where the classes are not known.
    """

    labels: Bytes
    scores: Float = field(repr=False)
    timing: Timing
    image_bgr: Bytes = field(repr=False)
    class_names: tuple[str, ...] = field(repr=False)
    palette: Bytes = field(repr=False)
    classes: str | None = "cityscapes"

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        height, width = self.labels.shape
        return height, width

    @property
    def label_ids(self) -> Bytes:
        """Convert to (H, W) uint8 label ids, as Cityscapes' evaluation server numbers its classes.

        Raises:
            DongfengError: the classes are not those of Cityscapes.
        """
        if self.classes != "cityscapes":
            raise DongfengError("label_ids: only Cityscapes has label ids beside train ids; use labels")
        from dongfeng.datasets.cityscapes import to_label_ids

        return to_label_ids(self.labels)

    def color(self) -> Bytes:
        """Colour every pixel by its class: (H, W, 3) uint8, RGB."""
        return np.take(self.palette, self.labels, axis=0)

    def overlay(self, alpha: float = 0.5) -> Bytes:
        """Blend the colours of the classes with the image: (H, W, 3) uint8, RGB.

        Args:
            alpha: Weight of the colours, 0 (only the image) to 1 (only the colours).

        Raises:
            ImageError: `alpha` is outside 0..1.
        """
        import cv2

        if not 0 <= alpha <= 1:
            raise ImageError(f"overlay: alpha is {alpha}; expected 0 to 1")
        image = cv2.cvtColor(self.image_bgr, cv2.COLOR_BGR2RGB)
        return np.asarray(cv2.addWeighted(self.color(), alpha, image, 1 - alpha, 0.0), np.uint8)

    def save(self, path: str | PathLike[str], kind: Kind = "overlay") -> None:
        """Write a picture of the labels, complete or not at all; missing folders are made.

        Args:
            path: Image file; its suffix decides the format, which has to be lossless for labels.
            kind: "overlay" (colours over the image), "color" (colours), "labels" (one byte per pixel: the class
                index) or "label_ids" (one byte per pixel: Cityscapes label ids).

        Raises:
            ImageError: the kind or the suffix is none of these.
            OSError: the file cannot be written.
        """
        target = Path(path)
        check_kind(kind, target)
        suffixes = PICTURES if kind in ("overlay", "color") else LOSSLESS
        if target.suffix.lower() not in suffixes:
            raise ImageError(
                f'{target}: cannot write {kind} as "{target.suffix}"; the suffix has to be one of {", ".join(suffixes)}'
            )
        from dongfeng.support.files import write_whole

        encoded = encode(self.picture_bgr(kind), target)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, encoded)

    def picture_bgr(self, kind: Kind) -> Bytes:
        """Return the pixels that `save` writes, in OpenCV's order: (H, W, 3) uint8, BGR, or (H, W) uint8 for labels."""
        if kind in ("overlay", "color"):
            return np.ascontiguousarray((self.overlay() if kind == "overlay" else self.color())[..., ::-1])
        return self.labels if kind == "labels" else self.label_ids


def check_kind(kind: str, target: Path) -> None:
    """Raise an `ImageError` that names the file where a kind is none of `KINDS`."""
    if kind not in KINDS:
        raise ImageError(f'{target}: kind is "{kind}"; expected one of {", ".join(KINDS)}')


def encode(picture: Bytes, target: Path) -> bytes:
    """Encode the content of an image file.

    Args:
        picture: (H, W, 3) uint8, BGR, or (H, W) uint8.
        target: The file that it is for; the suffix decides the format.

    Raises:
        ImageError: OpenCV cannot write this size in this format.
    """
    import cv2

    try:
        encoded, data = cv2.imencode(target.suffix.lower(), picture)
    except cv2.error:
        encoded = False
    if not encoded:
        height, width = picture.shape[:2]
        raise ImageError(f'{target}: OpenCV cannot write {height}x{width} pixels as "{target.suffix}"')
    return bytes(data.tobytes())


@dataclass(frozen=True, eq=False)
class Classification:
    """A score for each class an image may show.

    Attributes:
        logits: (C,) float32, unscaled.
        timing: Time taken by each stage, in ms.
        class_names: Name of each class.
    """

    logits: Float = field(repr=False)
    timing: Timing
    class_names: tuple[str, ...] = field(repr=False)

    def top(self, k: int = 5) -> list[tuple[int, str, float]]:
        """Return the k most probable classes, the most probable first; of equal ones the largest index, as in Caffe.

        Returns:
            (class index, name, probability by softmax) for each.

        Raises:
            DongfengError: `k` is not positive, or a logit is NaN.
        """
        if k < 1:
            raise DongfengError(f"top: k is {k}; expected at least 1")
        logits = self.logits.astype(np.float64)
        if np.isnan(logits).any():
            raise DongfengError("top: the scores hold NaN; check the network's weights and input")
        exponentials = np.exp(logits - logits.max())
        order = np.argsort(logits, kind="stable")[::-1][:k]
        probabilities = exponentials[order] / exponentials.sum()
        return [(int(i), self.class_names[i], float(p)) for i, p in zip(order, probabilities, strict=True)]
