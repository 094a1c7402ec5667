"""The model of a run over images, before it is loaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dongfeng.backends.registry import auto_backend
from dongfeng.errors import BackendUnavailable, DongfengError, ImageError, UnknownModel
from dongfeng.runtime.inputs import image_files
from dongfeng.support.files import sha256_of
from dongfeng.zoo.models import ModelInfo, model_info

if TYPE_CHECKING:
    from dongfeng.runtime.load import LoadOptions
    from dongfeng.runtime.model import Model, Result


@dataclass(frozen=True)
class ModelChoice:
    """A zoo name or model file, and how `dongfeng.load` is to load it.

    Calibration images are given by files, folders or patterns.

    Raises:
        BackendUnavailable: calibration images are missing for precision "int8", or given for another.
        ImageError: a calibration input holds no images.
    """

    model: str | PathLike[str]
    options: LoadOptions

    def __post_init__(self) -> None:
        if self.calibration_images and self.precision != "int8":
            raise BackendUnavailable(f"--calibration: is for --precision int8; the precision is {self.precision}")
        # An ONNX file may be quantized already.
        if not self.calibration_images and self.precision == "int8" and Path(self.model).suffix != ".onnx":
            raise BackendUnavailable(
                "--precision int8: needs images to quantize with; give --calibration DIR, about ten such as it will see"
            )

    @property
    def name(self) -> str:
        """The model, as it was given."""
        return fspath(self.model)

    @property
    def weights(self) -> str | None:
        """The weights, as they were given."""
        weights = self.options.get("weights")
        return None if weights is None else fspath(weights)

    @property
    def precision(self) -> str:
        """The precision, as it was given."""
        return self.options.get("precision", "auto")

    @cached_property
    def calibration_images(self) -> list[Path] | None:
        """The images to quantize with, sorted."""
        inputs = self.options.get("calibration")
        if inputs is None:
            return None
        given = [inputs] if isinstance(inputs, str | PathLike) else inputs
        if not isinstance(given, list | tuple) or not all(isinstance(one, str | PathLike) for one in given):
            raise ImageError("calibration: expected image files, folders or patterns")
        try:
            return image_files(given)
        except ImageError as error:
            raise ImageError(f"--calibration {error}") from None

    @cached_property
    def zoo_info(self) -> ModelInfo | None:
        """Facts that the zoo has of the model; None for a model file."""
        try:
            return model_info(self.name)
        except UnknownModel:
            return None

    def execution(self) -> dict[str, str]:
        """Return backend and precision, and for "auto" the ones it stands for where that is known without the model."""
        backend = self.options.get("backend", "auto")
        # An ONNX file may be quantized, which is run in eight bits; any other model is run in fp32.
        is_known = self.precision != "auto" or Path(self.name).suffix != ".onnx"
        return {
            "backend": auto_backend(self.precision) if backend == "auto" else backend,
            "precision": "fp32" if self.precision == "auto" and is_known else self.precision,
        }

    def settings(self) -> dict[str, object]:
        """Collect what decides the outputs of a run, in words that are the same on all machines that share it.

        Returns:
            Model, weights, size, backend, precision and checksums of the files, as plain JSON.

        Raises:
            DongfengError: the backend cannot be had.
            OSError: a file cannot be read.
        """
        info, weights, size_hw = self.zoo_info, self.weights, self.options.get("size")
        files = [Path(text) for text in (self.name, weights) if text and Path(text).is_file()]
        settings: dict[str, object] = {
            "model": Path(self.name).name if info is None else info.name,
            "weights": Path(weights).name if weights and Path(weights).is_file() else weights,
            "size_hw": size_hw and list(size_hw),
            **self.execution(),
            "sha256": [sha256_of(path) for path in files],
        }
        mean, scale = self.options.get("mean"), self.options.get("scale")
        if mean is not None:
            settings["mean"] = np.ravel(mean).tolist()
        if scale is not None:
            settings["scale"] = scale
        if self.calibration_images is not None:
            digests = "".join(sha256_of(path) for path in self.calibration_images)
            settings["calibration_sha256"] = hashlib.sha256(digests.encode()).hexdigest()
        return settings

    def open(self, task: str, *, count: int | None, otherwise: str) -> Model[Result]:
        """Load the model, ready to stream.

        Args:
            task: The task it has to be for, "segmentation" or "classification".
            count: Number of images; None where it is not known.
            otherwise: The command that takes a model for the other task.

        Raises:
            DongfengError: it cannot be loaded, or is for the other task.
        """
        from dongfeng.runtime.load import load_stream

        options: LoadOptions = {**self.options, "calibration": self.calibration_images}
        model = load_stream(self.name, count=count, **options)
        if model.task != task:
            model.close()
            raise self.wrong_task(model.task, otherwise)
        return model

    def wrong_task(self, task: str, otherwise: str) -> DongfengError:
        """Make the error that says which command takes a model for that task."""
        return DongfengError(f"{self.name} is a model for {task}; use: {otherwise} --model {self.name}")
