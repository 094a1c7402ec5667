"""The ncnn backend: the networks written for it, a user's own files, and what it cannot run."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

import dongfeng
from dongfeng.backends.base import Execution
from dongfeng.backends.ncnn import Ncnn
from dongfeng.errors import BackendUnavailable, ConversionError, UnsupportedLayer
from dongfeng.formats.ncnn import archive as ncnn_file
from tests.formats.ncnn_files import Weights, text, write

pytest.importorskip("ncnn")
RANDOM = pytest.mark.filterwarnings("ignore:.*random weights:dongfeng.errors.DongfengWarning")
SIZE = (64, 128)
HARD_SWISH = ["Convolution c 1 1 x c 0=19 1=3 4=1 6=513", "HardSwish h 1 1 c y"]


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


def relative_error(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def packed(scale: float = 1.0) -> bytes:
    """Two classes of a three-channel image: twice and three times the second channel."""
    weights = np.array([[0, 2, 0], [0, 3, 0]], "<f4") * np.float32(scale)
    lines = text("Convolution c 1 1 x y 0=2 1=1 6=6", size_hwc=(4, 5, 3))
    return ncnn_file.pack(lines, bytes(4) + weights.tobytes(), {"key": "value"}, {"y": (1, 2, 4, 5)})


@RANDOM
@pytest.mark.parametrize("name", ["df1seg", "df1"])
def test_fp32_has_the_scores_of_onnxruntime(image: np.ndarray, name: str) -> None:
    size = SIZE if name == "df1seg" else None
    with dongfeng.load(name, weights="random", size=size) as reference:
        expected = reference(image)
    with dongfeng.load(name, weights="random", size=size, backend="ncnn") as model:
        assert (model.backend, model.precision, model.device) == ("ncnn", "fp32", "cpu")
        assert model.net == reference.net
        result = model(image)
    if name == "df1":
        assert relative_error(result.logits, expected.logits) < 1e-4
        return
    assert relative_error(result.scores, expected.scores) < 1e-4
    assert (result.labels == expected.labels).mean() > 0.9999


@RANDOM
def test_bf16_is_bf16(image: np.ndarray) -> None:
    with dongfeng.load("df1seg", weights="random", size=SIZE) as reference:
        expected = reference(image).scores
    with dongfeng.load("df1seg", weights="random", size=SIZE, backend="ncnn", precision="bf16") as model:
        assert model.precision == "bf16"
        assert 1e-4 < relative_error(model(image).scores, expected) < 3e-2


@RANDOM
def test_what_is_converted_is_kept_in_the_cache(
    image: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dongfeng.runtime import artifact

    monkeypatch.setenv("DONGFENG_HOME", str(tmp_path))
    options = {"weights": "random", "size": SIZE, "backend": "ncnn"}
    with dongfeng.load("dflite_seg", **options) as model:
        expected = model(image).scores
    assert [path.name.endswith(".ncnn.zip") for path in (tmp_path / "onnx").iterdir()] == [True]
    monkeypatch.delattr(artifact, "_convert")
    with dongfeng.load("dflite_seg", **options) as model:
        np.testing.assert_array_equal(model(image).scores, expected)
    (damaged,) = (tmp_path / "onnx").iterdir()
    damaged.write_bytes(b"no zip")
    with pytest.raises(ConversionError, match=r"not a network packed for ncnn.*; delete it"):
        dongfeng.load("dflite_seg", **options)


@RANDOM
def test_a_cache_that_cannot_be_written_only_costs_the_conversion(
    image: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DONGFENG_HOME", str(tmp_path / "file"))
    with dongfeng.load("dflite_seg", weights="random", size=SIZE, backend="ncnn") as model:
        assert model(image).labels.shape == SIZE


def test_pl1a_from_its_released_files_has_its_labels(shared: Path) -> None:
    options = {"mean": (103.94, 116.78, 123.68), "scale": 0.008}
    with dongfeng.load(shared / "pl1a/pl1a_new.param.bin", backend="ncnn", **options) as model:
        labels = model(shared / "pl1a/frames/demo6.png").labels
    expected = cv2.imread(str(shared / "pl1a/labels/demo6.png"), cv2.IMREAD_UNCHANGED)
    expected = cv2.resize(expected, labels.shape[::-1], interpolation=cv2.INTER_NEAREST)
    assert (labels == expected).mean() >= 0.999


def test_a_network_beyond_caffe_runs_as_it_is(tmp_path: Path) -> None:
    param, _ = write(tmp_path, text(*HARD_SWISH, size_hwc=(8, 16, 3)), Weights().matrix(513).data)
    with dongfeng.load(param, backend="ncnn", mean=0, scale=1) as model:
        assert model.net is None
        assert model.size_hw == (8, 16)
        assert model(np.zeros((8, 16, 3), np.uint8)).scores.shape == (19, 8, 16)
    for options in ({"backend": "onnxruntime"}, {"backend": "ncnn", "size": (16, 16)}):
        with pytest.raises(UnsupportedLayer, match=r'layer "h" \(HardSwish\)'):
            dongfeng.load(param, mean=0, scale=1, **options)


def test_a_binary_network_runs_as_it_is(shared: Path, tmp_path: Path) -> None:
    """Blobs of a binary file have numbers; the released file needs an ncnn with ArgMax, which most builds lack."""
    param = tmp_path / "net.param.bin"
    words = [7767517, 2, 2, 16, 0, 1, 0, 0, 5, 1, 4, 2, 3, -233, 26, 1, 1, 0, 1, -233]  # Input, ReLU
    param.write_bytes(np.array(words, "<i4").tobytes())
    (tmp_path / "net.bin").write_bytes(b"")
    ready = Ncnn(param, Execution())
    assert ready.inputs["0"].shape == (1, 3, 4, 5)
    assert ready.outputs["1"].shape == (1, 3, 4, 5)
    x = np.random.default_rng(0).standard_normal((1, 3, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(ready.run(x, "1"), np.maximum(x, 0))
    with pytest.raises(BackendUnavailable, match="a layer that this build leaves out, or a damaged file"):
        Ncnn(shared / "pl1a/pl1a_new.param.bin", Execution())


def test_a_packed_network_is_a_file_or_its_content(tmp_path: Path) -> None:
    path = tmp_path / f"net{ncnn_file.SUFFIX}"
    path.write_bytes(packed())
    x = np.random.default_rng(0).standard_normal((1, 3, 4, 5)).astype(np.float32)
    for ready in (Ncnn(path, Execution()), Ncnn(packed(), Execution(threads=1))):
        assert ready.metadata == {"key": "value"}
        assert ready.inputs["x"].shape == (1, 3, 4, 5)
        assert ready.outputs["y"].shape == (1, 2, 4, 5)
        np.testing.assert_allclose(ready.run(x, "y"), np.stack([2 * x[:, 1], 3 * x[:, 1]], 1), rtol=1e-6)
    assert packed() == packed()
    assert list(tmp_path.iterdir()) == [path]


def test_an_input_that_ncnn_would_overwrite_stays_as_it_is(tmp_path: Path) -> None:
    param, _ = write(tmp_path, text("Split s 1 2 x a b", "ReLU r 1 1 a r", "Eltwise e 2 1 r b y 0=1"))
    x = np.random.default_rng(0).standard_normal((1, 4, 7, 9)).astype(np.float32)
    kept = x.copy()
    np.testing.assert_array_equal(Ncnn(param, Execution()).run(x, "y"), np.maximum(kept, 0) + kept)
    np.testing.assert_array_equal(x, kept)


def test_a_result_is_the_callers_own() -> None:
    ready = Ncnn(packed(), Execution())
    ones = np.ones((1, 3, 4, 5), np.float32)
    first = ready.run(ones, "y")
    ready.run(-ones, "y")
    assert (first[0, 0] == 2).all()
    ready.close()
    assert (first[0, 1] == 3).all()


def test_threads_share_one_model() -> None:
    ready = Ncnn(packed(), Execution(threads=1))
    barrier = threading.Barrier(4)

    def work(part: int) -> bool:
        barrier.wait()
        values = range(part, 100, 4)
        return all((ready.run(np.full((1, 3, 4, 5), v, np.float32), "y")[0, 1] == 3 * v).all() for v in values)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_threads_and_exact_arithmetic_are_what_was_asked_for() -> None:
    for precision in ("fp32", "bf16"):
        options = Ncnn(packed(), Execution(precision=precision, threads=1))._net.opt
        assert options.num_threads == 1
        assert not any(getattr(options, f"use_fp16_{what}") for what in ("storage", "arithmetic", "packed"))
        assert options.use_bf16_storage == (precision == "bf16")
        assert options.use_winograd_convolution


def test_what_cannot_be_loaded_is_one_line(tmp_path: Path, onnx_file) -> None:
    param, weights = write(tmp_path, text("ReLU r 1 1 x y"))
    weights.unlink()
    with pytest.raises(BackendUnavailable, match=r"net\.param: its weights are missing; put them at .*net\.bin"):
        Ncnn(param, Execution())
    write(tmp_path, text("NoSuchLayer r 1 1 x y"))
    with pytest.raises(BackendUnavailable, match=r"net\.param: ncnn .* cannot load it"):
        Ncnn(param, Execution())
    write(tmp_path, text("ReLU r 1 1 x y").replace("0=9 1=7", ""))
    with pytest.raises(BackendUnavailable, match="its Input has a dynamic size"):
        Ncnn(param, Execution())
    with pytest.raises(BackendUnavailable, match=r'ncnn does not run ONNX files; use backend="onnxruntime"'):
        dongfeng.load(onnx_file(), backend="ncnn")
