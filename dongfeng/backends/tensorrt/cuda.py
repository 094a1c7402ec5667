"""CUDA memory and one stream of work, through NVIDIA's own Python package."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from dongfeng.backends.base import Array
from dongfeng.backends.tensorrt.gpu import cuda_runtime
from dongfeng.errors import BackendUnavailable


def why_no_gpu(index: int, install: str) -> str | None:
    """Say why there is no such GPU here, in one line; None if there is.

    Args:
        index: Number of the GPU.
        install: What to run where the Python package is missing.
    """
    try:
        runtime = cuda_runtime()
    except ImportError:
        return f"the package cuda-python is not installed; run: {install}"
    try:
        error, count = runtime.cudaGetDeviceCount()
    except RuntimeError as problem:  # without a driver some versions raise where others return an error
        return f"CUDA has no driver here ({problem}); install the GPU's driver (nvidia-smi shows it)"
    if int(error) == 100 or (int(error) == 0 and count == 0):
        return "CUDA finds no GPU here (nvidia-smi shows those there are)"
    if int(error) != 0:
        reason = _error_text(runtime, error)
        return f"CUDA cannot start: {reason}; install or update the GPU's driver (nvidia-smi shows it)"
    if index >= count:
        return f'there is no device "cuda:{index}"; the last of {count} is "cuda:{count - 1}"'
    return None


class CudaBuffer:
    """One array, pinned in the host's memory, and its place on the GPU.

    Attributes:
        host: The array.
        device: Address on the GPU.
    """

    def __init__(self, stream: CudaStream, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._stream = stream
        size = max(1, int(np.prod(shape, dtype=np.int64))) * dtype.itemsize
        self.device = int(stream.call("cudaMalloc", size))
        self._pinned = 0
        try:
            self._pinned = int(stream.call("cudaMallocHost", size))
        except BackendUnavailable:
            self.free()
            raise
        memory = (ctypes.c_byte * size).from_address(self._pinned)
        self.host: Array = np.ndarray(shape, dtype, memoryview(memory))

    def to_device(self) -> None:
        """Queue the copy to the GPU."""
        self._stream.copy(self.device, self._pinned, self.host.nbytes, "cudaMemcpyHostToDevice")

    def to_host(self) -> None:
        """Queue the copy back."""
        self._stream.copy(self._pinned, self.device, self.host.nbytes, "cudaMemcpyDeviceToHost")

    def free(self) -> None:
        """Free both; the array must not be touched afterwards."""
        with contextlib.suppress(BackendUnavailable):
            self._stream.call("cudaFree", self.device)
        if self._pinned:
            with contextlib.suppress(BackendUnavailable):
                self._stream.call("cudaFreeHost", self._pinned)


class CudaStream:
    """Work for one GPU, done in the order it is queued.

    Attributes:
        index: Number of the GPU.
        handle: What libraries take as a stream.
    """

    def __init__(self, index: int) -> None:
        self._runtime = cuda_runtime()
        self.index = index
        self.use()
        self._stream = self.call("cudaStreamCreate")
        self.handle = int(self._stream)
        self._graph: Any = None

    def use(self) -> None:
        """Make this GPU the calling thread's."""
        self.call("cudaSetDevice", self.index)

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function of CUDA's runtime, and return its values without the error code.

        Raises:
            BackendUnavailable: it fails, for want of memory for instance.
        """
        error, *values = getattr(self._runtime, name)(*arguments)
        if int(error) != 0:
            raise BackendUnavailable(f'device "cuda:{self.index}": {name} failed: {_error_text(self._runtime, error)}')
        return values[0] if len(values) == 1 else tuple(values)

    def copy(self, target: int, source: int, size: int, direction: str) -> None:
        """Queue a copy."""
        kind = getattr(self._runtime.cudaMemcpyKind, direction)
        self.call("cudaMemcpyAsync", target, source, size, kind, self._stream)

    def wait(self) -> None:
        """Wait until all that was queued is done."""
        self.call("cudaStreamSynchronize", self._stream)

    def record(self, queue: Callable[[], None]) -> None:
        """Keep the work that a function queues as a graph, which `replay` queues at once."""
        self.forget()
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self.call("cudaStreamBeginCapture", self._stream, mode)
        try:
            queue()
        finally:
            graph = self.call("cudaStreamEndCapture", self._stream)  # else the stream could not be used again
        try:
            self._graph = self.call("cudaGraphInstantiate", graph, 0)
        finally:
            self.call("cudaGraphDestroy", graph)

    def replay(self) -> None:
        """Queue the recorded work."""
        self.call("cudaGraphLaunch", self._graph, self._stream)

    def forget(self) -> None:
        """Drop the recorded work, whose addresses are no longer valid."""
        if self._graph is not None:
            self.call("cudaGraphExecDestroy", self._graph)
            self._graph = None

    def close(self) -> None:
        """Destroy the stream."""
        with contextlib.suppress(BackendUnavailable):
            self.forget()
            self.call("cudaStreamDestroy", self._stream)


def _error_text(runtime: Any, error: Any) -> str:
    _, text = runtime.cudaGetErrorString(error)
    return text.decode() if isinstance(text, bytes) else str(text)
