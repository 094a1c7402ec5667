"""Augmentation: random scale, crop, flip and colours of one image and its labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dongfeng.training.config import TrainConfig
from dongfeng.training.samples import IGNORE, Image, Target

_GREY_BGR = (0.114, 0.587, 0.299)


def augment(
    image_bgr: Image,
    target: Target,
    size_hw: tuple[int, int],
    config: TrainConfig,
    rng: np.random.Generator,
    fill_bgr: tuple[float, ...] = (0.0, 0.0, 0.0),
) -> tuple[Image, Target]:
    """Take a random view of an image.

    Args:
        image_bgr: (H, W, 3) uint8, BGR.
        target: (H, W) labels, which follow the image; or its class. A classified image is first brought to the
            network's size by its shorter side.
        size_hw: Height and width of the result.
        config: Amounts of each change.
        rng: Source of all random numbers.
        fill_bgr: Colour beyond the border of the image; labels there are 255.

    Returns:
        (height, width, 3) uint8, and the labels of the same size, or the class.
    """
    low, high = config.random_scale
    scale = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    if not isinstance(target, np.ndarray):
        scale *= max(wanted / side for wanted, side in zip(size_hw, image_bgr.shape[:2], strict=True))
    region_hw = (max(1, round(size_hw[0] / scale)), max(1, round(size_hw[1] / scale)))
    spare = [side - wanted for side, wanted in zip(image_bgr.shape[:2], region_hw, strict=True)]
    top, left = (int(rng.integers(min(0, room), max(0, room) + 1)) for room in spare)
    flip = config.flip and bool(rng.integers(2))
    view = _resized(_region(image_bgr, (top, left), region_hw, fill_bgr), size_hw, smooth=True)
    view = _recoloured(np.ascontiguousarray(view[:, ::-1]) if flip else view, config.jitter, rng)
    if not isinstance(target, np.ndarray):
        return view, target
    labels = _resized(_region(target, (top, left), region_hw, (IGNORE,)), size_hw, smooth=False)
    return view, np.ascontiguousarray(labels[:, ::-1]) if flip else labels


def _region(
    image: npt.NDArray[np.uint8], top_left: tuple[int, int], size_hw: tuple[int, int], fill: tuple[float, ...]
) -> npt.NDArray[np.uint8]:
    """The part of an image that begins at `top_left`, filled where it lies outside of the image."""
    import cv2

    (top, left), (height, width) = top_left, size_hw
    above, before = max(0, -top), max(0, -left)
    part = image[max(0, top) : top + height, max(0, left) : left + width]
    border = (above, height - above - part.shape[0], before, width - before - part.shape[1])
    if not any(border):
        return part
    return np.asarray(cv2.copyMakeBorder(part, *border, cv2.BORDER_CONSTANT, value=fill), np.uint8)


def _resized(image: npt.NDArray[np.uint8], size_hw: tuple[int, int], *, smooth: bool) -> npt.NDArray[np.uint8]:
    import cv2

    if image.shape[:2] == size_hw:
        return image
    # Plain nearest neighbours would move the labels by up to half a pixel against the image.
    method = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST_EXACT
    return np.asarray(cv2.resize(image, (size_hw[1], size_hw[0]), interpolation=method), np.uint8)


def _recoloured(image_bgr: Image, jitter: float, rng: np.random.Generator) -> Image:
    """Change brightness, contrast, saturation and the weight of each channel by up to `jitter`, as one affine map."""
    import cv2

    brightness, contrast, saturation, *channels = rng.uniform(-jitter, jitter, 6)
    if jitter == 0:
        return image_bgr
    grey = np.broadcast_to(np.array(_GREY_BGR), (3, 3))
    mixed = (1 + saturation) * np.eye(3) - saturation * grey
    gains = (1 + contrast) * (1 + np.array(channels) / 2)
    offset = 128 * (brightness - contrast)
    matrix = np.hstack([gains[:, None] * mixed, np.full((3, 1), offset)])
    return np.asarray(cv2.transform(image_bgr, matrix), np.uint8)
