"""What decides the outputs of a run, so that a later run knows whether they are what it would make itself."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any

from dongfeng.cli.inference import calibration_images
from dongfeng.errors import UnknownModel


def run_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Model, weights, size, backend and precision, in words that are the same on every machine that shares the work.

    Raises:
        DongfengError: the backend cannot be had, or there are no images to quantize with.
        OSError: a file cannot be read.
    """
    from dongfeng.support.files import sha256_of
    from dongfeng.zoo.models import model_info

    try:
        model = model_info(args.model).name
    except UnknownModel:
        model = Path(args.model).name
    files = [Path(text) for text in (args.model, args.weights) if text and Path(text).is_file()]
    weights = Path(args.weights).name if args.weights and Path(args.weights).is_file() else args.weights
    settings = {
        "model": model,
        "weights": weights,
        "size_hw": args.size and list(args.size),
        **execution(args),
        "sha256": [sha256_of(path) for path in files],
    }
    images = calibration_images(args)
    if images is None:
        return settings
    digests = "".join(sha256_of(path) for path in images)
    return settings | {"calibration_sha256": hashlib.sha256(digests.encode()).hexdigest()}


def execution(args: argparse.Namespace) -> dict[str, str]:
    """Backend and precision, with what "auto" stands for where that is known without the model."""
    from dongfeng.backends.registry import auto_backend

    backend = auto_backend(args.precision) if args.backend == "auto" else args.backend
    # A quantized file is run in eight bits; any other model in fp32.
    is_dynamic = args.precision == "auto" and Path(args.model).suffix == ".onnx"
    return {"backend": backend, "precision": "fp32" if args.precision == "auto" and not is_dynamic else args.precision}
