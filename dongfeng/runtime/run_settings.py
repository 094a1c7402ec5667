"""Collects the settings that decide the outputs of a run, so that a later run knows which of them to keep."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from dongfeng.backends.registry import auto_backend
from dongfeng.runtime.model_choice import ModelChoice
from dongfeng.support.files import sha256_of

Settings = dict[str, object]


def run_settings(choice: ModelChoice) -> Settings:
    """Collect model, weights, size, backend and precision, in words that are the same on all machines of a shared run.

    Returns:
        Plain JSON.

    Raises:
        DongfengError: the backend cannot be had.
        OSError: a file cannot be read.
    """
    info, weights, size_hw = choice.zoo_info, choice.weights, choice.options.get("size")
    files = [Path(text) for text in (choice.name, weights) if text and Path(text).is_file()]
    settings: Settings = {
        "model": Path(choice.name).name if info is None else info.name,
        "weights": Path(weights).name if weights and Path(weights).is_file() else weights,
        "size_hw": size_hw and list(size_hw),
        **execution(choice),
        "sha256": [sha256_of(path) for path in files],
    }
    mean, scale = choice.options.get("mean"), choice.options.get("scale")
    if mean is not None:
        settings["mean"] = np.ravel(mean).tolist()
    if scale is not None:
        settings["scale"] = scale
    if choice.calibration_images is not None:
        digests = "".join(sha256_of(path) for path in choice.calibration_images)
        settings["calibration_sha256"] = hashlib.sha256(digests.encode()).hexdigest()
    return settings


def execution(choice: ModelChoice) -> dict[str, str]:
    """Return backend and precision, and for "auto" the ones it stands for where that is known without the model."""
    backend, precision = choice.options.get("backend", "auto"), choice.precision
    # An ONNX file may be quantized, which is run in eight bits; any other model is run in fp32.
    is_known = precision != "auto" or Path(choice.name).suffix != ".onnx"
    return {
        "backend": auto_backend(precision) if backend == "auto" else backend,
        "precision": "fp32" if precision == "auto" and is_known else precision,
    }
