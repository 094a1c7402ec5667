from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dongfeng.architectures import build
from dongfeng.backends.tensorrt.trtexec.profile import read_trtexec
from dongfeng.devices import predict, profile_from_trtexec, timed_net
from dongfeng.devices.fusion import named_kernels
from dongfeng.errors import DeviceError

NODES = {"Convolution": "Conv", "ReLU": "Relu", "Eltwise": "Add", "Pooling": "AveragePool", "InnerProduct": "Gemm"}


def exported(name: str, types: dict[str, str]) -> str:
    """A kernel as TensorRT 8 prints it, from the nodes that `to_onnx` writes."""
    nodes = [f"{layer}/{NODES[types[layer]]}_node" for layer in name.split(" + ")]
    return " + ".join(f"PWN({node})" if node.endswith("Add_node") else node for node in nodes)


@pytest.fixture
def document() -> list[dict[str, Any]]:
    """DF1 as a board might export it: every kernel a line, in milliseconds that tell it apart."""
    net = timed_net("df1", (224, 224))
    types = {layer.name: layer.type for layer in net.layers}
    rows = [
        {"name": exported(placed.name, types), "timeMs": 100.0 * (index + 1), "averageMs": 0.01 * (index + 1)}
        for index, placed in enumerate(named_kernels(net))
    ]
    return [{"count": 1000}, *rows]


def write(folder: Path, document: object) -> Path:
    path = folder / "profile.json"
    path.write_text(json.dumps(document))
    return path


def test_lines_become_units(document: list[dict[str, Any]], tmp_path: Path) -> None:
    net = timed_net("df1", (224, 224))
    profile = profile_from_trtexec(write(tmp_path, document), net, name="nano", precision="fp16")
    estimate = predict(net, profile)
    assert estimate.total_ms == pytest.approx(sum(row["averageMs"] for row in document[1:]))
    assert {line.basis for line in estimate.kernels} == {"looked up"}
    assert profile.roofline.bytes_per_value == 2
    assert estimate.kernels[0].ms == pytest.approx(0.01)


def test_what_tensorrt_adds_goes_where_it_belongs(document: list[dict[str, Any]], tmp_path: Path) -> None:
    """Reformatting goes to its kernel, a fusion of two kernels is shared out by their work, the rest is a gap."""
    net = timed_net("df1", (224, 224))
    copy = {
        "name": "Reformatting CopyNode for Input Tensor 0 to conv1/Conv_node + conv1/relu/Relu_node",
        "averageMs": 1.0,
    }
    one, two = document[4], document[5]
    both = {"name": f"{one['name']} || {two['name']}", "averageMs": one["averageMs"] + two["averageMs"]}
    unnamed = {"name": "[trainStation1]", "averageMs": 0.5}
    path = write(tmp_path, [copy, *document[:4], both, *document[6:], unnamed])
    profile = profile_from_trtexec(path, net)
    estimate = predict(net, profile)
    assert estimate.total_ms == pytest.approx(sum(row["averageMs"] for row in document[1:]) + 1.5, rel=1e-4)
    assert estimate.kernels[0].ms == pytest.approx(1.01 + profile.gap_us / 1e3)
    assert estimate.kernels[3].ms > estimate.kernels[4].ms  # a 3x3 and a 1x1 convolution


def test_the_median_is_taken_where_there_is_one(shared: Path) -> None:
    (layer,) = read_trtexec(shared / "research/trtexec/profile10.json")
    assert layer == ("/conv1/Conv + /act1/Relu", 0.027872)


def test_a_profile_of_another_net_is_refused(shared: Path, document: list[dict[str, Any]], tmp_path: Path) -> None:
    layers = read_trtexec(shared / "research/trtexec/profile8.json")
    assert [layer.ms for layer in layers] == [0.058695, 0.0662771, 0.109295, 0, 0.0627963]
    with pytest.raises(
        DeviceError, match=r'no line names layer "conv1 .*\(28 of 28 have none|no line names layer "conv1'
    ):
        profile_from_trtexec(shared / "research/trtexec/profile8.json", build("df1"))
    with pytest.raises(DeviceError, match="no line names layer"):
        profile_from_trtexec(write(tmp_path, document), build("df2"))
    with pytest.raises(DeviceError, match='precision "int4"'):
        profile_from_trtexec(write(tmp_path, document), build("df1"), precision="int4")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("{}", "expected a list"),
        ("[1]", "expected an object"),
        ('[{"count": 5}]', "no layers in it"),
        ('[{"averageMs": 1}]', r'\[0\]: key "name" is missing'),
        ('[{"name": 1, "averageMs": 1}]', r"\[0\].name: expected a text"),
        ('[{"count": 5}, {"name": "a"}]', r'\[1\]: key "averageMs" is missing'),
        ('[{"name": "a", "averageMs": "1"}]', "averageMs: expected a number"),
        ('[{"name": "a", "averageMs": NaN}]', "averageMs: expected a number"),
        ('[{"name": "a", "averageMs": -1}]', "averageMs: expected a time"),
        ('[{"name": "a", "averageMs": true}]', "averageMs: expected a number"),
        ('[{"name": "a", "averageMs": 1' + "0" * 400 + "}]", "averageMs: expected a number"),
    ],
)
def test_a_damaged_file_says_so(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text(text)
    with pytest.raises(DeviceError, match=message) as caught:
        read_trtexec(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="No such file"):
        read_trtexec(tmp_path / "none.json")
