"""Where a backend spends its time: its own profiler, in a run of its own, for profiling slows the whole."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dongfeng.bench.contestant import Contestant

_RUNS = 10
_WARM_UP = 3
_NODE_TIME = "_kernel_time"


@dataclass(frozen=True)
class ProfiledLayer:
    """A layer as the backend runs it.

    Attributes:
        layer: Its name.
        operation: What it does, in the backend's words.
        ms: Median over the runs, in milliseconds.
    """

    layer: str
    operation: str
    ms: float


def profile_layers(each: Contestant, threads: int) -> list[ProfiledLayer] | None:
    """The layers of a contestant in the order they ran; None for backends without a profiler.

    Args:
        each: The contestant; its file is opened once more.
        threads: Threads of the CPU.
    """
    profilers = {"onnxruntime": _onnxruntime, "openvino": _openvino}
    profile = profilers.get(each.entry.backend)
    if profile is None or each.model.device != "cpu":
        return None
    return profile(each, threads)


def _onnxruntime(each: Contestant, threads: int) -> list[ProfiledLayer]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.enable_profiling = True
    with tempfile.TemporaryDirectory(prefix="dongfeng-") as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(each.content(), options, providers=["CPUExecutionProvider"])
        feeds = {session.get_inputs()[0].name: _zeros(each)}
        for _ in range(_WARM_UP + _RUNS):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    nodes = [event for event in events if event.get("cat") == "Node" and event["name"].endswith(_NODE_TIME)]
    return _medians(
        (event["name"].removesuffix(_NODE_TIME), event["args"].get("op_name", ""), 1e-3 * event["dur"])
        for event in nodes
    )


def _openvino(each: Contestant, threads: int) -> list[ProfiledLayer]:
    import openvino

    core = openvino.Core()
    hint = {"fp32": "f32"}.get(each.entry.precision, "bf16" if _has_bf16(core) else "f32")
    options = {"PERF_COUNT": True, "INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads}
    compiled = core.compile_model(core.read_model(each.content()), "CPU", {**options, "NUM_STREAMS": 1})
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(_zeros(each)))
    return _medians(_openvino_events(request.infer, request))


def _openvino_events(run: Callable[[], object], request: Any) -> Iterable[tuple[str, str, float]]:
    for _ in range(_WARM_UP + _RUNS):
        run()
        for info in request.get_profiling_info():
            if info.status == info.Status.EXECUTED:
                yield info.node_name, info.exec_type, 1e3 * info.real_time.total_seconds()


def _has_bf16(core: Any) -> bool:
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _zeros(each: Contestant) -> npt.NDArray[Any]:
    return each.model.network_input(np.zeros((*each.entry.size_hw, 3), np.uint8))


def _medians(events: Iterable[tuple[str, str, float]]) -> list[ProfiledLayer]:
    """One line per layer of (name, operation, milliseconds), the first runs left out."""
    times: dict[tuple[str, str], list[float]] = {}
    for name, operation, ms in events:
        times.setdefault((name, operation), []).append(ms)
    return [ProfiledLayer(*key, statistics.median(found[_WARM_UP:] or found)) for key, found in times.items()]
