"""One model at one size on one backend in one precision: what is to be measured, and the same loaded for it."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dongfeng.benchmark.interleaved import Call
from dongfeng.benchmark.report import TimerName
from dongfeng.errors import DongfengWarning
from dongfeng.runtime.load import load
from dongfeng.runtime.model import Model
from dongfeng.support.files import sha256_of
from dongfeng.zoo.fetch import local_weights
from dongfeng.zoo.models import ModelInfo

Image = npt.NDArray[np.uint8]

_RANDOM = "random:0"
_CALIBRATION_IMAGES = 2  # the speed of a quantized network does not depend on them
_CELLS = 12  # of a synthetic image, along its shorter side


@dataclass(frozen=True)
class Entry:
    """A combination to measure.

    Attributes:
        info: The zoo's model.
        size_hw: Height and width of its input in pixels.
        backend: The backend's name.
        precision: "fp32", "fp16", "bf16" or "int8".
    """

    info: ModelInfo
    size_hw: tuple[int, int]
    backend: str
    precision: str

    @property
    def image_hw(self) -> tuple[int, int]:
        """Size of an image that is cropped at most: the network's own, or the square whose centre is cut out."""
        side = self.info.preprocessing.shorter_side
        return self.size_hw if side is None or self.size_hw != self.info.size_hw else (side, side)


@dataclass(frozen=True)
class Contestant:
    """An entry that is loaded and ready to be timed.

    Attributes:
        entry: The combination.
        model: The model, open.
        released: The released weights in it; None for random ones.
    """

    entry: Entry
    model: Model
    released: Path | None

    @property
    def weights(self) -> str:
        """Name of the released weights, or "random:0"."""
        return _RANDOM if self.released is None else self.released.name

    @property
    def weights_sha256(self) -> str | None:
        """Hash of the released weights; None for random ones."""
        return None if self.released is None else sha256_of(self.released)

    @property
    def model_sha256(self) -> str:
        """Hash of the converted file that the backend runs."""
        file = self.model.file
        return sha256_of(file) if isinstance(file, Path) else hashlib.sha256(file).hexdigest()

    @cached_property
    def _image(self) -> Image:
        return synthetic_image(self.entry.image_hw)

    @cached_property
    def blob(self) -> npt.NDArray[Any]:
        """The network's input."""
        return self.model.network_input(self._image)

    def calls(self) -> dict[TimerName, Call]:
        """Return the call that each timer times: the network, the same with copies, a decoded image to its labels."""
        runner, output = self.model.runner, self.model.output
        return {
            "network": runner.bind(self.blob, output),
            "with_copies": partial(runner.run, self.blob, output),
            "image_to_labels": partial(self.model, self._image),
        }


def open_contestant(entry: Entry, *, device: str, threads: int | None) -> Contestant:
    """Load the model of an entry: with the released weights where they are in the cache, else with random ones.

    Args:
        entry: The combination.
        device: "auto", "cpu", "cuda" or "cuda:N".
        threads: Threads of the CPU; None: the backend's own choice.

    Raises:
        DongfengError: it cannot run here; see `dongfeng.load`.
    """
    released = local_weights(entry.info)
    is_int8 = entry.precision == "int8"
    images = [synthetic_image(entry.image_hw, seed) for seed in range(_CALIBRATION_IMAGES)] if is_int8 else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DongfengWarning)  # about random weights, which the report states
        model = load(
            entry.info.name,
            weights=_RANDOM if released is None else None,
            backend=entry.backend,
            precision=entry.precision,
            device=device,
            size=entry.size_hw,
            threads=threads,
            calibration=images,
        )
    return Contestant(entry, model, released)


def synthetic_image(size_hw: tuple[int, int], seed: int = 0) -> Image:
    """Return smooth random blots, (H, W, 3) uint8, whose labels have borders, but not at every pixel."""
    import cv2

    height, width = size_hw
    coarse_hw = [max(2, side * _CELLS // min(size_hw)) for side in size_hw]
    coarse = np.random.default_rng(seed).integers(0, 256, (*coarse_hw, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
