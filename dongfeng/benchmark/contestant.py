"""One model at one size on one backend in one precision, open and ready to be timed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dongfeng.errors import DongfengWarning
from dongfeng.runtime.load import load
from dongfeng.runtime.model import Model
from dongfeng.support.files import sha256_of
from dongfeng.zoo.fetch import local_weights
from dongfeng.zoo.models import ModelInfo

Image = npt.NDArray[np.uint8]
RANDOM = "random:0"
_CALIBRATION_IMAGES = 2  # for the speed of a quantized network it does not matter which
_CELLS = 12  # of a drawn image, along its shorter side


class Entry(NamedTuple):
    """What is to be measured.

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

    def about(self) -> dict[str, Any]:
        """What it is, as rows of a report say it."""
        height, width = self.size_hw
        size = {"model": self.info.name, "height": height, "width": width}
        return {**size, "backend": self.backend, "precision": self.precision}


class Contestant(NamedTuple):
    """An entry that is ready.

    Attributes:
        entry: What it is.
        model: It, open.
        file: The converted file that it was loaded from, or its content where the cache cannot be written.
        weights: "random:0", or the name of the released file.
        weights_sha256: Hash of that file; None for random weights.
        runs: Timer -> a call of what it times; None where the backend cannot be timed so.
    """

    entry: Entry
    model: Model
    file: Path | bytes
    weights: str
    weights_sha256: str | None
    runs: Mapping[str, Callable[[], object] | None]

    def content(self) -> bytes:
        """The converted file."""
        return self.file if isinstance(self.file, bytes) else self.file.read_bytes()


def open_contestant(entry: Entry, *, device: str, threads: int | None) -> Contestant:
    """Load a model and make its three calls: the network, the same with copies, and from a decoded image to labels.

    Args:
        entry: What to open.
        device: "auto", "cpu", "cuda" or "cuda:N".
        threads: Threads of the CPU; None: the backend's own choice.

    Raises:
        DongfengError: it cannot run here; see `dongfeng.load`.
    """
    released = local_weights(entry.info)
    weights = None if released is not None else RANDOM
    image = drawn_image(_image_hw(entry))
    is_int8 = entry.precision == "int8"
    images = [drawn_image(image.shape[:2], seed) for seed in range(_CALIBRATION_IMAGES)] if is_int8 else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DongfengWarning)  # of random weights, which the report states
        model = load(
            entry.info.name,
            weights=weights,
            backend=entry.backend,
            precision=entry.precision,
            device=device,
            size=entry.size_hw,
            threads=threads,
            calibration=images,
        )
    backend, output = model.runner, model.output
    blob = model.network_input(image)
    runs: dict[str, Callable[[], object] | None] = {
        "network": backend.bind(blob, output),
        "with_copies": lambda: backend.run(blob, output),
        "image_to_labels": lambda: model(image),
    }
    if released is None:
        return Contestant(entry, model, model.file, RANDOM, None, runs)
    return Contestant(entry, model, model.file, released.name, sha256_of(released), runs)


def drawn_image(size_hw: tuple[int, ...], seed: int = 0) -> Image:
    """(H, W, 3) uint8: smooth blots, so that labels have borders, but not at every pixel."""
    import cv2

    height, width = size_hw
    coarse_hw = tuple(max(2, side * _CELLS // min(size_hw)) for side in size_hw)
    coarse = np.random.default_rng(seed).integers(0, 256, (*coarse_hw, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _image_hw(entry: Entry) -> tuple[int, int]:
    """A size that has to be cropped at most: the network's own, or the square that its centre is cut out of."""
    side = entry.info.preprocessing.shorter_side
    return entry.size_hw if side is None or entry.size_hw != entry.info.size_hw else (side, side)
