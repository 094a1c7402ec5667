"""ONNX Runtime, on the CPU or on CUDA."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from dongfeng.backends.base import Array, Backend, Execution, LayerTime, Tensor, label_of, opened
from dongfeng.backends.layer_times import WARM_UP_RUNS, median_times
from dongfeng.backends.registry import not_a_choice
from dongfeng.backends.self_check import three_numbers_onnx, wrong_numbers
from dongfeng.backends.threads import share_of_threads
from dongfeng.errors import BackendUnavailable
from dongfeng.support.exceptions import first_line

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_NODE_TIME = "_kernel_time"  # behind a node's name, in what the profiler writes
_FATAL_ONLY = 4  # what ONNX Runtime would log is in the exceptions we raise
_MEND = "pip uninstall -y onnxruntime onnxruntime-gpu; pip install --no-deps --force-reinstall onnxruntime-gpu"


class OnnxRuntime(Backend):
    """A model file on ONNX Runtime; see `Backend`."""

    name = "onnxruntime"
    prefers_images = False  # its own arithmetic on them takes longer than ours

    def __init__(self, model: Path | bytes, execution: Execution) -> None:
        if (reason := _why_not_here(execution.precision, execution.device)) is not None:
            raise BackendUnavailable(reason)
        self.precision = "fp32" if execution.precision == "auto" else execution.precision
        self.streams = execution.streams
        device = "cpu" if self.precision == "int8" else execution.device
        self._model, self._threads = model, share_of_threads(execution.threads, execution.streams)
        self._session: Any = _open(model, device, self._threads)
        self.device = _device_of(self._session)
        self.inputs: Mapping[str, Tensor] = {value.name: _tensor(value) for value in self._session.get_inputs()}
        self.outputs: Mapping[str, Tensor] = {value.name: _tensor(value) for value in self._session.get_outputs()}
        self.metadata: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def infer(self, inputs: Array, outputs: Sequence[str]) -> dict[str, Array]:
        """Compute several outputs for one input; see `Backend.infer`."""
        session = opened(self._session)
        try:
            results = session.run(list(outputs), {next(iter(self.inputs)): inputs})
        except Exception as error:  # ONNX Runtime's exceptions have no common root but this
            raise BackendUnavailable(f"ONNX Runtime failed on {self.device}: {first_line(error)}") from error
        return dict(zip(outputs, results, strict=True))

    def bind(self, inputs: Array, output: str) -> Callable[[], object]:
        """Prepare a call with its input in place; see `Backend.bind`."""
        from onnxruntime import OrtValue

        session = opened(self._session)
        device, _, number = self.device.partition(":")
        place = (device, int(number or 0))
        result = self.infer(inputs, [output])[output]
        binding = session.io_binding()
        binding.bind_ortvalue_input(next(iter(self.inputs)), OrtValue.ortvalue_from_numpy(inputs, *place))
        held = OrtValue.ortvalue_from_shape_and_type(result.shape, result.dtype.type, *place)
        binding.bind_ortvalue_output(output, held)
        return partial(_run_bound, session, binding)

    def profile(self, inputs: Array, runs: int) -> list[LayerTime] | None:
        """Measure the layers, on the CPU only; see `Backend.profile`."""
        if self.device != "cpu":
            return None
        with tempfile.TemporaryDirectory(prefix="dongfeng-") as folder:
            session = _open(self._model, self.device, self._threads, profile=str(Path(folder) / "profile"))
            for _ in range(WARM_UP_RUNS + runs):
                session.run(None, {next(iter(self.inputs)): inputs})
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        return median_times(_kernel_times(events))

    def close(self) -> None:
        """Free the session; a call that is going on keeps it until it is done."""
        self._session = None

    @staticmethod
    def why_unavailable(precision: str, device: str) -> str | None:
        """Say why this precision and device cannot run here; see `BackendType`."""
        reason = _why_not_here(precision, device)
        if reason is not None or not device.startswith("cuda"):
            return reason
        try:
            _open(three_numbers_onnx(), device, None)  # only a session tells whether there is a GPU
        except BackendUnavailable as error:
            return str(error)
        return None

    @staticmethod
    def check() -> str | None:
        """Compute three numbers; see `BackendType`."""
        return wrong_numbers(OnnxRuntime(three_numbers_onnx(), Execution(device="cpu")))


def _run_bound(session: Any, binding: Any) -> Any:
    """Compute the output of a binding, and return what holds it."""
    session.run_with_iobinding(binding)
    binding.synchronize_outputs()  # CUDA may still be at work
    return binding


def _why_not_here(precision: str, device: str) -> str | None:
    """Say why they cannot run here, as far as can be known without a session."""
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
    with contextlib.suppress(metadata.PackageNotFoundError):
        return all(metadata.version(name) for name in ("onnxruntime", "onnxruntime-gpu"))
    return False


def _open(model: Path | bytes, device: str, threads: int | None, *, profile: str | None = None) -> Any:
    """Open a session on that device, or raise: ONNX Runtime itself would quietly take the CPU.

    With `profile`, it writes what each node takes to a file whose name begins so.
    """
    import onnxruntime

    if device == "auto" and _CUDA in onnxruntime.get_available_providers():
        with contextlib.suppress(BackendUnavailable):
            return _open(model, "cuda", threads)
        device = "cpu"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    if threads is not None:
        options.intra_op_num_threads = threads
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, profile
    providers: list[Any] = [_CPU]
    if device.startswith("cuda"):
        _preload_cuda(onnxruntime)
        providers.insert(0, (_CUDA, {"device_id": device.partition(":")[2] or "0", "use_tf32": "0"}))
    source = model if isinstance(model, bytes) else str(model)
    try:
        session = onnxruntime.InferenceSession(source, options, providers=providers, enable_fallback=0)
    except Exception as error:  # ONNX Runtime's exceptions have no common root but this
        raise BackendUnavailable(f"{label_of(model)}: ONNX Runtime cannot load it: {first_line(error)}") from error
    if device.startswith("cuda") and session.get_providers()[0] != _CUDA:
        raise BackendUnavailable(
            f'device "{device}": ONNX Runtime could not start CUDA and offers {", ".join(session.get_providers())}; '
            "check the GPU's driver (nvidia-smi) and that CUDA and cuDNN are those this onnxruntime-gpu was built for"
        )
    return session


def _preload_cuda(onnxruntime: Any) -> None:
    """Load CUDA from pip's nvidia packages, where there are any; what it prints of missing ones is dropped."""
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


def _kernel_times(events: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, float]]:
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_NODE_TIME):
            yield event["name"].removesuffix(_NODE_TIME), event["args"].get("op_name", ""), 1e-3 * event["dur"]
