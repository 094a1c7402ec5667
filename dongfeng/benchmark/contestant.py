"""A combination of model, size, backend and precision, loaded and ready to be timed."""

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
from dongfeng.benchmark.report import Combination, TimerName
from dongfeng.errors import DongfengWarning
from dongfeng.runtime.load import load
from dongfeng.runtime.model import Model
from dongfeng.support.files import sha256_of
from dongfeng.zoo.fetch import local_weights
from dongfeng.zoo.models import ModelInfo, model_info

Image = npt.NDArray[np.uint8]

RANDOM = "random:0"
_CALIBRATION_IMAGES = 2  # the speed of a quantized network does not depend on them
_CELLS = 12  # of a synthetic image, along its shorter side


@dataclass(frozen=True)
class Contestant:
    """A combination that is loaded and ready to be timed.

    Attributes:
        key: The combination.
        model: The model, open.
        released: The released weights in it; None for random ones.
        image: What is timed, (H, W, 3) uint8.
    """

    key: Combination
    model: Model
    released: Path | None
    image: Image

    @property
    def model_sha256(self) -> str:
        """Hash of the converted file that the backend runs."""
        file = self.model.file
        return sha256_of(file) if isinstance(file, Path) else hashlib.sha256(file).hexdigest()

    @cached_property
    def blob(self) -> npt.NDArray[Any]:
        """The network's input."""
        return self.model.network_input(self.image)

    def calls(self) -> dict[TimerName, Call]:
        """Return the call that each timer times: the network, the same with copies, a decoded image to its labels."""
        runner, output = self.model.runner, self.model.output
        return {
            "network": runner.bind(self.blob, output),
            "with_copies": partial(runner.run, self.blob, output),
            "image_to_labels": partial(self.model, self.image),
        }


def open_contestant(key: Combination, *, device: str, threads: int | None) -> Contestant:
    """Load the model of a combination: with the released weights where they are in the cache, else with random ones.

    Args:
        key: The combination.
        device: "auto", "cpu", "cuda" or "cuda:N".
        threads: Threads of the CPU; None: the backend's own choice.

    Raises:
        DongfengError: it cannot run here; see `dongfeng.load`.
    """
    info = model_info(key.model)
    released, image_hw = local_weights(info), _image_hw(info, key.size_hw)
    images = [synthetic_image(image_hw, seed) for seed in range(_CALIBRATION_IMAGES)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DongfengWarning)  # about random weights, which the report states
        model = load(
            key.model,
            weights=RANDOM if released is None else None,
            backend=key.backend,
            precision=key.precision,
            device=device,
            size=key.size_hw,
            threads=threads,
            calibration=images if key.precision == "int8" else None,
        )
    return Contestant(key, model, released, images[0])


def _image_hw(info: ModelInfo, size_hw: tuple[int, int]) -> tuple[int, int]:
    """Return the size of an image that is cropped at most: the network's own, or the square around its centre."""
    side = info.preprocessing.shorter_side
    return size_hw if side is None or size_hw != info.size_hw else (side, side)


def synthetic_image(size_hw: tuple[int, int], seed: int = 0) -> Image:
    """Return smooth random blots, (H, W, 3) uint8, whose labels have borders, but not at every pixel."""
    import cv2

    height, width = size_hw
    coarse_hw = [max(2, side * _CELLS // min(size_hw)) for side in size_hw]
    coarse = np.random.default_rng(seed).integers(0, 256, (*coarse_hw, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
