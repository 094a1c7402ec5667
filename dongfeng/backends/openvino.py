"""OpenVINO, on the CPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dongfeng.backends.base import Array, Backend, Execution, LayerTime, Tensor, label_of, opened
from dongfeng.backends.layer_times import WARM_UP_RUNS, median_times
from dongfeng.backends.registry import not_a_choice, on_cpu_only
from dongfeng.backends.self_check import three_numbers_onnx, wrong_numbers
from dongfeng.backends.threads import cpu_count
from dongfeng.errors import BackendUnavailable
from dongfeng.support.exceptions import first_line

_HINTS = {"fp32": "f32", "bf16": "bf16"}
_PRECISIONS = {"u8": "int8", "i8": "int8", "f16": "fp16", "bf16": "bf16", "f32": "fp32"}  # the lowest first
_MATRIX_TYPES = {"Convolution", "Deconvolution", "FullyConnected", "MatMul"}
_RESULT_SUFFIX = "/sink_port_0"


class OpenVino(Backend):
    """An ONNX model on OpenVINO; see `Backend`.

    With one stream, calls from several threads wait for each other: each has all threads of the CPU. What a quantized
    model leaves in float is computed in bf16 on a CPU that has it.
    """

    name = "openvino"
    prefers_images = False  # a little quicker, but 2026.4 then computes fully connected layers in less than fp32
    device = "cpu"

    def __init__(self, model: Path | bytes, execution: Execution) -> None:
        precision = "fp32" if execution.precision == "auto" else execution.precision
        if (reason := self.why_unavailable(precision, execution.device)) is not None:
            raise BackendUnavailable(reason)
        self._compile = partial(_compile, model, precision, execution.threads, execution.streams)
        graph, compiled = self._compile()
        self.streams = execution.streams
        self.precision = _precision_of(compiled)
        if self.precision != precision:
            raise BackendUnavailable(
                f"{label_of(model)}: asked for {precision}, OpenVINO would compute it in {self.precision}"
            )
        self.inputs: Mapping[str, Tensor] = {_name(port): _tensor(port) for port in graph.inputs}
        self.outputs: Mapping[str, Tensor] = {_name(port): _tensor(port) for port in graph.outputs}
        self.metadata: Mapping[str, str] = _metadata_of(graph)
        self._compiled: Any = compiled
        self._idle: deque[Any] = deque()  # infer requests that no call uses; each holds its buffers

    def infer(self, inputs: Array, outputs: Sequence[str]) -> dict[str, Array]:
        """Compute several outputs for one input; see `Backend.infer`."""
        compiled, idle = opened(self._compiled), self._idle
        array = np.ascontiguousarray(inputs)
        try:
            request = idle.pop()
        except IndexError:
            request = compiled.create_infer_request()
        try:
            _place(request, array)
            request.infer(share_outputs=True)
            results = {name: np.array(request.get_tensor(name).data) for name in outputs}  # the buffers are its own
        except Exception as error:  # OpenVINO raises RuntimeError and classes of its own
            raise BackendUnavailable(f"OpenVINO failed on the CPU: {first_line(error)}") from error
        idle.append(request)
        return results

    def bind(self, inputs: Array, output: str) -> Callable[[], object]:
        """Prepare a call with its input in place; see `Backend.bind`."""
        request = opened(self._compiled).create_infer_request()
        request.get_tensor(output)  # an unknown name is an error here, not in the middle of measuring
        array = np.ascontiguousarray(inputs)
        _place(request, array)
        return partial(_infer_placed, request, array)

    def profile(self, inputs: Array, runs: int) -> list[LayerTime] | None:
        """Measure the layers; see `Backend.profile`."""
        _, compiled = self._compile(is_profiled=True)
        request = compiled.create_infer_request()
        array = np.ascontiguousarray(inputs)
        _place(request, array)
        return median_times(_layer_times(request, WARM_UP_RUNS + runs))

    def close(self) -> None:
        """Free the model; a call that is going on keeps it until it is done."""
        self._compiled = None
        self._idle = deque()

    @staticmethod
    def why_unavailable(precision: str, device: str) -> str | None:
        """Say why this precision and device cannot run here; see `BackendType`."""
        if (reason := not_a_choice(precision, device) or on_cpu_only("openvino", device)) is not None:
            return reason
        try:
            from openvino import Core
        except ImportError as error:
            return f'OpenVINO cannot be imported ({first_line(error)}); run: pip install "dongfeng[openvino]"'
        if precision == "fp16":
            return 'OpenVINO computes in fp32, bf16 or int8 on a CPU; use precision="fp32" or "bf16"'
        if precision == "bf16" and not _has_bf16(Core()):
            return 'this CPU does not compute in bf16 (it has neither AVX-512 BF16 nor AMX); use precision="fp32"'
        return None

    @staticmethod
    def check() -> str | None:
        """Compute three numbers; see `BackendType`."""
        if (reason := OpenVino.why_unavailable("fp32", "cpu")) is not None:
            return reason
        return wrong_numbers(OpenVino(three_numbers_onnx(), Execution()))


def _has_bf16(core: Any) -> bool:
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _compile(
    model: Path | bytes, precision: str, threads: int | None, streams: int, *, is_profiled: bool = False
) -> tuple[Any, Any]:
    """Return the graph as read, and compiled; its own choice of precision on a CPU that has bf16 would be bf16."""
    import openvino

    core = openvino.Core()
    options: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": _HINTS.get(precision, "bf16" if _has_bf16(core) else "f32"),
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": streams,
        "PERF_COUNT": is_profiled,
    }
    if threads is not None or streams > 1:
        options["INFERENCE_NUM_THREADS"] = threads or cpu_count()
    try:
        graph = core.read_model(model if isinstance(model, bytes) else str(model))
        return graph, core.compile_model(graph, "CPU", options)
    except Exception as error:  # OpenVINO raises RuntimeError and classes of its own
        raise BackendUnavailable(f"{label_of(model)}: OpenVINO cannot load it: {first_line(error)}") from error


def _infer_placed(request: Any, _array: Array) -> Any:
    """Compute the outputs of a request whose input is that array, and return them where they are."""
    return request.infer(share_outputs=True)


def _place(request: Any, array: Array) -> None:
    """Make a contiguous array the request's input; the request does not keep it alive."""
    from openvino import Tensor as Data

    request.set_input_tensor(Data(array, shared_memory=True))


def _layer_times(request: Any, runs: int) -> Iterator[tuple[str, str, float]]:
    for _ in range(runs):
        request.infer(share_outputs=True)
        for info in request.get_profiling_info():
            if info.status == info.Status.EXECUTED:
                yield info.node_name, info.exec_type, 1e3 * info.real_time.total_seconds()


def _precision_of(compiled: Any) -> str:
    """Return what the layers that multiply matrices really run in: the lowest, for some may stay in fp32."""
    infos = [operation.get_rt_info() for operation in compiled.get_runtime_model().get_ordered_ops()]
    found = {_value(info["runtimePrecision"]) for info in infos if _value(info["layerType"]) in _MATRIX_TYPES}
    lowest = next((element for element in _PRECISIONS if element in found), None)
    element = lowest or compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    return _PRECISIONS.get(element, element)


def _metadata_of(graph: Any) -> dict[str, str]:
    """Return the metadata of the ONNX file, which OpenVINO keeps under `framework`."""
    info = graph.get_rt_info()
    return {key: str(_value(value)) for key, value in info["framework"].items()} if "framework" in info else {}


def _value(entry: Any) -> Any:
    return getattr(entry, "value", entry)


def _name(port: Any) -> str:
    """Return the name that the file gives; a port that was several values has them all."""
    own = str(port.node.get_friendly_name()).removesuffix(_RESULT_SUFFIX)
    return own if own in port.get_names() else str(port.get_any_name())


def _tensor(port: Any) -> Tensor:
    shape = tuple(dim.get_length() if dim.is_static else None for dim in port.get_partial_shape())
    return Tensor(shape, port.get_element_type().to_string() == "f32")
