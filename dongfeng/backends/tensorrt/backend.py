"""TensorRT and TensorRT-RTX, on CUDA."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dongfeng.backends.base import Array, Execution, Float, LayerTime, Tensor
from dongfeng.backends.registry import not_a_choice
from dongfeng.backends.tensorrt.cuda import Buffer, Stream, why_no_gpu
from dongfeng.backends.tensorrt.engine_cache import engine_of
from dongfeng.backends.tensorrt.engine_file import SUFFIXES, Engine, check_gpu, read_engine
from dongfeng.backends.tensorrt.gpu import compute_capability
from dongfeng.backends.tensorrt.library import TARGETS, how_to_install, import_library, logger
from dongfeng.errors import BackendUnavailable, EngineMismatch, ShapeError

_OLDEST = {"tensorrt_rtx": 7.5, "tensorrt": 5.0}  # GPUs that no version of the library runs on are older


class TensorRtRtx:
    """An engine, or an ONNX model as one, on TensorRT-RTX; see `Backend`.

    Calls from several threads take turns: one alone fills the GPU.
    """

    name = "tensorrt_rtx"
    prefers_images = True
    streams = 1

    def __init__(self, model: Path | bytes, execution: Execution, *, cuda_graph: bool = False) -> None:
        """Threads and streams are of no use to a GPU; `cuda_graph` queues the whole network as one piece of work."""
        precision = execution.precision
        if (reason := self.why_unavailable(precision, execution.device)) is not None:
            raise BackendUnavailable(reason)
        index = _index(execution.device)
        capability = compute_capability(index) or ""
        engine = self._engine(model, precision, capability)
        check_gpu(engine, capability)
        sidecar = engine.sidecar
        self.precision = sidecar.precision if sidecar is not None else "unknown"
        if sidecar is not None and precision not in ("auto", self.precision):
            raise BackendUnavailable(f"{engine.path}: asked for {precision}, the engine computes in {self.precision}")
        self.device = f"cuda:{index}"
        self.metadata: Mapping[str, str] = {} if sidecar is None else dict(sidecar.metadata)
        self._lock = threading.Lock()
        self._session: _Session | None = _Session(import_library(self.name), engine, index, cuda_graph)
        self.inputs: Mapping[str, Tensor] = self._session.tensors(is_input=True)
        self.outputs: Mapping[str, Tensor] = self._session.tensors(is_input=False)

    def run(self, inputs: Array, output: str) -> Float:
        """Compute one output for one input; see `Backend.run`."""
        return np.asarray(self.infer(inputs, [output])[output], np.float32)

    def infer(self, inputs: Array, outputs: Sequence[str]) -> dict[str, Array]:
        """Compute some outputs for one input, each in the engine's own type: only those are copied back.

        Args:
            inputs: In the engine's type and shape; for an engine with images as input, (N, H, W, 3) uint8.
            outputs: Their names.

        Raises:
            BackendUnavailable: the backend is closed, or it fails.
            ShapeError: the engine does not take that shape.
        """
        with self._lock:
            return self._opened().run(inputs, outputs)

    def bind(self, inputs: Array, output: str) -> Callable[[], object]:
        """Prepare a call that only enqueues and waits, and gives the output's memory; see `Backend.bind`.

        The memory is that of `run`: an input of the same shape that `run` gets takes this one's place, and one of
        another shape ends the binding.
        """
        with self._lock:
            return partial(self._run_placed, self._opened().place(inputs), output)

    def _run_placed(self, buffers: Mapping[str, Buffer], output: str) -> Buffer:
        with self._lock:
            self._opened().run_placed(buffers)
        return buffers[output]

    def profile(self, inputs: Array, runs: int) -> list[LayerTime] | None:
        """Return None: only trtexec's profiler is known, see `tensorrt.trtexec`."""

    def close(self) -> None:
        """Free the engine and its memory; a call that is going on is finished first."""
        with self._lock:
            session, self._session = self._session, None
            if session is not None:
                session.close()

    def _opened(self) -> _Session:
        if self._session is None:
            raise BackendUnavailable("this model is closed; load it again")
        return self._session

    @classmethod
    def why_unavailable(cls, precision: str, device: str) -> str | None:
        """Say why this precision and device cannot run here; see `BackendType`."""
        if (reason := not_a_choice(precision, device)) is not None:
            return reason
        if device == "cpu":
            return f'backend "{cls.name}" runs on CUDA; for device "cpu" use backend="onnxruntime"'
        if precision == "bf16":
            return f'backend "{cls.name}" computes in fp32, fp16 or int8, not in bf16'
        try:
            import_library(cls.name)
        except BackendUnavailable as error:
            return str(error)
        index = _index(device)
        if (reason := why_no_gpu(index, how_to_install(cls.name))) is not None:
            return f'backend "{cls.name}": {reason}'
        capability = compute_capability(index)
        if capability is None or float(capability) < _OLDEST[cls.name]:
            return (
                f'backend "{cls.name}": the GPU has compute capability {capability}; {TARGETS[cls.name]} needs '
                f"{_OLDEST[cls.name]} or later"
            )
        return None

    @classmethod
    def check(cls) -> str | None:
        """Compute three numbers; see `BackendType`."""
        if (reason := cls.why_unavailable("fp32", "auto")) is not None:
            return reason
        from dongfeng.backends.self_check import three_numbers, wrong_numbers
        from dongfeng.formats.onnx import to_onnx

        backend = cls(to_onnx(three_numbers(), opset=13).SerializeToString(), Execution(precision="fp32"))
        try:
            return wrong_numbers(backend)
        finally:
            backend.close()

    def _engine(self, model: Path | bytes, precision: str, capability: str) -> Engine:
        """The engine of what was given: one that is checked already, a file of one, or an ONNX model."""
        if isinstance(model, Engine):
            return model
        if isinstance(model, Path) and model.suffix in SUFFIXES:
            return read_engine(model, backend=self.name)
        asked = "fp32" if precision == "auto" else precision
        return engine_of(model, target=self.name, precision=asked, capability=capability)


class TensorRt(TensorRtRtx):
    """The same on TensorRT; see `Backend`."""

    name = "tensorrt"


class _Session:
    """An engine on its GPU, and the memory of its inputs and outputs."""

    def __init__(self, library: Any, engine: Engine, index: int, cuda_graph: bool) -> None:
        self._library, self._wants_graph = library, cuda_graph
        self._said: list[str] = []
        self._logger = logger(library, self._listen)
        self._stream = Stream(index)
        self._runtime: Any = library.Runtime(self._logger)
        self._engine: Any = self._runtime.deserialize_cuda_engine(bytes(engine))
        self._context: Any = self._engine and self._engine.create_execution_context()
        if self._context is None:
            self._stream.close()
            raise EngineMismatch(f"{engine.path}: {TARGETS[engine.target]} cannot load it: {self._reason()}")
        self._names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        self._buffers: dict[str, Buffer] = {}
        self._is_recorded = False

    def tensors(self, *, is_input: bool) -> dict[str, Tensor]:
        """Name, shape and type of the inputs, or of the outputs."""
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

    def place(self, inputs: Array) -> Mapping[str, Buffer]:
        """Copy an input to the GPU; the memory of all inputs and outputs, for `run_placed`."""
        self._place(inputs)
        self._stream.wait()
        return self._buffers

    def run_placed(self, buffers: Mapping[str, Buffer]) -> None:
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
        """Give everything back."""
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
        """Memory for inputs of another shape."""
        self._stream.forget()
        self._is_recorded = False
        self._free()
        fixed = tuple(self._engine.get_tensor_shape(name))
        fits = len(fixed) == len(shape) and all(a in (-1, b) for a, b in zip(fixed, shape, strict=True))
        if not fits or not self._context.set_input_shape(name, shape):
            raise ShapeError(f'the engine takes "{name}" as {fixed}, not {shape}{self._profile(name, fixed)}')
        try:
            for tensor in self._names:
                buffer = Buffer(self._stream, tuple(self._context.get_tensor_shape(tensor)), self._dtype(tensor))
                self._buffers[tensor] = buffer
                self._context.set_tensor_address(tensor, buffer.device)
        except BackendUnavailable:
            self._free()  # all of them or none: the next call begins anew
            raise

    def _profile(self, name: str, shape: tuple[int, ...]) -> str:
        """How large a dynamic batch may be."""
        if -1 not in shape:
            return ""
        least, _, most = self._engine.get_tensor_profile_shape(name, 0)
        return f"; the batch may be {least[0]} to {most[0]}"

    def _enqueue(self) -> None:
        """Queue the network; where a graph is wanted it is recorded behind the first run, which may still allocate."""
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
        kind: np.dtype[Any] = np.dtype(self._library.nptype(self._engine.get_tensor_dtype(name)))
        return kind

    def _listen(self, severity: str, message: str) -> None:
        if severity in ("ERROR", "INTERNAL_ERROR"):
            self._said.append(" ".join(message.split()))

    def _reason(self) -> str:
        return self._said[-1] if self._said else "it gave no reason"


def _index(device: str) -> int:
    return int(device.partition(":")[2] or 0)
