from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dongfeng.backends import registry
from dongfeng.backends.base import Execution
from dongfeng.backends.onnxruntime import OnnxRuntime
from dongfeng.backends.registry import BACKENDS, auto_backend, backend_type, check_backends
from dongfeng.backends.threads import share_of_threads, streams_for
from dongfeng.errors import BackendUnavailable

ON_CPU = [name for name in BACKENDS if not name.startswith("tensorrt")]  # those run in test_tensorrt.py


@pytest.mark.parametrize("name", ON_CPU)
def test_every_backend_computes_three_numbers(name):
    assert backend_type(name).check() is None


@pytest.mark.parametrize("name", ON_CPU)
def test_every_backend_runs_a_model(name, onnx_file, ncnn_file):
    weight = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    model = ncnn_file(weight) if name == "ncnn" else onnx_file(weight=weight)
    ready = backend_type(name)(model, Execution(precision="fp32", device="cpu", threads=1))
    assert (ready.name, ready.precision, ready.device) == (name, "fp32", "cpu")
    assert ready.inputs["image"].shape == (1, 3, 8, 16)
    image = np.random.default_rng(0).standard_normal((1, 3, 8, 16)).astype(np.float32)
    np.testing.assert_array_equal(ready.run(image, "scores"), image)
    ready.close()
    ready.close()
    with pytest.raises(BackendUnavailable, match="closed"):
        ready.run(image, "scores")


def test_auto_is_a_backend_that_is_here():
    assert backend_type("auto") is backend_type("onnxruntime")
    assert backend_type("auto", precision="fp32") is backend_type("onnxruntime")


def test_auto_is_the_fastest_installed_for_bf16(monkeypatch):
    installed = {"openvino", "ncnn"}
    monkeypatch.setattr(registry, "find_spec", lambda name: name if name in installed else None)
    assert auto_backend("bf16") == "openvino"
    installed.remove("openvino")
    assert auto_backend("bf16") == "ncnn"
    installed.remove("ncnn")
    with pytest.raises(BackendUnavailable, match=r'run: pip install "dongfeng\[openvino\]"'):
        auto_backend("bf16")


def test_auto_is_the_fastest_installed_for_int8(monkeypatch):
    installed = {"openvino", "onnxruntime"}
    monkeypatch.setattr(registry, "find_spec", lambda name: name if name in installed else None)
    assert auto_backend("int8") == "openvino"
    installed.remove("openvino")
    assert auto_backend("int8") == "onnxruntime"


@pytest.mark.parametrize("name", ["openvino", "ncnn"])
@pytest.mark.parametrize(
    ("precision", "device", "message"),
    [
        ("fp16", "cpu", 'use precision="fp32" or "bf16"'),
        ("fp64", "cpu", 'no precision is called "fp64"'),
        ("fp32", "gpu", 'no device is called "gpu"; there are: auto, cpu, cuda, cuda:N'),
        ("fp32", "cuda", 'runs on the CPU; for device "cuda" use backend="onnxruntime"'),
    ],
)
def test_what_the_others_cannot_run_is_named(name, precision, device, message):
    assert message in str(backend_type(name).why_unavailable(precision, device))
    with pytest.raises(BackendUnavailable, match=message):
        backend_type(name)(b"", Execution(precision=precision, device=device))


def test_ncnn_runs_no_int8():
    assert 'use backend="onnxruntime" or "openvino"' in str(backend_type("ncnn").why_unavailable("int8", "cpu"))


@pytest.mark.parametrize("name", ON_CPU)
def test_streams_share_the_threads_and_change_no_number(name, onnx_file, ncnn_file):
    weight = np.random.default_rng(1).standard_normal((4, 3, 1, 1)).astype(np.float32)
    model = ncnn_file(weight) if name == "ncnn" else onnx_file(weight=weight)
    one, two = (backend_type(name)(model, Execution(device="cpu", threads=2, streams=streams)) for streams in (1, 2))
    assert (one.streams, two.streams) == (1, 2)
    images = np.random.default_rng(0).standard_normal((8, 1, 3, 8, 16)).astype(np.float32)
    expected = [one.run(image, "scores") for image in images]
    with ThreadPoolExecutor(2) as pool:
        for got, want in zip(pool.map(lambda image: two.run(image, "scores"), images), expected, strict=True):
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("threads", "images", "streams"), [(2, None, 2), (1, None, 1), (16, None, 4), (16, 3, 3), (2, 1, 1), (2, 0, 1)]
)
def test_how_many_images_are_worked_on_at_once(threads, images, streams):
    assert streams_for(threads, images) == streams


def test_threads_of_one_call():
    assert share_of_threads(None, 1) is None
    assert share_of_threads(3, 1) == 3
    assert share_of_threads(8, 4) == 2
    assert share_of_threads(1, 4) == 1
    assert share_of_threads(None, 2) >= 1


@pytest.mark.parametrize("name", ["openvino", "ncnn"])
def test_a_package_that_is_missing_is_named_with_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)  # importing it raises ImportError
    kind = backend_type(name)
    assert f'run: pip install "dongfeng[{name}]"' in str(kind.why_unavailable("fp32", "cpu"))
    assert f'run: pip install "dongfeng[{name}]"' in str(check_backends()[name])
    with pytest.raises(BackendUnavailable, match="cannot be imported"):
        kind(b"", Execution(device="cpu"))


def test_unknown_backends_list_the_known():
    with pytest.raises(BackendUnavailable, match="there are: auto, onnxruntime"):
        backend_type("caffe")


def test_the_self_check_of_all_backends_survives_a_broken_one(monkeypatch):
    monkeypatch.setitem(BACKENDS, "broken", "no.such.module:Class")
    results = check_backends()
    assert results["onnxruntime"] is None
    assert results["broken"] == "ModuleNotFoundError: No module named 'no'"
    assert "pip install" in results["tensorrt"]


def test_the_self_check_reports_wrong_numbers(monkeypatch):
    monkeypatch.setattr(OnnxRuntime, "run", lambda *args: np.zeros(3, np.float32))
    assert OnnxRuntime.check() == "2 x + 1 for 0, 1, 2 gave [0.0, 0.0, 0.0]; expected [1.0, 3.0, 5.0]"


@pytest.mark.parametrize(
    ("precision", "device", "message"),
    [
        ("fp16", "cpu", "computes in fp32 or int8; for fp16 use another backend"),
        ("int8", "cuda", 'computes int8 on the CPU; for device "cuda" use precision="fp32"'),
        ("fp64", "cpu", 'no precision is called "fp64"'),
        ("fp32", "gpu", 'no device is called "gpu"; there are: auto, cpu, cuda, cuda:N'),
        ("fp32", "cuda:", "no device is called"),
    ],
)
def test_what_cannot_run_is_named(precision, device, message):
    assert message in str(OnnxRuntime.why_unavailable(precision, device))
    with pytest.raises(BackendUnavailable, match=message):
        OnnxRuntime(b"", Execution(precision=precision, device=device))


def test_files_that_are_no_models(tmp_path, onnx_file):
    path = tmp_path / "text.onnx"
    path.write_text("hello")
    with pytest.raises(BackendUnavailable, match=r"text\.onnx: ONNX Runtime cannot load it"):
        OnnxRuntime(path, Execution())
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(onnx_file().read_bytes()[:-40])
    with pytest.raises(BackendUnavailable, match=r"cut\.onnx: ONNX Runtime cannot load it") as caught:
        OnnxRuntime(cut, Execution())
    assert "\n" not in str(caught.value)


class FakeOnnxRuntime:
    """Stands in for onnxruntime: an onnxruntime-gpu on a machine with or without a GPU, or a plain onnxruntime.

    Like the real one, a session asked for CUDA it cannot start quietly runs on the CPU.
    """

    __version__ = "1.99"
    SessionOptions = SimpleNamespace

    def __init__(self, *, has_cuda: bool, has_gpu: bool) -> None:
        self.has_cuda, self.has_gpu = has_cuda, has_gpu
        self.asked: list[Any] = []

    def get_available_providers(self) -> list[str]:
        return [*(["CUDAExecutionProvider"] if self.has_cuda else []), "CPUExecutionProvider"]

    def InferenceSession(self, source: object, options: object, *, providers: list[Any], enable_fallback: int) -> Any:  # noqa: N802
        assert enable_fallback == 0
        self.asked.append(providers)
        cuda = [provider for provider in providers if provider[0] == "CUDAExecutionProvider"]
        running = {"CUDAExecutionProvider": cuda[0][1]} if cuda and self.has_gpu else {}
        return SimpleNamespace(
            get_providers=lambda: [*running, "CPUExecutionProvider"],
            get_provider_options=lambda: running,
            get_inputs=list,
            get_outputs=list,
            get_modelmeta=lambda: SimpleNamespace(custom_metadata_map={}),
        )


@pytest.fixture
def fake(monkeypatch):
    def install(*, has_cuda: bool, has_gpu: bool, installed: tuple[str, ...] = ("onnxruntime-gpu",)) -> FakeOnnxRuntime:
        runtime = FakeOnnxRuntime(has_cuda=has_cuda, has_gpu=has_gpu)
        monkeypatch.setitem(sys.modules, "onnxruntime", runtime)

        def version(name: str) -> str:
            if name not in installed:
                raise metadata.PackageNotFoundError(name)
            return "1.99"

        monkeypatch.setattr(metadata, "version", version)
        return runtime

    return install


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_cuda_is_computed_in_true_single_precision(fake, device):
    runtime = fake(has_cuda=True, has_gpu=True)
    assert OnnxRuntime(b"", Execution(device=device)).device == "cuda:0"
    assert runtime.asked == [[("CUDAExecutionProvider", {"device_id": "0", "use_tf32": "0"}), "CPUExecutionProvider"]]


def test_another_gpu_can_be_named(fake):
    fake(has_cuda=True, has_gpu=True)
    assert OnnxRuntime(b"", Execution(device="cuda:3")).device == "cuda:3"


def test_cuda_without_a_gpu_is_an_error_and_never_the_cpu(fake):
    fake(has_cuda=True, has_gpu=False)
    with pytest.raises(BackendUnavailable, match="could not start CUDA and offers CPUExecutionProvider.*nvidia-smi"):
        OnnxRuntime(b"", Execution(device="cuda"))
    assert "could not start CUDA" in str(OnnxRuntime.why_unavailable("fp32", "cuda"))


def test_auto_is_cuda_where_it_works_and_the_cpu_elsewhere(fake):
    fake(has_cuda=True, has_gpu=True)
    assert OnnxRuntime(b"", Execution(device="auto")).device == "cuda:0"
    fake(has_cuda=True, has_gpu=False)
    assert OnnxRuntime(b"", Execution(device="auto")).device == "cpu"
    fake(has_cuda=False, has_gpu=True)
    assert OnnxRuntime(b"", Execution(device="auto")).device == "cpu"


def test_cuda_without_onnxruntime_gpu_names_what_to_install(fake):
    fake(has_cuda=False, has_gpu=True, installed=("onnxruntime",))
    with pytest.raises(BackendUnavailable, match=r'has no CUDA; run: pip install "dongfeng\[gpu\]"'):
        OnnxRuntime(b"", Execution(device="cuda"))


def test_both_packages_installed_name_the_lines_that_mend_it(fake):
    fake(has_cuda=False, has_gpu=True, installed=("onnxruntime", "onnxruntime-gpu"))
    reason = OnnxRuntime.why_unavailable("fp32", "cuda")
    assert "both installed and overwrite each other's files" in str(reason)
    assert "pip uninstall -y onnxruntime onnxruntime-gpu; pip install" in str(reason)


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu(onnx_file):
    path = onnx_file()
    image = np.random.default_rng(0).standard_normal((1, 3, 8, 16)).astype(np.float32)
    on_cpu, on_cuda = (OnnxRuntime(path, Execution(device=device)).run(image, "scores") for device in ("cpu", "cuda"))
    np.testing.assert_allclose(on_cuda, on_cpu, rtol=1e-5, atol=1e-5)


def test_the_table_names_classes_that_exist():
    for name in BACKENDS:
        assert callable(backend_type(name))
