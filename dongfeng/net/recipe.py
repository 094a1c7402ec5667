"""How an image becomes the input of a network."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
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
