"""Queries of this machine's GPU, through NVIDIA's own Python package."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def cuda_runtime() -> Any:
    """Import CUDA's runtime API.

    Raises:
        ImportError: the package cuda-python is not installed.
    """
    try:
        return import_module("cuda.bindings.runtime")
    except ModuleNotFoundError:
        return import_module("cuda.cudart")  # as it was called before 12.6


def compute_capability(device: int = 0) -> str | None:
    """Return the compute capability of a GPU, such as "8.6"; None where there is none that CUDA can use."""
    try:
        runtime = cuda_runtime()
        error, count = runtime.cudaGetDeviceCount()
        if int(error) != 0 or device >= count:
            return None
        error, properties = runtime.cudaGetDeviceProperties(device)
    except (ImportError, RuntimeError):  # without a driver some versions raise where others return an error
        return None
    return f"{properties.major}.{properties.minor}" if int(error) == 0 else None
