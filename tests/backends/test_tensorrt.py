"""Engine files are refused for what is wrong with them, and the backends work up to the GPU.

There is no GPU here: whatever would ask one is done by stand-ins, for CUDA's calls and for the engine, which are named
so. The files, their checks and the library that reads the plan's header are the real ones.
"""

from __future__ import annotations

import ctypes
import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

import dongfeng
from dongfeng.backends.base import Execution
from dongfeng.backends.self_check import three_numbers, wrong_numbers
from dongfeng.backends.tensorrt import Sidecar, build_engine, cuda, engine_cache, gpu, read_sidecar, sidecar_path
from dongfeng.backends.tensorrt import backend as tensorrt
from dongfeng.backends.tensorrt.backend import TensorRt, TensorRtRtx
from dongfeng.backends.tensorrt.engine_file import Engine, check_gpu, read_engine
from dongfeng.errors import BackendUnavailable, ConversionError, EngineMismatch, ShapeError, UnknownModel
from dongfeng.formats.onnx import to_onnx
from dongfeng.net.preprocessing import Preprocessing
from dongfeng.net.random_weights import random_weights
from tests.nets import data, layer, read_text

pytest.importorskip("tensorrt_rtx")
cudart = pytest.importorskip("cuda.bindings.runtime")

NET = data(1, 3, 8, 8) + layer(
    "out", "Convolution", "data", "out", "convolution_param { num_output: 4 kernel_size: 1 }"
)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Engines that several tests take copies of."""
    return tmp_path_factory.mktemp("engines")


def taken(shelf: Path, tmp_path: Path, name: str, make: Callable[[], onnx.ModelProto]) -> Path:
    """A copy of an engine, which is built by the first who asks, into the session's cache of hashes."""
    if not (shelf / name).exists():
        build_engine(make(), shelf / name, rebuild="make net.engine")
    for path in (shelf / name, sidecar_path(shelf / name)):
        shutil.copy(path, tmp_path)
    return tmp_path / name


@pytest.fixture
def engine(shelf: Path, tmp_path: Path) -> Path:
    return taken(shelf, tmp_path, "net.engine", lambda: to_onnx(random_weights(read_text(tmp_path, NET), 3)))


def rewrite(path: Path, **changes: object) -> None:
    """Change entries of the sidecar."""
    values = json.loads(sidecar_path(path).read_text())
    sidecar_path(path).write_text(json.dumps({**values, **changes}))


def flipped(plan: bytes, index: int) -> bytes:
    return plan[:index] + bytes([plan[index] ^ 1]) + plan[index + 1 :]


def test_an_engine_built_here_is_read(engine: Path) -> None:
    found = read_engine(engine)
    assert found.content == engine.read_bytes()
    assert (found.path, found.target, found.sidecar) == (engine, "tensorrt_rtx", read_sidecar(engine))


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda plan: plan[:-1], "is cut short: "),
        (lambda plan: plan[:100], "is cut short: 100 bytes, its sidecar says "),
        (lambda plan: plan + b"x", "is too long: "),
        (lambda plan: b"", "is cut short: 0 bytes"),
        (lambda plan: flipped(plan, len(plan) // 2), "its SHA-256 is another"),
        (lambda plan: flipped(plan, len(plan) - 1), "its SHA-256 is another"),
        (lambda plan: b"\x08\x08" + plan[2:], "is no engine"),
        (lambda plan: bytes(len(plan)), "is no engine"),
    ],
    ids=["one byte short", "short", "long", "empty", "bit in the middle", "last bit", "ONNX", "zeros"],
)
def test_a_damaged_engine_is_refused(damage: Callable[[bytes], bytes], words: str, trust: bool, engine: Path) -> None:
    engine.write_bytes(damage(engine.read_bytes()))
    with pytest.raises(EngineMismatch, match=words) as error:
        read_engine(engine, trust=trust)
    assert str(error.value).startswith(f"{engine}: ")
    assert str(error.value).endswith("build it again: make net.engine")


def test_an_engine_of_another_version_is_refused(engine: Path) -> None:
    rewrite(engine, library_version="1.6.0.1")
    with pytest.raises(EngineMismatch, match=r"was built by TensorRT-RTX 1\.6\.0\.1; installed is .*: make net.engine"):
        read_engine(engine)


def test_the_library_itself_reads_the_version_in_the_header(engine: Path, tmp_path: Path) -> None:
    """Of a file without a sidecar: the plan's own bytes say 2.7 where 1.7 built it."""
    plan = engine.read_bytes()
    other = tmp_path / "other.engine"
    other.write_bytes(plan[:24] + b"\x02" + plan[25:])
    with pytest.raises(EngineMismatch, match=r"created with TensorRT-RTX version 2\.\d+\.\d+"):
        read_engine(other, trust=True, backend="tensorrt_rtx")
    other.write_bytes(b"ftrt" + plan[4:])
    with pytest.raises(EngineMismatch, match="header does not conform"):
        read_engine(other, trust=True, backend="tensorrt_rtx")


def test_an_engine_from_elsewhere_needs_trust(engine: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DONGFENG_HOME", str(tmp_path / "another machine"))
    with pytest.raises(EngineMismatch, match=r"was not built on this machine by dongfeng; .* trust=True"):
        read_engine(engine)
    assert read_engine(engine, trust=True).target == "tensorrt_rtx"


def test_an_engine_without_its_sidecar_needs_trust_and_a_backend(engine: Path) -> None:
    sidecar_path(engine).unlink()
    with pytest.raises(EngineMismatch, match="trust=True"):
        read_engine(engine)
    with pytest.raises(EngineMismatch, match=r"net\.engine\.json is not beside it"):
        read_engine(engine, trust=True)
    assert read_engine(engine, trust=True, backend="tensorrt_rtx").sidecar is None


def test_an_engine_for_the_other_library_is_refused(engine: Path) -> None:
    with pytest.raises(EngineMismatch, match='is for backend "tensorrt_rtx", not "tensorrt"'):
        read_engine(engine, backend="tensorrt")
    rewrite(engine, target="tensorrt", library_version="10.9.0")
    with pytest.raises(BackendUnavailable, match=r"needs TensorRT 10\.9\.0, which is not installed; run: pip install"):
        read_engine(engine)


def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="no such file"):
        read_engine(tmp_path / "none.engine")
    with pytest.raises(UnknownModel, match="is a folder"):
        read_engine(tmp_path)


@pytest.mark.parametrize(
    ("changes", "capability", "words"),
    [
        ({}, "8.0", None),
        ({}, "12.0", None),
        ({}, "7.5", r"8\.0 and later; this is 7\.5; .*: make net.engine --compute-capability 7\.5"),
        ({"compute_capabilities": ["8.6", "8.9"]}, "8.9", None),
        ({"compute_capabilities": ["8.6", "8.9"]}, "12.0", r"capability 8\.6, 8\.9; this is 12\.0"),
        ({"target": "tensorrt", "built_on": "8.6"}, "8.6", None),
        ({"target": "tensorrt", "built_on": "8.6"}, "8.9", r"built on a GPU of compute capability 8\.6; this is 8\.9"),
    ],
    ids=str,
)
def test_an_engine_for_other_gpus_is_refused(
    changes: dict[str, Any], capability: str, words: str | None, engine: Path
) -> None:
    sidecar = read_sidecar(engine)
    assert isinstance(sidecar, Sidecar)
    sidecar = replace(sidecar, **changes)
    found = replace(read_engine(engine), sidecar=sidecar, target=sidecar.target)
    if words is None:
        check_gpu(found, capability)
    else:
        with pytest.raises(EngineMismatch, match=words):
            check_gpu(found, capability)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((cudart.cudaError_t.cudaErrorInsufficientDriver, None), "install or update the GPU's driver"),
        ((cudart.cudaError_t.cudaErrorNoDevice, 0), "CUDA finds no GPU here"),
        ((cudart.cudaError_t.cudaSuccess, 0), "CUDA finds no GPU here"),
    ],
    ids=["driver", "no device", "none"],
)
def test_what_is_missing_is_told_in_one_line(
    answer: tuple[Any, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cudart, "cudaGetDeviceCount", lambda: answer)
    reason = TensorRtRtx.why_unavailable("fp32", "auto")
    assert reason is not None
    assert words in reason
    assert "\n" not in reason
    assert TensorRtRtx.check() == reason
    with pytest.raises(BackendUnavailable):
        TensorRtRtx(b"", Execution())


@pytest.mark.parametrize(
    ("precision", "device", "words"),
    [
        ("bf16", "auto", "not in bf16"),
        ("fp32", "cpu", 'use backend="onnxruntime"'),
        ("fp31", "auto", "no precision is called"),
        ("fp32", "tpu", "no device is called"),
    ],
)
def test_what_no_engine_can_is_refused(precision: str, device: str, words: str) -> None:
    assert words in (TensorRtRtx.why_unavailable(precision, device) or "")


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> object:
        raise ModuleNotFoundError

    monkeypatch.setattr(gpu, "import_module", missing)
    reason = TensorRtRtx.why_unavailable("fp32", "auto") or ""
    assert 'cuda-python is not installed; run: pip install "dongfeng[tensorrt-rtx]"' in reason
    monkeypatch.setattr("dongfeng.backends.tensorrt.library.find_spec", lambda _: None)
    assert 'TensorRT is not installed; run: pip install "dongfeng[tensorrt]"' in (
        TensorRt.why_unavailable("fp32", "auto") or ""
    )


def test_load_says_what_is_wrong_with_a_file_before_it_asks_for_a_gpu(engine: Path) -> None:
    with pytest.raises(BackendUnavailable, match='backend "tensorrt_rtx": CUDA'):
        dongfeng.load(engine)
    with pytest.raises(ConversionError, match="an engine holds its weights"):
        dongfeng.load(engine, weights="random")
    with pytest.raises(EngineMismatch, match='not "onnxruntime"'):
        dongfeng.load(engine, backend="onnxruntime")
    engine.write_bytes(engine.read_bytes()[:-1])
    with pytest.raises(EngineMismatch, match="is cut short"):
        dongfeng.load(engine, trust=True)


# --- execution, with stand-ins for CUDA's calls and for the engine


class StandInCuda:
    """CUDA's calls on the host's memory; queued work is done when it is waited for."""

    cudaError_t = cudart.cudaError_t
    cudaMemcpyKind = cudart.cudaMemcpyKind
    cudaStreamCaptureMode = cudart.cudaStreamCaptureMode

    def __init__(self, capability: tuple[int, int] = (8, 6)) -> None:
        self.capability = capability
        self.memory: dict[int, Any] = {}
        self.queue: list[Callable[[], object]] = []
        self.recording: list[Callable[[], object]] | None = None
        self.graphs: list[list[Callable[[], object]]] = []
        self.streams = self.launches = 0
        self.refused = ""  # name of a call that fails

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("cuda") and name == object.__getattribute__(self, "refused"):
            return lambda *_: (cudart.cudaError_t.cudaErrorMemoryAllocation,)
        return object.__getattribute__(self, name)

    def put(self, work: Callable[[], object]) -> None:
        (self.queue if self.recording is None else self.recording).append(work)

    def cudaGetDeviceCount(self) -> tuple[int, int]:
        return 0, 2

    def cudaGetDeviceProperties(self, _: int) -> tuple[int, SimpleNamespace]:
        return 0, SimpleNamespace(major=self.capability[0], minor=self.capability[1])

    def cudaGetErrorString(self, _: object) -> tuple[int, bytes]:
        return 0, b"out of memory"

    def cudaSetDevice(self, _: int) -> tuple[int]:
        return (0,)

    def cudaStreamCreate(self) -> tuple[int, int]:
        self.streams += 1
        return 0, 77

    def cudaStreamDestroy(self, _: int) -> tuple[int]:
        self.streams -= 1
        return (0,)

    def cudaMalloc(self, size: int) -> tuple[int, int]:
        block = (ctypes.c_byte * size)()
        self.memory[ctypes.addressof(block)] = block
        return 0, ctypes.addressof(block)

    cudaMallocHost = cudaMalloc

    def cudaFree(self, address: int) -> tuple[int]:
        del self.memory[address]
        return (0,)

    cudaFreeHost = cudaFree

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: object, stream: int) -> tuple[int]:
        assert kind in (cudart.cudaMemcpyKind.cudaMemcpyHostToDevice, cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost)
        assert stream == 77
        self.put(lambda: ctypes.memmove(target, source, size))
        return (0,)

    def cudaStreamSynchronize(self, _: int) -> tuple[int]:
        work, self.queue = self.queue, []
        for step in work:
            step()
        return (0,)

    def cudaStreamBeginCapture(self, _: int, mode: object) -> tuple[int]:
        assert not self.queue
        self.recording = []
        return (0,)

    def cudaStreamEndCapture(self, _: int) -> tuple[int, Any]:
        graph, self.recording = self.recording, None
        return 0, graph

    def cudaGraphInstantiate(self, graph: Any, _: int) -> tuple[int, Any]:
        self.graphs.append(graph)
        return 0, graph

    def cudaGraphLaunch(self, graph: Any, _: int) -> tuple[int]:
        self.launches += 1
        self.queue += graph
        return (0,)

    def cudaGraphDestroy(self, _: object) -> tuple[int]:
        return (0,)

    def cudaGraphExecDestroy(self, graph: object) -> tuple[int]:
        self.graphs.remove(graph)
        return (0,)


class StandInLibrary:
    """Loads any plan as an engine that computes y = 2 x + 1, as `three_numbers` does."""

    TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")
    nptype = staticmethod(lambda kind: kind)

    def __init__(self, cuda_: StandInCuda) -> None:
        self.ILogger = type("ILogger", (), {"__init__": lambda _: None})
        self.engine = StandInEngine(cuda_)
        self.loads = True

    def Runtime(self, logger: Any) -> SimpleNamespace:
        def load(_: bytes) -> StandInEngine | None:
            if not self.loads:
                logger.log(SimpleNamespace(name="ERROR"), "the plan\nis odd")
            return self.engine if self.loads else None

        return SimpleNamespace(deserialize_cuda_engine=load)


class StandInEngine:
    """For one batch of three numbers, or a dynamic one of 1 to 4."""

    num_io_tensors = 2

    def __init__(self, cuda_: StandInCuda) -> None:
        self.cuda, self.batch = cuda_, 1

    def get_tensor_name(self, index: int) -> str:
        return ("x", "y")[index]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == "x" else "out"

    def get_tensor_dtype(self, _: str) -> type:
        return np.float32

    def get_tensor_shape(self, _: str) -> tuple[int, ...]:
        return (self.batch, 3, 1, 1)

    def get_tensor_profile_shape(self, _: str, __: int) -> list[tuple[int, ...]]:
        return [(1, 3, 1, 1), (2, 3, 1, 1), (4, 3, 1, 1)]

    def create_execution_context(self) -> StandInContext:
        return StandInContext(self.cuda)


class StandInContext:
    def __init__(self, cuda_: StandInCuda) -> None:
        self.cuda = cuda_
        self.addresses: dict[str, int] = {}
        self.shape: tuple[int, ...] = ()

    def get_tensor_shape(self, _: str) -> tuple[int, ...]:
        return self.shape

    def set_input_shape(self, _: str, shape: tuple[int, ...]) -> bool:
        if shape[0] > 4:
            return False
        self.shape = shape
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 77
        addresses, count = dict(self.addresses), int(np.prod(self.shape))

        def work() -> None:
            x, y = (np.ctypeslib.as_array((ctypes.c_float * count).from_address(addresses[name])) for name in "xy")
            y[:] = 2 * x + 1

        self.cuda.put(work)
        return True


class StandIn:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cuda = StandInCuda()
        self.library = StandInLibrary(self.cuda)
        for module in (gpu, cuda):
            monkeypatch.setattr(module, "cuda_runtime", lambda: self.cuda)
        monkeypatch.setattr(tensorrt, "import_library", lambda _: self.library)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    return StandIn(monkeypatch)


def test_the_stand_in_has_only_calls_that_cuda_has() -> None:
    calls = [name for name in vars(StandInCuda) if name.startswith("cuda")]
    assert len(calls) > 15
    assert all(hasattr(cudart, name) for name in calls)


@pytest.fixture
def numbers(shelf: Path, tmp_path: Path) -> Engine:
    """A real engine of `three_numbers`, for the stand-in to compute."""
    return read_engine(taken(shelf, tmp_path, "numbers.engine", lambda: to_onnx(three_numbers())))


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_the_backend_runs_and_gives_back_what_it_took(cuda_graph: bool, stand_in: StandIn, numbers: Engine) -> None:
    backend = TensorRtRtx(numbers, Execution(), cuda_graph=cuda_graph)
    assert (backend.name, backend.device, backend.precision) == ("tensorrt_rtx", "cuda:0", "fp32")
    assert backend.inputs["x"] == ((1, 3, 1, 1), True)
    assert backend.outputs["y"] == ((1, 3, 1, 1), True)
    for _ in range(3):
        assert wrong_numbers(backend) is None
    assert stand_in.cuda.launches == (2 if cuda_graph else 0)
    assert len(stand_in.cuda.memory) == 4  # two arrays, here and there
    backend.close()
    backend.close()
    assert (stand_in.cuda.memory, stand_in.cuda.graphs, stand_in.cuda.streams) == ({}, [], 0)
    with pytest.raises(BackendUnavailable, match="closed"):
        backend.run(np.zeros((1, 3, 1, 1), np.float32), "y")


def test_what_comes_back_is_not_overwritten_by_the_next_call(stand_in: StandIn, numbers: Engine) -> None:
    backend = TensorRtRtx(numbers, Execution())
    first = backend.run(np.full((1, 3, 1, 1), 1, np.float32), "y")
    backend.run(np.full((1, 3, 1, 1), 5, np.float32), "y")
    assert first.ravel().tolist() == [3, 3, 3]


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_another_batch_takes_other_memory(cuda_graph: bool, stand_in: StandIn, numbers: Engine) -> None:
    stand_in.library.engine.batch = -1
    backend = TensorRtRtx(numbers, Execution(), cuda_graph=cuda_graph)
    assert backend.inputs["x"].shape == (None, 3, 1, 1)
    for count in (1, 3, 3, 2):
        x = np.arange(3 * count, dtype=np.float32).reshape(count, 3, 1, 1)
        np.testing.assert_array_equal(backend.run(x, "y"), 2 * x + 1)
        assert len(stand_in.cuda.memory) == 4
    with pytest.raises(ShapeError, match="the batch may be 1 to 4"):
        backend.run(np.zeros((9, 3, 1, 1), np.float32), "y")
    with pytest.raises(ShapeError, match=r"not \(1, 3, 2, 1\)"):
        backend.run(np.zeros((1, 3, 2, 1), np.float32), "y")
    with pytest.raises(ShapeError, match='takes "x" as float32, not float64'):
        backend.infer(np.zeros((1, 3, 1, 1)), ["y"])
    assert wrong_numbers(backend) is None
    backend.close()
    assert stand_in.cuda.memory == {}


def test_calls_from_several_threads_take_turns(stand_in: StandIn, numbers: Engine) -> None:
    backend = TensorRtRtx(numbers, Execution())
    wrong: list[float] = []

    def work(value: float) -> None:
        for _ in range(50):
            got = backend.run(np.full((1, 3, 1, 1), value, np.float32), "y")
            wrong.extend(got[got != 2 * value + 1].tolist())

    threads = [threading.Thread(target=work, args=(float(index),)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_the_bound_call_copies_nothing(cuda_graph: bool, stand_in: StandIn, numbers: Engine) -> None:
    stand_in.library.engine.batch = -1
    backend = TensorRtRtx(numbers, Execution(), cuda_graph=cuda_graph)
    call = backend.bind(np.full((1, 3, 1, 1), 4, np.float32), "y")
    stand_in.cuda.refused = "cudaMemcpyAsync"
    for _ in range(3):
        held = call()
    stand_in.cuda.refused = ""
    assert (ctypes.c_float * 3).from_address(held.device)[:] == [9, 9, 9]
    assert backend.profile(np.zeros((1, 3, 1, 1), np.float32), 1) is None
    backend.run(np.zeros((2, 3, 1, 1), np.float32), "y")
    with pytest.raises(BackendUnavailable, match="bind its input again"):
        call()
    backend.close()
    with pytest.raises(BackendUnavailable, match="closed"):
        call()


@pytest.mark.parametrize("call", ["cudaMalloc", "cudaMallocHost", "cudaMemcpyAsync", "cudaStreamSynchronize"])
def test_a_call_that_fails_is_told(call: str, stand_in: StandIn, numbers: Engine) -> None:
    backend = TensorRtRtx(numbers, Execution())
    stand_in.cuda.refused = call
    with pytest.raises(BackendUnavailable, match=rf'device "cuda:0": {call} failed: out of memory'):
        backend.run(np.zeros((1, 3, 1, 1), np.float32), "y")
    stand_in.cuda.refused = ""
    stand_in.cuda.queue.clear()
    assert wrong_numbers(backend) is None
    backend.close()
    assert stand_in.cuda.memory == {}


def test_an_engine_that_the_library_refuses_is_told(stand_in: StandIn, numbers: Engine) -> None:
    stand_in.library.loads = False
    with pytest.raises(EngineMismatch, match=r"numbers\.engine: TensorRT-RTX cannot load it: the plan is odd"):
        TensorRtRtx(numbers, Execution())
    assert stand_in.cuda.streams == 0


def test_another_precision_than_the_engines_is_refused(stand_in: StandIn, numbers: Engine) -> None:
    with pytest.raises(BackendUnavailable, match="asked for fp16, the engine computes in fp32"):
        TensorRtRtx(numbers, Execution(precision="fp16"))


@pytest.mark.parametrize(
    ("capability", "device", "words"),
    [((7, 0), "auto", r"compute capability 7\.0; TensorRT-RTX needs 7\.5"), ((8, 6), "cuda:5", "the last of 2")],
)
def test_a_gpu_that_will_not_do_is_told(
    capability: tuple[int, int], device: str, words: str, stand_in: StandIn, numbers: Engine
) -> None:
    stand_in.cuda.capability = capability
    with pytest.raises(BackendUnavailable, match=words):
        TensorRtRtx(numbers, Execution(device=device))


def test_an_engine_for_another_gpu_is_not_loaded(stand_in: StandIn, numbers: Engine) -> None:
    stand_in.cuda.capability = (7, 5)
    with pytest.raises(EngineMismatch, match=r"8\.0 and later; this is 7\.5"):
        TensorRtRtx(numbers, Execution())


def test_an_onnx_model_becomes_an_engine_once(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine is a real one, built by the real library; the stand-in runs it."""
    monkeypatch.setenv("DONGFENG_HOME", str(tmp_path / "home"))
    built: list[Path] = []

    def build(*arguments: Any, **options: Any) -> object:
        built.append(arguments[1])
        return build_engine(*arguments, **options)

    monkeypatch.setattr(engine_cache, "build_engine", build)
    content = to_onnx(three_numbers(), opset=13).SerializeToString()
    for _ in range(2):
        assert wrong_numbers(TensorRtRtx(content, Execution(precision="fp16"))) is None
    assert len(built) == 1
    assert built[0].parent == tmp_path / "home/engines"
    built[0].write_bytes(b"damaged")
    backend = TensorRtRtx(content, Execution(precision="fp16"))
    assert (len(built), backend.precision) == (2, "fp16")


def test_a_cache_that_cannot_be_written_only_costs_the_build(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DONGFENG_HOME", str(tmp_path / "file"))
    content = to_onnx(three_numbers(), opset=13).SerializeToString()
    assert wrong_numbers(TensorRtRtx(content, Execution(precision="fp16"))) is None


def test_a_model_loaded_on_the_gpu_gives_a_result(stand_in: StandIn, tmp_path: Path) -> None:
    """A classifier of one pixel: the engine is a real one, what runs it a stand-in that knows its three numbers."""
    net = replace(three_numbers(), preprocessing=Preprocessing((0.0, 0.0, 0.0), 1.0))
    path = build_engine(to_onnx(net), tmp_path / "tiny.engine", precision="fp16").path
    with dongfeng.load(path, task="classification") as model:
        assert (model.backend, model.precision, model.device) == ("tensorrt_rtx", "fp16", "cuda:0")
        result = model(np.array([[[1, 2, 3]]], np.uint8))
        assert result.logits.tolist() == [3, 5, 7]
        assert [found.logits.tolist() for found in model([np.zeros((1, 1, 3), np.uint8)] * 3)] == [[1, 1, 1]] * 3
