"""The arithmetic between an image and the input of a network, and its settings."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

METADATA_PREPROCESSING = "dongfeng.recipe"  # its name in model files, from when it was called a recipe
_WIDEST = 8  # ratio of the sides beyond which an image is cropped before it is resized
_PIXELS_AT_ONCE = 1 << 17  # so many stay in a core's own cache between two steps of arithmetic


@dataclass(frozen=True)
class Preprocessing:
    """Input arithmetic of a network: `(image - mean_bgr) * scale`, channels in BGR order.

    Attributes:
        mean_bgr: Subtracted per channel (0..255 units); one value serves all channels.
        scale: Factor applied after the mean.
        shorter_side: Resize the shorter side to this many pixels first, then crop; None: no such step.
        crop_hw: Centre crop after `shorter_side`; None: the whole image is resized to the network's size.

    Source: Caffe, TransformationParameter (mean_value, scale, crop_size).
    """

    mean_bgr: tuple[float, ...] = (0.0, 0.0, 0.0)
    scale: float = 1.0
    shorter_side: int | None = None
    crop_hw: tuple[int, int] | None = None


def prepare(
    image_bgr: npt.NDArray[np.uint8], preprocessing: Preprocessing, size_hw: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Resize an image (bilinear) and apply a network's input arithmetic.

    Args:
        image_bgr: (H, W, 3) uint8, BGR.
        preprocessing: With `shorter_side`, the shorter side is resized to it and the centre cropped; else the whole
            image is resized.
        size_hw: Height and width of the network's input in pixels.

    Returns:
        (1, 3, height, width) float32, BGR planes of `(image - mean) * scale`.

    Source: Caffe, DataTransformer::Transform (mean before scale, each in single precision).
    """
    import cv2

    sized = fit(image_bgr, preprocessing, size_hw)
    result = np.empty((1, 3, *size_hw), np.float32)
    mean_bgr = np.broadcast_to(np.array(preprocessing.mean_bgr, np.float32), 3)
    rows_at_once = max(1, _PIXELS_AT_ONCE // size_hw[1])
    for top in range(0, size_hw[0], rows_at_once):
        rows = slice(top, top + rows_at_once)
        for plane, mean, out in zip(cv2.split(sized[rows]), mean_bgr, result[0, :, rows], strict=True):
            out[:] = plane
            np.subtract(out, mean, out=out)
            np.multiply(out, np.float32(preprocessing.scale), out=out)
    return result


def fit(
    image_bgr: npt.NDArray[np.uint8], preprocessing: Preprocessing, size_hw: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """Resize an image, and crop it where the preprocessing says so: (height, width, 3) uint8, BGR."""
    if preprocessing.shorter_side is None:
        return _resized(image_bgr, size_hw)
    return _centre_crop(image_bgr, preprocessing.shorter_side, size_hw)


def for_size(preprocessing: Preprocessing, size_hw: tuple[int, int]) -> Preprocessing:
    """Return the preprocessing for another input size; the crop keeps its share of the image."""
    if preprocessing.shorter_side is None or preprocessing.crop_hw is None or preprocessing.crop_hw == size_hw:
        return preprocessing
    grown = max(size_hw) / max(preprocessing.crop_hw)
    return replace(
        preprocessing, shorter_side=max(round(preprocessing.shorter_side * grown), *size_hw), crop_hw=size_hw
    )


def _resized(image: npt.NDArray[np.uint8], size_hw: tuple[int, int]) -> npt.NDArray[np.uint8]:
    import cv2

    if image.shape[:2] == tuple(size_hw):
        return image
    return np.asarray(cv2.resize(image, (size_hw[1], size_hw[0]), interpolation=cv2.INTER_LINEAR), np.uint8)


def _centre_crop(image: npt.NDArray[np.uint8], shorter_side: int, size_hw: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Resize the shorter side to `shorter_side`, and return the centre of `size_hw`."""
    short = min(image.shape[:2])
    image = _centre(image, (short * _WIDEST, short * _WIDEST))
    height, width = (max(1, round(side * shorter_side / short)) for side in image.shape[:2])
    return _centre(_resized(image, (height, width)), size_hw)


def _centre(image: npt.NDArray[np.uint8], size_hw: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return the middle of an image, at most `size_hw`."""
    top, left = (max(0, (have - want) // 2) for have, want in zip(image.shape[:2], size_hw, strict=True))
    return image[top : top + size_hw[0], left : left + size_hw[1]]
