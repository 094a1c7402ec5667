"""Whole networks with random weights: the ONNX model against the NumPy interpreter, which shares no code with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import dongfeng
import dongfeng.reference
from dongfeng.net.random_weights import random_weights
from tests.nets import read_text
from tests.networks import classification, mobile
from tests.networks.agreement import assert_agrees, assert_same_detections
from tests.networks.catalog import NETWORKS, feeds_of
from tests.opsets import NEWEST

OPSETS = [11, 13, 17, NEWEST]
UNFOLDED = {
    "densenet": 10,
    "enet": 1,
}  # BatchNorm layers behind a Concat or a pooling, with no convolution to fold into
DYNAMIC_SIZES = {
    "densenet": [(64, 64), (96, 72), (50, 131)],
    "fcn8s": [(64, 64), (80, 33), (97, 111)],
    "icnet": [(129, 129), (97, 193), (161, 65)],
    "mobilenet_v1_depthwise": [(160, 160), (96, 128), (101, 67)],
    "mobilenet_v2": [(96, 96), (64, 160), (75, 51)],
    "pspnet": [(105, 105), (121, 145), (177, 113)],
    "se_resnet_axpy": [(64, 64), (96, 40), (71, 53)],
    "se_resnet_scale": [(64, 64), (96, 40), (71, 53)],
    "shufflenet": [(64, 64), (96, 128), (160, 32)],
    "squeezenet": [(227, 227), (128, 96), (67, 199)],
    "unet": [(188, 188), (204, 220), (236, 188)],
}


@dataclass(frozen=True)
class Case:
    """A network with random weights, seeded inputs, and what the NumPy interpreter makes of them."""

    name: str
    net: dongfeng.Net
    feeds: Mapping[str, np.ndarray]
    expected: Mapping[str, np.ndarray]


@pytest.fixture(scope="module", params=NETWORKS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    net = random_weights(read_text(tmp_path_factory.mktemp("network"), NETWORKS[request.param]()))
    feeds = feeds_of(net)
    return Case(request.param, net, feeds, dongfeng.reference.run(net, feeds))


def assert_all_agree(case: Case, got: Mapping[str, np.ndarray]) -> None:
    for blob, value in got.items():
        check = assert_same_detections if blob == "detection_out" else assert_agrees
        check(value, case.expected[blob], f"{case.name}: {blob}")


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
    )


def test_every_blob_is_that_of_the_numpy_interpreter(case: Case) -> None:
    blobs = [top for layer in case.net.layers for top in layer.tops]
    got = dongfeng.run(case.net, case.feeds, blobs)
    assert_all_agree(case, got)
    shapes = case.net.shapes()
    assert {blob: shapes[blob] for blob in blobs if blob != "detection_out"} == {
        blob: value.shape for blob, value in got.items() if blob != "detection_out"
    }
    assert all(np.ptp(case.expected[blob]) > 0 for blob in case.net.outputs), "a constant output would show nothing"


def test_every_opset_is_valid_and_gives_the_same(case: Case) -> None:
    for opset in OPSETS:
        model = dongfeng.to_onnx(case.net, opset=opset)
        assert model.opset_import[0].version == opset
        results = session(model).run(None, dict(case.feeds))
        assert_all_agree(case, dict(zip(case.net.outputs, results, strict=True)))


def test_folding_changes_no_number(case: Case) -> None:
    folded = dongfeng.fold(case.net)
    assert folded.outputs == case.net.outputs
    assert_all_agree(case, dongfeng.run(folded, case.feeds))
    left = [layer.name for layer in folded.layers if layer.type == "BatchNorm"]
    assert len(left) == UNFOLDED.get(case.name, 0), left


def test_written_files_are_read_back_the_same(case: Case, tmp_path: Path) -> None:
    dongfeng.write_caffe(case.net, tmp_path / "net.prototxt", tmp_path / "net.caffemodel")
    assert dongfeng.read_caffe(tmp_path / "net.prototxt", tmp_path / "net.caffemodel") == case.net


@pytest.mark.parametrize("name", DYNAMIC_SIZES)
def test_one_dynamic_model_equals_static_ones(tmp_path: Path, name: str) -> None:
    net = random_weights(read_text(tmp_path, NETWORKS[name]()))
    dynamic = session(dongfeng.to_onnx(net, dynamic=True))
    batch, channels = net.inputs["data"][:2]
    assert dynamic.get_inputs()[0].shape == ["batch", channels, "height", "width"]
    for size_hw in DYNAMIC_SIZES[name]:
        image = np.random.default_rng(sum(size_hw)).standard_normal((batch, channels, *size_hw)).astype(np.float32)
        expected = dongfeng.run(net, {"data": image})
        results = dynamic.run(None, {"data": image})
        for blob, got in zip(net.outputs, results, strict=True):
            assert_agrees(got, expected[blob], f"{name} at {size_hw}: {blob}")


@pytest.mark.parametrize("name", ["enet", "segnet", "ssd300"])
def test_networks_bound_to_one_size_say_so(tmp_path: Path, name: str) -> None:
    net = random_weights(read_text(tmp_path, NETWORKS[name]()))
    with pytest.raises(dongfeng.errors.UnsupportedLayer, match="cannot be dynamic"):
        dongfeng.to_onnx(net, dynamic=True)


@pytest.mark.parametrize(
    ("text", "million_macs", "parameters"),
    [
        (classification.vgg16(64, 224, 1000), 15470.3, 138_357_544),
        (classification.googlenet(64, 224, 1000), 1582.7, 6_998_552),
        (classification.resnet50(64, 224, 1000), 3858.0, 25_503_976),
        (classification.squeezenet(16, 227, 1000), 387.7, 1_235_496),
        (mobile.mobilenet_v1("Convolution", 32, 224, 1000), 568.7, 4_210_088),
        (mobile.mobilenet_v1("DepthwiseConvolution", 32, 224, 1000), 568.7, 4_210_088),
        (mobile.mobilenet_v2(32, 224, 1000), 300.8, 3_470_760),
    ],
    ids=[
        "VGG-16",
        "GoogLeNet",
        "ResNet-50",
        "SqueezeNet 1.1",
        "MobileNet v1",
        "MobileNet v1, depthwise",
        "MobileNet v2",
    ],
)
def test_cost_at_full_width_is_the_published_one(
    tmp_path: Path, text: str, million_macs: float, parameters: int
) -> None:
    """Of the convolutions and inner products, biases included and BatchNorm left out."""
    rows = [row for row in read_text(tmp_path, text).cost() if row.type not in ("BatchNorm", "Scale")]
    assert sum(row.macs for row in rows) / 1e6 == pytest.approx(million_macs, abs=0.1)
    assert sum(row.parameters for row in rows) == parameters
