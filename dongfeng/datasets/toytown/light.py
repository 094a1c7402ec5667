"""Effects of a camera: haze of the lens, noise, and colours that are slightly wrong."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dongfeng.datasets.toytown.dice import Dice

Image = npt.NDArray[np.uint8]


def photograph(image_bgr: Image, dice: Dice, night: bool) -> Image:
    """Add the effects of a camera to a painted picture.

    Args:
        image_bgr: (H, W, 3) uint8.
        dice: Source of all random choices.
        night: Whether there is little light.

    Returns:
        (H, W, 3) uint8.
    """
    passes = 1 + max(image_bgr.shape[0] // 512, 0) + (1 if dice.chance(0.25) else 0)
    for _ in range(passes):
        image_bgr = blur(image_bgr)
    image_bgr = shift_colours(image_bgr, dice, night)
    return add_noise(image_bgr, dice, dice.between(2, 13) + (8 if night else 0))


def blur(image: Image) -> Image:
    """Blur by 1 2 1 down and across, in whole numbers."""
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), "edge").astype(np.uint16)
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    return np.asarray((rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:] + 8) >> 4, np.uint8)


def shift_colours(image: Image, dice: Dice, night: bool) -> Image:
    """Change exposure, contrast and white balance."""
    light = dice.between(0.62, 0.82) if night else dice.between(0.78, 1.16)
    curve, lift = dice.between(-0.25, 0.25), dice.between(0, 22)
    warm = dice.between(-0.1, 0.1)
    levels = np.arange(256) / 255.0
    out = np.empty_like(image)
    for channel, tint in enumerate((1 - warm, 1 + dice.between(-0.03, 0.03), 1 + warm)):
        bent = levels + levels * (1 - levels) * curve
        table = np.clip(np.floor(bent * (light * tint * (255 - lift)) + lift + 0.5), 0, 255).astype(np.uint8)
        out[..., channel] = table[image[..., channel]]
    return out


def add_noise(image: Image, dice: Dice, strength: float) -> Image:
    """Add noise of about so many grey levels at most, the sum of two bytes for each pixel and channel."""
    grain = dice.grain(2, *image.shape).astype(np.int16)
    noise = ((grain[0] + grain[1] - 255) * np.int16(int(strength * 2))) >> 9
    return np.asarray(np.clip(image.astype(np.int16) + noise, 0, 255), np.uint8)
