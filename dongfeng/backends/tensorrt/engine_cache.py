"""Engines of ONNX models, built on first use and kept in the cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

from dongfeng._version import __version__
from dongfeng.backends.tensorrt import build_engine
from dongfeng.backends.tensorrt.engine_file import Engine, read_engine
from dongfeng.backends.tensorrt.library import import_library
from dongfeng.errors import EngineMismatch
from dongfeng.support.cache_folder import cache_root

ENGINE_VERSION = 1  # raised whenever the same model gives another engine


def engine_of(model: Path | bytes, *, target: str, precision: str, capability: str) -> Engine:
    """The engine of an ONNX model, for the library and the GPU that are here.

    Args:
        model: The model's file or content.
        target: "tensorrt_rtx" or "tensorrt".
        precision: "fp32", "fp16" or "int8"; for int8 the model is quantized already.
        capability: Compute capability of the GPU.

    Raises:
        ConversionError: the library refuses the model.
        OSError: the cache cannot be written.
    """
    import onnx
    from filelock import FileLock

    content = model if isinstance(model, bytes) else model.read_bytes()
    version = str(import_library(target).__version__)
    key = [hashlib.sha256(content).hexdigest(), target, version, precision, capability, ENGINE_VERSION, __version__]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:20]
    stem = "model" if isinstance(model, bytes) else model.stem
    path = cache_root() / "engines" / f"{stem}-{digest}.engine"
    lock = FileLock(cache_root() / "locks" / f"{path.name}.lock")
    Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
    with lock:
        if path.is_file():
            with contextlib.suppress(EngineMismatch):  # it is damaged: build it again
                return read_engine(path, backend=target)
        path.parent.mkdir(parents=True, exist_ok=True)
        build_engine(
            onnx.load_model_from_string(content),
            path,
            precision=precision,
            target=target,
            compute_capability=(capability,) if _is_old(target, capability) else (),
        )
        return read_engine(path, backend=target)


def _is_old(target: str, capability: str) -> bool:
    """Whether TensorRT-RTX builds for such a GPU only where it is told to."""
    return target == "tensorrt_rtx" and float(capability) < 8.0
