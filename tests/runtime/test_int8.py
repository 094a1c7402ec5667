"""`load(..., precision="int8", calibration=images)`: quantized once, with the caller's images, and run as such."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from dongfeng.backends.registry import backend_type
from dongfeng.errors import BackendUnavailable, ConversionError, ImageError
from dongfeng.passes.quantize import calibrate
from dongfeng.runtime.load import load
from dongfeng.runtime.onnx_file import is_quantized
from dongfeng.zoo.paths import onnx_folder

pytestmark = pytest.mark.filterwarnings("ignore:.*random weights:dongfeng.errors.DongfengWarning")
SIZE = (64, 128)
TOLD = {"mean": (104, 117, 123), "scale": 0.01, "backend": "onnxruntime", "precision": "int8"}
BACKENDS = [name for name in ("onnxruntime", "openvino") if backend_type(name).why_unavailable("int8", "cpu") is None]


@pytest.fixture(autouse=True, scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache that the tests of this file share: quantizing takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DONGFENG_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = []
    for index in range(4):
        low = np.random.default_rng(index).integers(0, 256, (6, 10, 3), np.uint8)
        paths.append(tmp_path / f"{index}.png")
        cv2.imwrite(str(paths[-1]), cv2.resize(low, (160, 90), interpolation=cv2.INTER_CUBIC))
    return paths


def relative_error(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(got - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("backend", BACKENDS)
def test_scores_are_close_to_those_of_fp32(backend: str, images: list[Path]) -> None:
    with load("dflite_seg", weights="random", size=SIZE, backend=backend) as model:
        assert model.precision == "fp32"
        expected = model(images[3]).scores
    options = {"weights": "random", "size": SIZE, "backend": backend, "precision": "int8"}
    with load("dflite_seg", calibration=images[:3], **options) as model:
        assert (model.backend, model.precision) == (backend, "int8")
        error = relative_error(model(images[3]).scores, expected)
        assert 1e-4 < error < 0.05  # not 0: eight bits do lose something
        many = [result.scores for result in model.stream([images[3]] * 9)]
    for scores in many:
        assert relative_error(scores, expected) < 0.05


def test_a_network_is_quantized_once_for_the_same_images(
    onnx_file, images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = onnx_file()
    monkeypatch.setenv("DONGFENG_HOME", str(tmp_path / "home"))

    def load_(calibration: list[object], **options: object) -> np.ndarray:
        with load(path, calibration=calibration, **TOLD, **options) as model:
            return np.asarray(model(images[3]).scores)

    first = load_(list(images[:2]))
    (file,) = onnx_folder().glob("*.onnx")
    assert is_quantized(file)
    with monkeypatch.context() as patch:
        patch.setattr("dongfeng.passes.quantize.quantize", None)  # calling it would fail
        np.testing.assert_array_equal(load_(list(images[:2])), first)
        np.testing.assert_array_equal(load_(list(images[:2]), threads=1), first)
        patch.setattr(calibrate, "QUANTIZER_VERSION", 10**6)
        with pytest.raises(TypeError, match="'NoneType' object is not callable"):
            load_(list(images[:2]))
    load_(list(images[1:3]))
    assert len(list(onnx_folder().glob("*.onnx"))) == 2


def test_arrays_calibrate_as_the_files_they_come_from(onnx_file, images: list[Path]) -> None:
    with load(onnx_file(), calibration=images[:2], **TOLD) as model:
        expected = model(images[3]).scores
    arrays = [np.ascontiguousarray(cv2.imread(str(path))[..., ::-1]) for path in images[:2]]
    with load(onnx_file(), calibration=arrays, channel_order="rgb", **TOLD) as model:
        np.testing.assert_array_equal(model(images[3]).scores, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_quantized_file_is_int8_and_nothing_else(backend: str, onnx_file, images: list[Path], tmp_path: Path) -> None:
    with load(onnx_file(), calibration=images[:2], **TOLD) as model:
        expected = model(images[3]).labels
    path = max(onnx_folder().glob("net-*.onnx"), key=lambda file: file.stat().st_mtime_ns).rename(tmp_path / "8.onnx")
    told = {**TOLD, "backend": backend}
    for precision in ("auto", "int8"):
        with load(path, **{**told, "precision": precision}) as model:
            assert model.precision == "int8"
            assert np.mean(model(images[3]).labels == expected) > (0.999 if backend == "onnxruntime" else 0.9)
    with pytest.raises(BackendUnavailable, match='is a quantized network; use precision="int8", not "fp32"'):
        load(path, **{**told, "precision": "fp32"})
    with pytest.raises(BackendUnavailable, match="is quantized already; leave out calibration="):
        load(path, calibration=images, **told)


def test_a_float_file_of_another_program(onnx_file, images: list[Path]) -> None:
    path = onnx_file(classes=4)
    with pytest.raises(BackendUnavailable, match=r"net\.onnx: precision \"int8\" needs images"):
        load(path, **TOLD)
    with load(path, **{**TOLD, "precision": "fp32"}) as model:
        expected = model(images[0]).scores
    with load(path, calibration=images, **TOLD) as model:
        assert model.precision == "int8"
        assert relative_error(model(images[0]).scores, expected) < 0.05
    with pytest.raises(ConversionError, match="give mean="):
        load(path, precision="int8", calibration=images, backend="onnxruntime")


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        ("street.jpg", "got one image or path; expected a list of images"),
        (np.zeros((4, 4, 3), np.uint8), "got one image or path"),
        (7, "got int; expected a list"),
        ([], "got no images"),
        (["gone.png"], r"gone\.png: no such file"),
    ],
)
def test_what_cannot_calibrate(calibration: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        load("dflite_seg", weights="random", size=SIZE, precision="int8", calibration=calibration)


def test_a_file_is_known_as_quantized_by_its_nodes(tmp_path: Path, onnx_file) -> None:
    assert not is_quantized(onnx_file())
    empty = tmp_path / "empty.onnx"
    empty.touch()
    assert not is_quantized(empty)


@pytest.mark.parametrize("backend", BACKENDS)
def test_pl1a_with_its_real_weights(backend: str, shared: Path) -> None:
    """Calibrated on the first ten frames; the others' labels are those of fp32 at 98 % of the pixels."""
    frames = sorted((shared / "pl1a/frames").iterdir())
    options = {"weights": shared / "pl1a/pl1a_new.bin", "backend": backend}
    with load("pl1a_seg", **options) as model:
        expected = [result.labels for result in model(frames[10:])]
    with load("pl1a_seg", precision="int8", calibration=frames[:10], **options) as model:
        got = [result.labels for result in model(frames[10:])]
    assert np.mean(np.stack(got) == np.stack(expected)) >= 0.98
