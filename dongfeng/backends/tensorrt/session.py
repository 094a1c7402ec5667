"""An engine on its GPU, and the memory of its inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dongfeng.backends.base import Array, Tensor
from dongfeng.backends.tensorrt.cuda import CudaBuffer, CudaStream
from dongfeng.backends.tensorrt.engine_file import Engine
from dongfeng.backends.tensorrt.library import TARGETS, logger
from dongfeng.errors import BackendUnavailable, EngineMismatch, ShapeError


class EngineSession:
    """An engine that is loaded, for one call at a time.

    Args:
        library: The library's module.
        engine: The engine.
        index: Number of the GPU.
        cuda_graph: Whether to queue the whole network as one piece of work.
    """

    def __init__(self, library: Any, engine: Engine, index: int, cuda_graph: bool) -> None:
        self._library, self._wants_graph = library, cuda_graph
        self._errors: list[str] = []
        self._logger = logger(library, self._listen)
        self._stream = CudaStream(index)
        self._runtime: Any = library.Runtime(self._logger)
        self._engine: Any = self._runtime.deserialize_cuda_engine(engine.content)
        self._context: Any = self._engine and self._engine.create_execution_context()
        if self._context is None:
            self._stream.close()
            raise EngineMismatch(f"{engine.path}: {TARGETS[engine.target]} cannot load it: {self._reason()}")
        self._names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        self._buffers: dict[str, CudaBuffer] = {}
        self._is_recorded = False

    def tensors(self, *, is_input: bool) -> dict[str, Tensor]:
        """Return shape and type of the inputs, or of the outputs, by name."""
        return {
            name: Tensor(
                tuple(None if dim < 0 else dim for dim in self._engine.get_tensor_shape(name)),
                self._dtype(name) == np.float32,
            )
            for name in self._names
            if self._is_input(name) == is_input
        }

    def run(self, inputs: Array, outputs: Sequence[str]) -> dict[str, Array]:
        """Compute some outputs, each in the engine's own type."""
        self._place(inputs)
        self._enqueue()
        for output in outputs:
            self._buffers[output].to_host()
        self._stream.wait()
        return {output: self._buffers[output].host.copy() for output in outputs}

    def place(self, inputs: Array) -> Mapping[str, CudaBuffer]:
        """Copy an input to the GPU, and return the memory of all inputs and outputs, for `run_placed`."""
        self._place(inputs)
        self._stream.wait()
        return self._buffers

    def run_placed(self, buffers: Mapping[str, CudaBuffer]) -> None:
        """Compute the outputs of what is in that memory, and leave them there.

        Raises:
            BackendUnavailable: the memory has been freed for inputs of another shape.
        """
        if buffers is not self._buffers:
            raise BackendUnavailable("the engine has since run on another shape; bind its input again")
        self._stream.use()
        self._enqueue()
        self._stream.wait()

    def close(self) -> None:
        """Free the engine, its memory and its stream."""
        self._stream.use()
        self._stream.close()
        self._free()
        self._context = self._engine = self._runtime = None

    def _place(self, inputs: Array) -> None:
        """Queue the copy of an input to the GPU."""
        self._stream.use()
        (name,) = (name for name in self._names if self._is_input(name))
        if name not in self._buffers or self._buffers[name].host.shape != inputs.shape:
            self._prepare(name, tuple(inputs.shape))
        if inputs.dtype != self._buffers[name].host.dtype:
            raise ShapeError(f'the engine takes "{name}" as {self._buffers[name].host.dtype}, not {inputs.dtype}')
        np.copyto(self._buffers[name].host, inputs)
        self._buffers[name].to_device()

    def _prepare(self, name: str, shape: tuple[int, ...]) -> None:
        """Allocate memory for inputs of another shape."""
        self._stream.forget()
        self._is_recorded = False
        self._free()
        fixed = tuple(self._engine.get_tensor_shape(name))
        fits = len(fixed) == len(shape) and all(a in (-1, b) for a, b in zip(fixed, shape, strict=True))
        if not fits or not self._context.set_input_shape(name, shape):
            raise ShapeError(f'the engine takes "{name}" as {fixed}, not {shape}{self._batch_limits(name, fixed)}')
        try:
            for tensor in self._names:
                buffer = CudaBuffer(self._stream, tuple(self._context.get_tensor_shape(tensor)), self._dtype(tensor))
                self._buffers[tensor] = buffer
                self._context.set_tensor_address(tensor, buffer.device)
        except BackendUnavailable:
            self._free()  # all of them or none: the next call begins anew
            raise

    def _batch_limits(self, name: str, shape: tuple[int, ...]) -> str:
        """Return how large a dynamic batch may be, as the end of a message."""
        if -1 not in shape:
            return ""
        least, _, most = self._engine.get_tensor_profile_shape(name, 0)
        return f"; the batch may be {least[0]} to {most[0]}"

    def _enqueue(self) -> None:
        """Queue the network; a graph is recorded only after the first run, which may still allocate."""
        if self._is_recorded:
            self._stream.replay()
            return
        self._execute()
        if self._wants_graph:
            self._stream.wait()
            self._stream.record(self._execute)
            self._is_recorded = True

    def _execute(self) -> None:
        if not self._context.execute_async_v3(self._stream.handle):
            raise BackendUnavailable(f"the engine failed on cuda:{self._stream.index}: {self._reason()}")

    def _free(self) -> None:
        for buffer in self._buffers.values():
            buffer.free()
        self._buffers = {}

    def _is_input(self, name: str) -> bool:
        return bool(self._engine.get_tensor_mode(name) == self._library.TensorIOMode.INPUT)

    def _dtype(self, name: str) -> np.dtype[Any]:
        dtype: np.dtype[Any] = np.dtype(self._library.nptype(self._engine.get_tensor_dtype(name)))
        return dtype

    def _listen(self, severity: str, message: str) -> None:
        if severity in ("ERROR", "INTERNAL_ERROR"):
            self._errors.append(" ".join(message.split()))

    def _reason(self) -> str:
        return self._errors[-1] if self._errors else "it gave no reason"
