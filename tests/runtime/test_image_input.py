"""Networks that take images as they are in memory, and give labels: the arithmetic beside the network is in the graph."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from dongfeng.backends.onnxruntime import OnnxRuntime
from dongfeng.backends.registry import backend_type
from dongfeng.backends.tensorrt import build_engine
from dongfeng.errors import ShapeError
from dongfeng.passes.head import Head
from dongfeng.runtime.artifact import Target, convert_cached
from dongfeng.runtime.labels.upsample import upsample_labels
from dongfeng.runtime.load import _FORMATS, load
from dongfeng.runtime.source import find_source

pytestmark = pytest.mark.filterwarnings("ignore:.*random weights:dongfeng.errors.DongfengWarning")
SIZE = (64, 128)
ONNX_BACKENDS = ["onnxruntime", "openvino"]


def needs(backend: str) -> None:
    if backend_type(backend).why_unavailable("fp32", "cpu") is not None:
        pytest.skip(f"needs {backend}")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """PL1A with random weights, images in, scores and labels out."""
    with load("pl1a_seg", weights="random", size=SIZE, backend="onnxruntime") as model:
        assert isinstance(model.file, Path)
        plain = onnx.load(model.file)
        preprocessing = model.preprocessing
    path = tmp_path / "pl1a.onnx"
    onnx.save(Head(preprocessing, labels_hw=SIZE, keep_scores=True).put_on(plain), path)
    return path


@pytest.mark.parametrize("backend", ONNX_BACKENDS)
def test_such_a_file_gives_the_same_results(backend: str, file: Path, street: Path) -> None:
    needs(backend)
    small = cv2.resize(cv2.imread(str(street)), SIZE[::-1])
    with load("pl1a_seg", weights="random", size=SIZE, backend="onnxruntime") as plain:
        expected = [plain(image) for image in (street, small)]
    with load(file, backend=backend) as model:
        assert model.network_input(small).dtype == np.uint8
        assert model.size_hw == SIZE
        for image, want in zip((street, small), expected, strict=True):
            got = model(image)
            error = np.abs(got.scores - want.scores).max() / np.abs(want.scores).max()
            assert error < 1e-5
            assert got.labels.shape == want.labels.shape
            assert np.mean(got.labels == want.labels) > 0.999


def test_labels_of_the_network_are_used_at_its_own_size_only(file: Path, street: Path) -> None:
    changed = onnx.load(file)
    (labels,) = (node for node in changed.graph.node if "labels" in node.output)
    labels.output[0] = "hidden"
    seven = onnx.helper.make_node(
        "Constant", [], ["labels"], value=onnx.numpy_helper.from_array(np.full((1, *SIZE), 7, np.uint8))
    )
    changed.graph.node.append(seven)
    onnx.save(changed, file)
    with load(file, backend="onnxruntime") as model:
        own = np.zeros((*SIZE, 3), np.uint8)
        assert set(model(own).labels.ravel()) == {7}
        other = model(street)
        np.testing.assert_array_equal(other.labels, upsample_labels(other.scores, (90, 160)))


@pytest.mark.parametrize(("name", "size"), [("pl1a_seg", SIZE), ("dflite_seg_d8", SIZE), ("df1", (224, 224))])
def test_what_tensorrt_is_given_computes_the_same(
    name: str, size: tuple[int, int], street: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime runs it in its place."""
    image = cv2.resize(cv2.imread(str(street)), size[::-1])
    options = {"weights": "random", "size": size, "backend": "onnxruntime"}
    with load(name, **options) as plain:
        want = plain(image)
    monkeypatch.setattr(OnnxRuntime, "prefers_images", True)
    monkeypatch.setitem(_FORMATS, "onnxruntime", "tensorrt")
    with load(name, **options) as model:
        assert model.network_input(image).shape == (1, *size, 3)
        got = model(image)
        assert isinstance(model.file, Path)
        made = [value.name for value in onnx.load(model.file).graph.output]
    assert ("labels" in made) == (model.task == "segmentation")
    if model.task == "classification":
        np.testing.assert_allclose(got.logits, want.logits, rtol=0, atol=1e-5 * np.abs(want.logits).max())
    else:
        assert np.mean(got.labels == want.labels) > 0.999


def test_arithmetic_that_the_caller_tells_is_not_in_the_graph(monkeypatch: pytest.MonkeyPatch, street: Path) -> None:
    monkeypatch.setattr(OnnxRuntime, "prefers_images", True)
    image = cv2.imread(str(street))
    options = {"weights": "random", "size": SIZE, "backend": "onnxruntime"}
    with load("pl1a_seg", **options) as model:
        assert model.network_input(image).dtype == np.uint8
        known = model.preprocessing
        expected = model(image).scores
    with load("pl1a_seg", mean=(1, 2, 3), scale=0.5, **options) as model:
        assert model.network_input(image).dtype == np.float32
        assert np.abs(model(image).scores - expected).max() > 1
    with load("pl1a_seg", mean=known.mean_bgr, scale=known.scale, **options) as model:
        np.testing.assert_allclose(model(image).scores, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_bytes_that_are_no_image_are_refused(file: Path) -> None:
    model = onnx.load(file)
    del model.metadata_props[:]
    onnx.save(model, file)
    with pytest.raises(ShapeError, match=r"expected one float32 image \(1, 3, H, W\)"):
        load(file, backend="onnxruntime", mean=0, scale=1)


@pytest.mark.slow
def test_what_tensorrt_is_given_has_both_and_builds(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    prepared = convert_cached(
        find_source("pl1a_seg", "random"), Target(format="tensorrt", size_hw=SIZE, takes_images=True)
    ).model
    assert isinstance(prepared, Path)
    model = onnx.load(prepared)
    assert [value.name for value in model.graph.input] == ["image"]
    assert "labels" in [value.name for value in model.graph.output]
    report = build_engine(prepared, tmp_path / "pl1a.engine", precision="fp16")
    assert set(report.audit.convolutions.values()) == {"fp16"}
