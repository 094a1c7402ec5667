"""Engines of ONNX models, built on first use and kept in the cache."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path

from dongfeng._version import __version__
from dongfeng.backends.tensorrt.build import build_engine
from dongfeng.backends.tensorrt.engine_file import OLDEST_CAPABILITY, Engine, read_engine
from dongfeng.backends.tensorrt.library import import_library
from dongfeng.errors import EngineMismatch
from dongfeng.support.build_once import build_once
from dongfeng.support.cache_folder import cache_root

ENGINE_VERSION = 1  # raised whenever the same model gives another engine


def engine_of(model: Path | bytes, *, target: str, precision: str, capability: str) -> Engine:
    """Return the engine of an ONNX model, for the library and the GPU that are here; built where it is not cached.

    Args:
        model: The model's file or content.
        target: "tensorrt_rtx" or "tensorrt".
        precision: "fp32", "fp16" or "int8"; for int8 the model is quantized already.
        capability: Compute capability of the GPU.

    Raises:
        ConversionError: the library refuses the model.
    """
    content = model if isinstance(model, bytes) else model.read_bytes()
    version = str(import_library(target).__version__)
    key = [hashlib.sha256(content).hexdigest(), target, version, precision, capability, ENGINE_VERSION, __version__]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:20]
    stem = "model" if isinstance(model, bytes) else model.stem
    path = cache_root() / "engines" / f"{stem}-{digest}.engine"
    return build_once(
        path,
        partial(_build, content, target=target, precision=precision, capability=capability),
        # One outside the cache has been built just now, but the cache cannot say so.
        lambda file: read_engine(file, trust=file != path, backend=target),
        damaged=(EngineMismatch,),
    )


def _build(content: bytes, path: Path, *, target: str, precision: str, capability: str) -> None:
    import onnx

    is_old = target == "tensorrt_rtx" and float(capability) < OLDEST_CAPABILITY  # it builds for these on request only
    build_engine(
        onnx.load_model_from_string(content),
        path,
        precision=precision,
        target=target,
        compute_capability=(capability,) if is_old else (),
    )
