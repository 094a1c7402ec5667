"""TensorRT and TensorRT-RTX, on CUDA."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from dongfeng.backends.base import Array, Backend, Execution, Tensor, opened
from dongfeng.backends.registry import not_a_choice
from dongfeng.backends.self_check import three_numbers_onnx, wrong_numbers
from dongfeng.backends.tensorrt.cuda import CudaBuffer, why_no_gpu
from dongfeng.backends.tensorrt.engine_cache import engine_of
from dongfeng.backends.tensorrt.engine_file import SUFFIXES, Engine, check_gpu, read_engine
from dongfeng.backends.tensorrt.gpu import compute_capability
from dongfeng.backends.tensorrt.library import TARGETS, how_to_install, import_library
from dongfeng.backends.tensorrt.session import EngineSession
from dongfeng.errors import BackendUnavailable

_OLDEST = {"tensorrt_rtx": 7.5, "tensorrt": 5.0}  # compute capability that some version of the library runs on


class TensorRtRtx(Backend):
    """An engine, or an ONNX model as one, on TensorRT-RTX; see `Backend`.

    Calls from several threads wait for each other: one alone fills the GPU. Only trtexec's profiler is known, see
    `tensorrt.trtexec`.
    """

    name = "tensorrt_rtx"
    prefers_images = True
    streams = 1

    def __init__(self, model: Path | bytes | Engine, execution: Execution, *, cuda_graph: bool = False) -> None:
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
        self._session: EngineSession | None = EngineSession(import_library(self.name), engine, index, cuda_graph)
        self.inputs: Mapping[str, Tensor] = self._session.tensors(is_input=True)
        self.outputs: Mapping[str, Tensor] = self._session.tensors(is_input=False)

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
            return opened(self._session).run(inputs, outputs)

    def bind(self, inputs: Array, output: str) -> Callable[[], object]:
        """Prepare a call that only enqueues and waits, and gives the output's memory; see `Backend.bind`.

        The memory is that of `run`: an input of the same shape that `run` gets takes this one's place, and one of
        another shape ends the binding.
        """
        with self._lock:
            return partial(self._run_placed, opened(self._session).place(inputs), output)

    def _run_placed(self, buffers: Mapping[str, CudaBuffer], output: str) -> CudaBuffer:
        with self._lock:
            opened(self._session).run_placed(buffers)
        return buffers[output]

    def close(self) -> None:
        """Free the engine and its memory; a call that is going on is finished first."""
        with self._lock:
            session, self._session = self._session, None
            if session is not None:
                session.close()

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
        backend = cls(three_numbers_onnx(), Execution(precision="fp32"))
        try:
            return wrong_numbers(backend)
        finally:
            backend.close()

    def _engine(self, model: Path | bytes | Engine, precision: str, capability: str) -> Engine:
        """Return the engine of a model: itself where it is checked already, read from its file, or built from ONNX."""
        if isinstance(model, Engine):
            return model
        if isinstance(model, Path) and model.suffix in SUFFIXES:
            return read_engine(model, backend=self.name)
        asked = "fp32" if precision == "auto" else precision
        return engine_of(model, target=self.name, precision=asked, capability=capability)


class TensorRt(TensorRtRtx):
    """The same on TensorRT; see `Backend`."""

    name = "tensorrt"


def open_engine(engine: Engine, execution: Execution) -> TensorRtRtx:
    """Open an engine file on the backend that it is for.

    Raises:
        BackendUnavailable: that cannot run here.
        EngineMismatch: the engine is for another GPU.
    """
    return (TensorRt if engine.target == TensorRt.name else TensorRtRtx)(engine, execution)


def _index(device: str) -> int:
    return int(device.partition(":")[2] or 0)
