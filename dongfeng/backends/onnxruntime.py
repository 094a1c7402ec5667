"""ONNX Runtime, on the CPU or on CUDA."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from dongfeng.backends.base import Array, Execution, Float, Tensor
from dongfeng.backends.registry import not_a_choice
from dongfeng.backends.threads import share_of_threads
from dongfeng.errors import BackendUnavailable

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_FATAL_ONLY = 4  # what ONNX Runtime would log is in the exceptions we raise
_MEND = "pip uninstall -y onnxruntime onnxruntime-gpu; pip install --no-deps --force-reinstall onnxruntime-gpu"


class OnnxRuntime:
    """A model file on ONNX Runtime; see `Backend`."""

    name = "onnxruntime"
    prefers_images = False  # its own arithmetic on them takes longer than ours

    def __init__(self, model: Path | bytes, execution: Execution) -> None:
        if (reason := _why_not_here(execution.precision, execution.device)) is not None:
            raise BackendUnavailable(reason)
        self.precision = "fp32" if execution.precision == "auto" else execution.precision
        self.streams = execution.streams
        device = "cpu" if self.precision == "int8" else execution.device
        self._session: Any = _open(model, device, share_of_threads(execution.threads, execution.streams))
        self.device = _device_of(self._session)
        self.inputs: Mapping[str, Tensor] = {value.name: _tensor(value) for value in self._session.get_inputs()}
        self.outputs: Mapping[str, Tensor] = {value.name: _tensor(value) for value in self._session.get_outputs()}
        self.metadata: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, inputs: Array, output: str) -> Float:
        """One output for one input; see `Backend.run`."""
        return np.asarray(self.infer(inputs, [output])[output], np.float32)

    def infer(self, inputs: Array, outputs: Sequence[str]) -> dict[str, Array]:
        """Several outputs for one input; see `Backend.infer`."""
        session = self._session
        if session is None:
            raise BackendUnavailable("this model is closed; load it again")
        try:
            results = session.run(list(outputs), {next(iter(self.inputs)): inputs})
        except Exception as error:  # ONNX Runtime's exceptions have no common root but this
            raise BackendUnavailable(f"ONNX Runtime failed on {self.device}: {_first_line(error)}") from error
        return dict(zip(outputs, results, strict=True))

    def close(self) -> None:
        """Free the session; a call that is going on keeps it until it is done."""
        self._session = None

    @staticmethod
    def why_unavailable(precision: str, device: str) -> str | None:
        """Why this precision and device cannot run here; see `BackendType`."""
        reason = _why_not_here(precision, device)
        if reason is not None or not device.startswith("cuda"):
            return reason
        try:
            _open(_three_numbers(), device, None)  # only a session tells whether there is a GPU
        except BackendUnavailable as error:
            return str(error)
        return None

    @staticmethod
    def check() -> str | None:
        """Compute three numbers; see `BackendType`."""
        from dongfeng.backends.self_check import wrong_numbers

        return wrong_numbers(OnnxRuntime(_three_numbers(), Execution(device="cpu")))


def _why_not_here(precision: str, device: str) -> str | None:
    """What can be told without a session."""
    import onnxruntime

    if (reason := not_a_choice(precision, device)) is not None:
        return reason
    if precision in ("fp16", "bf16"):
        return f'backend "onnxruntime" computes in fp32 or int8; for {precision} use another backend'
    if precision == "int8" and device.startswith("cuda"):
        return f'backend "onnxruntime" computes int8 on the CPU; for device "{device}" use precision="fp32"'
    if not device.startswith("cuda") or _CUDA in onnxruntime.get_available_providers():
        return None
    if _both_installed():
        return f"onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files; run: {_MEND}"
    return (
        f'device "{device}": this onnxruntime {onnxruntime.__version__} has no CUDA; run: pip install "dongfeng[gpu]"; '
        f"{_MEND} (the two overwrite each other's files)"
    )


def _both_installed() -> bool:
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            return False
    return True


def _open(model: Path | bytes, device: str, threads: int | None) -> Any:
    """A session on that device, or an error: ONNX Runtime itself would quietly take the CPU."""
    import onnxruntime

    if device == "auto" and _CUDA in onnxruntime.get_available_providers():
        with contextlib.suppress(BackendUnavailable):
            return _open(model, "cuda", threads)
        device = "cpu"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    if threads is not None:
        options.intra_op_num_threads = threads
    providers: list[Any] = [_CPU]
    if device.startswith("cuda"):
        _preload_cuda(onnxruntime)
        providers.insert(0, (_CUDA, {"device_id": device.partition(":")[2] or "0", "use_tf32": "0"}))
    source = model if isinstance(model, bytes) else str(model)
    try:
        session = onnxruntime.InferenceSession(source, options, providers=providers, enable_fallback=0)
    except Exception as error:  # ONNX Runtime's exceptions have no common root but this
        what = "the model" if isinstance(model, bytes) else str(model)
        raise BackendUnavailable(f"{what}: ONNX Runtime cannot load it: {_first_line(error)}") from error
    if device.startswith("cuda") and session.get_providers()[0] != _CUDA:
        raise BackendUnavailable(
            f'device "{device}": ONNX Runtime could not start CUDA and offers {", ".join(session.get_providers())}; '
            "check the GPU's driver (nvidia-smi) and that CUDA and cuDNN are those this onnxruntime-gpu was built for"
        )
    return session


def _preload_cuda(onnxruntime: Any) -> None:
    """Load CUDA from pip's nvidia packages, where there are any; it prints what is missing."""
    preload = getattr(onnxruntime, "preload_dlls", None)  # from ONNX Runtime 1.21
    if preload is not None:
        with contextlib.redirect_stdout(io.StringIO()):
            preload()


def _device_of(session: Any) -> str:
    if session.get_providers()[0] != _CUDA:
        return "cpu"
    return f"cuda:{session.get_provider_options()[_CUDA].get('device_id', '0')}"


def _tensor(value: Any) -> Tensor:
    shape = tuple(dim if isinstance(dim, int) else None for dim in value.shape)
    return Tensor(shape, value.type == "tensor(float)")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _three_numbers() -> bytes:
    from dongfeng.backends.self_check import three_numbers
    from dongfeng.formats.onnx import to_onnx

    return to_onnx(three_numbers(), opset=13).SerializeToString()
