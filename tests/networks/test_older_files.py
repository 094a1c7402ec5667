"""V1 text and training files against the current deploy form of the same network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

import dongfeng
import dongfeng.reference
from dongfeng.net.preprocessing import Preprocessing
from dongfeng.net.random_weights import random_weights
from tests.nets import read_text
from tests.networks.agreement import assert_agrees
from tests.networks.catalog import NETWORKS, feeds_of
from tests.networks.older import alexnet_v1, caffenet_train_val


def wiring(net: dongfeng.Net) -> list[tuple]:
    """Everything of the layers but their learning rates and weights."""
    return [
        (layer.name, layer.type, layer.bottoms, layer.tops, layer.params.replace(param=None)) for layer in net.layers
    ]


def test_v1_alexnet_is_the_current_one(tmp_path: Path) -> None:
    old, new = read_text(tmp_path, alexnet_v1()), read_text(tmp_path, NETWORKS["alexnet"]())
    assert old.inputs == new.inputs
    assert wiring(old) == wiring(new)
    rates = [[spec.lr_mult for spec in layer.params.param] for layer in old.layers]
    assert [rate for rate in rates if rate] == [[1, 2]] * 8
    old, feeds = random_weights(old), feeds_of(new)
    assert_agrees(dongfeng.run(old, feeds)["prob"], dongfeng.reference.run(random_weights(new), feeds)["prob"], "prob")


def test_v1_alexnet_is_written_in_the_current_form(tmp_path: Path) -> None:
    net = random_weights(read_text(tmp_path, alexnet_v1()))
    dongfeng.write_caffe(net, tmp_path / "new.prototxt", tmp_path / "new.caffemodel")
    text = (tmp_path / "new.prototxt").read_text()
    assert "layers" not in text
    assert 'type: "InnerProduct"' in text
    assert dongfeng.read_caffe(tmp_path / "new.prototxt", tmp_path / "new.caffemodel") == net


def test_train_val_file_becomes_the_deploy_net(tmp_path: Path) -> None:
    """Same layers and numbers as the deploy file up to its Softmax; batch 1; the input's arithmetic kept."""
    net, deploy = read_text(tmp_path, caffenet_train_val()), read_text(tmp_path, NETWORKS["caffenet"]())
    assert dict(net.inputs) == {"data": (1, *deploy.inputs["data"][1:])}
    assert net.preprocessing == Preprocessing(mean_bgr=(104.0, 117.0, 123.0), crop_hw=(131, 131))
    assert net.outputs == ("fc8",)
    assert wiring(net) == [entry for entry in wiring(deploy) if entry[0] != "prob"]
    net, feeds = random_weights(net), feeds_of(net)
    expected = dongfeng.reference.run(random_weights(deploy), feeds)
    assert_agrees(dongfeng.run(net, feeds)["fc8"], expected["fc8"], "fc8")
    model = dongfeng.to_onnx(net)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["data"]


def test_train_val_file_written_and_read_is_the_same(tmp_path: Path) -> None:
    net = random_weights(read_text(tmp_path, caffenet_train_val()))
    dongfeng.write_caffe(net, tmp_path / "deploy.prototxt", tmp_path / "deploy.caffemodel")
    deploy = dongfeng.read_caffe(tmp_path / "deploy.prototxt", tmp_path / "deploy.caffemodel")
    assert deploy == net
    feeds = feeds_of(net)
    np.testing.assert_array_equal(dongfeng.run(deploy, feeds)["fc8"], dongfeng.run(net, feeds)["fc8"])
