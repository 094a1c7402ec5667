"""OpenVINO: true fp32 unless bf16 is asked for, and what it cannot run is one clear line."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import dongfeng
from dongfeng.backends.base import Execution
from dongfeng.backends.onnxruntime import OnnxRuntime
from dongfeng.backends.openvino import OpenVino
from dongfeng.errors import BackendUnavailable

pytest.importorskip("openvino")
RANDOM = pytest.mark.filterwarnings("ignore:.*random weights:dongfeng.errors.DongfengWarning")
SIZE = (64, 128)


def has_bf16() -> bool:
    return OpenVino.why_unavailable("bf16", "cpu") is None


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


def relative_error(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@RANDOM
def test_fp32_has_the_scores_of_onnxruntime(image: np.ndarray) -> None:
    with dongfeng.load("df1seg", weights="random", size=SIZE) as reference:
        expected = reference(image)
    with dongfeng.load("df1seg", weights="random", size=SIZE, backend="openvino") as model:
        assert (model.backend, model.precision, model.device) == ("openvino", "fp32", "cpu")
        result = model(image)
    assert relative_error(result.scores, expected.scores) < 1e-5, "bf16, its own choice on new CPUs, is off by 1e-2"
    assert (result.labels == expected.labels).mean() > 0.9999


@RANDOM
@pytest.mark.skipif(not has_bf16(), reason="this CPU has no bf16")
@pytest.mark.parametrize("backend", ["openvino", "auto"])
def test_bf16_is_bf16(image: np.ndarray, backend: str) -> None:
    with dongfeng.load("df1seg", weights="random", size=SIZE) as reference:
        expected = reference(image).scores
    with dongfeng.load("df1seg", weights="random", size=SIZE, backend=backend, precision="bf16") as model:
        assert (model.backend, model.precision) == ("openvino", "bf16")
        assert 1e-4 < relative_error(model(image).scores, expected) < 3e-2


def test_a_cpu_without_bf16_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    class Core:
        def get_property(self, device: str, name: str) -> list[str]:
            assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
            return ["FP32", "INT8"]

    monkeypatch.setattr(openvino, "Core", Core)
    assert "this CPU does not compute in bf16" in str(OpenVino.why_unavailable("bf16", "cpu"))
    assert OpenVino.why_unavailable("fp32", "cpu") is None
    with pytest.raises(BackendUnavailable, match='use precision="fp32"'):
        dongfeng.load("df1seg", weights="random", backend="openvino", precision="bf16")


@pytest.mark.skipif(not has_bf16(), reason="this CPU has no bf16")
def test_another_precision_than_asked_for_is_an_error(onnx_file, monkeypatch: pytest.MonkeyPatch) -> None:
    from dongfeng.backends import openvino

    monkeypatch.setitem(openvino._HINTS, "fp32", "bf16")  # as if OpenVINO did not do as it is told
    path = onnx_file(shape=(1, 64, 8, 16), classes=64)
    with pytest.raises(BackendUnavailable, match="asked for fp32, OpenVINO would compute it in bf16"):
        OpenVino(path, Execution(precision="fp32"))


def test_names_shapes_types_and_metadata_are_those_of_the_file(onnx_file) -> None:
    path = onnx_file(shape=(1, 3, None, 16), head=["ArgMax"], outputs=["argmax", "scores"], metadata={"key": "value"})
    for ours, expected in (
        (OpenVino(path, Execution()), OnnxRuntime(path, Execution())),
        (OpenVino(path.read_bytes(), Execution()), OnnxRuntime(path, Execution())),
    ):
        assert ours.metadata["key"] == "value"
        assert list(ours.inputs.items()) == list(expected.inputs.items())
        assert list(ours.outputs) == ["argmax", "scores"]
        assert [value.is_float32 for value in ours.outputs.values()] == [False, True]


def test_from_a_file_and_from_bytes_and_several_outputs(onnx_file) -> None:
    path = onnx_file(head=["GlobalAveragePool"], outputs=["scores", "globalaveragepool"])
    x = np.random.default_rng(0).standard_normal((1, 3, 8, 16)).astype(np.float32)
    reference = OnnxRuntime(path, Execution())
    for ready in (OpenVino(path, Execution()), OpenVino(path.read_bytes(), Execution(threads=1))):
        for output in ("scores", "globalaveragepool"):
            np.testing.assert_allclose(ready.run(x, output), reference.run(x, output), rtol=1e-5, atol=1e-6)


def test_a_result_is_the_callers_own(onnx_file) -> None:
    ready = OpenVino(onnx_file(), Execution())
    ones = np.ones((1, 3, 8, 16), np.float32)
    first = ready.run(ones, "scores")
    kept = first.copy()
    ready.run(-ones, "scores")
    np.testing.assert_array_equal(first, kept)
    assert first.flags.writeable
    assert first.flags.owndata


def test_threads_share_one_model(onnx_file) -> None:
    ready = OpenVino(onnx_file(), Execution(threads=1))
    inputs = [np.full((1, 3, 8, 16), value, np.float32) for value in range(24)]
    expected = [ready.run(x, "scores") for x in inputs]
    barrier = threading.Barrier(4)

    def work(part: int) -> list[np.ndarray]:
        barrier.wait()
        return [ready.run(x, "scores") for x in inputs[part::4]]

    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(work, range(4)))
    for part, results in enumerate(parts):
        np.testing.assert_array_equal(results, expected[part::4])


def test_threads_are_what_was_asked_for(onnx_file) -> None:
    ready = OpenVino(onnx_file(), Execution(threads=1))
    assert ready._compiled.get_property("INFERENCE_NUM_THREADS") == 1


@pytest.mark.parametrize("content", [b"", b"hello"])
def test_files_that_are_no_models_are_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(BackendUnavailable, match=r"net\.onnx: OpenVINO cannot load it: .") as caught:
        OpenVino(path, Execution())
    assert "\n" not in str(caught.value)


def test_an_input_that_does_not_fit_is_one_line(onnx_file) -> None:
    with pytest.raises(BackendUnavailable, match="OpenVINO failed on the CPU: .") as caught:
        OpenVino(onnx_file(), Execution()).run(np.zeros((1, 3, 4, 4), np.float32), "scores")
    assert "\n" not in str(caught.value)
