"""The images that a network is quantized with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dongfeng.errors import ImageError
from dongfeng.net.preprocessing import Preprocessing, prepare
from dongfeng.runtime.images.read import ChannelOrder, read_image


@dataclass(frozen=True)
class Calibration:
    """Images such as the network will see.

    Attributes:
        images: Whatever `read_image` takes, each.
        channel_order: Order of the channels in arrays.
    """

    images: tuple[object, ...]
    channel_order: ChannelOrder

    def digest(self) -> str:
        """What the images are, in hexadecimal digits: equal ones give equal networks.

        Raises:
            ImageError: an image cannot be read.
        """
        found = hashlib.sha256()
        for image in self.images:
            content = self._content(image)
            found.update(len(content).to_bytes(8, "little"))
            found.update(content)
        return found.hexdigest()

    def batches(self, preprocessing: Preprocessing, size_hw: tuple[int, int]) -> Iterator[npt.NDArray[np.float32]]:
        """The images as the network's inputs, (1, 3, height, width) each."""
        return (
            prepare(read_image(image, channel_order=self.channel_order), preprocessing, size_hw)
            for image in self.images
        )

    def _content(self, image: object) -> bytes:
        if isinstance(image, (str, PathLike)) and Path(fspath(image)).is_file():
            return Path(fspath(image)).read_bytes()
        pixels = read_image(image, channel_order=self.channel_order)
        return repr(pixels.shape).encode() + pixels.tobytes()


def as_calibration(images: object, channel_order: ChannelOrder) -> Calibration:
    """What a caller gives as `calibration`.

    Raises:
        ImageError: it is no list of images, or an empty one.
    """
    if isinstance(images, (str, PathLike)) or (isinstance(images, np.ndarray) and images.ndim < 4):
        raise ImageError("calibration: got one image or path; expected a list of images, about ten")
    if not isinstance(images, Iterable):
        raise ImageError(f"calibration: got {type(images).__name__}; expected a list of images, about ten")
    given = tuple(images)
    if not given:
        raise ImageError("calibration: got no images; about ten that are like those in use are enough")
    return Calibration(given, channel_order)
