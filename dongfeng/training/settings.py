"""PyTorch's settings for a training: device, precision, threads, memory layout, determinism."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from dongfeng.backends.threads import cpu_count
from dongfeng.errors import BackendUnavailable
from dongfeng.training.config import TrainConfig

if TYPE_CHECKING:
    import torch

_MOST_WORKERS = 8
_SAFE_CHANNELS = 16  # see `memory_layout`


def check_installed() -> None:
    """Refuse to go on without PyTorch and safetensors.

    Raises:
        BackendUnavailable: naming the line that installs them.
    """
    missing = [name for name in ("torch", "safetensors") if find_spec(name) is None]
    if missing:
        raise BackendUnavailable(f'training needs {" and ".join(missing)}; run: pip install "dongfeng[torch]"')
    if "torch" not in sys.modules:
        # Threads that spin while they wait take the cores from those that prepare images: where others used the machine
        # too, training was ten times slower. PyTorch reads this once, when it is loaded.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def chosen_device(config: TrainConfig) -> str:
    """Return the device that a configuration means.

    Raises:
        BackendUnavailable: there is no such device.
    """
    import torch

    if config.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    device_type, _, number = config.device.partition(":")
    if device_type not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise BackendUnavailable(f'device is "{config.device}"; expected auto, cpu, cuda or cuda:N')
    count = torch.cuda.device_count() if device_type == "cuda" else 1
    if int(number or 0) >= count:
        raise BackendUnavailable(f'device "{config.device}": PyTorch sees {count} CUDA devices; use --device cpu')
    return config.device


def chosen_dtype(config: TrainConfig, device: str) -> torch.dtype:
    """Return the type that most layers are computed in.

    Raises:
        BackendUnavailable: the device cannot compute in it.
    """
    import torch

    on_gpu = device.startswith("cuda")
    if config.precision == "auto" and on_gpu:
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if config.precision == "fp16" and not on_gpu:
        raise BackendUnavailable('precision "fp16" needs a GPU; the CPU has "fp32" and "bf16"')
    return {"auto": torch.float32, "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[
        config.precision
    ]


def chosen_workers(config: TrainConfig) -> int:
    """Return the number of threads that prepare images."""
    return config.workers or max(1, min(_MOST_WORKERS, cpu_count() - 1))


@contextmanager
def training_mode(config: TrainConfig, device: str) -> Iterator[None]:
    """Set the threads of PyTorch and OpenCV, and on the CPU make results repeat bit for bit.

    On a GPU some gradients have no deterministic form, and the others cost time: there results repeat only nearly.
    Everything is as before afterwards, the state of the random numbers included.
    """
    import cv2
    import torch
    from torch.utils import deterministic as memory_module

    threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads()
    deterministic, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    memory: Any = memory_module  # its attribute is a property, which mypy does not see
    fill = memory.fill_uninitialized_memory
    state = torch.get_rng_state()
    try:
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        cv2.setNumThreads(1)  # the workers are threads already
        torch.use_deterministic_algorithms(device == "cpu")
        memory.fill_uninitialized_memory = False  # only finds faults, and takes time
        yield
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv2_threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        memory.fill_uninitialized_memory = fill
        torch.set_rng_state(state)


def memory_layout(module: torch.nn.Module, device: str) -> torch.memory_format:
    """Choose channels last, which is quickest, except where that is not safe.

    On CPUs PyTorch 2.13 writes beyond its buffers in the backward pass of a strided 1x1 convolution of fewer than 16
    channels that are last, where the map is large.
    """
    import torch

    narrow = any(
        isinstance(part, torch.nn.Conv2d)
        and part.in_channels < _SAFE_CHANNELS
        and part.kernel_size == (1, 1)
        and part.stride != (1, 1)
        for part in module.modules()
    )
    return torch.contiguous_format if narrow and device == "cpu" else torch.channels_last
