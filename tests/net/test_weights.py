"""Weights into a net: what matches, what is filled, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dongfeng
from dongfeng.errors import CaffemodelError, DongfengWarning, ShapeError, WeightsMismatch
from dongfeng.net.random_weights import random_weights
from dongfeng.net.weights import bilinear, load_caffemodel
from tests.nets import CONV_BN, data, layer, read_text


@pytest.fixture
def written(tmp_path: Path) -> tuple[dongfeng.Net, Path]:
    """A net with weights, and the file that holds them."""
    net = random_weights(read_text(tmp_path, CONV_BN))
    dongfeng.write_caffe(net, tmp_path / "w.prototxt", tmp_path / "w.caffemodel")
    return net, tmp_path / "w.caffemodel"


def test_weights_of_another_net_are_refused_with_both_names(tmp_path: Path, written) -> None:
    other = read_text(
        tmp_path,
        CONV_BN.replace('name: "conv"', 'name: "c1"')
        .replace('"bn"', '"b1"')
        .replace('"scale"', '"s1"')
        .replace('name: "out"', 'name: "o1"'),
    )
    with pytest.raises(WeightsMismatch, match=r'w\.caffemodel: no layer of this file .*"conv".*the net learns "c1"'):
        load_caffemodel(other, written[1])


def test_all_shapes_that_differ_are_listed(tmp_path: Path, written) -> None:
    other = read_text(tmp_path, CONV_BN.replace("num_output: 4", "num_output: 5"))
    with pytest.raises(WeightsMismatch) as caught:
        load_caffemodel(other, written[1])
    for part in ('"conv": blob 0 is 4x3x3x3, the net wants 5x3x3x3', '"scale": blob 1 is 4, the net wants 5'):
        assert part in str(caught.value)


def test_missing_layers_keep_constant_fillers_with_a_warning(tmp_path: Path, written) -> None:
    more = CONV_BN + layer(
        "more", "InnerProduct", "out", "more", "inner_product_param { num_output: 2 bias_filler { value: 3 } }"
    )
    with pytest.warns(DongfengWarning, match='no weights for "more"'):
        net = load_caffemodel(read_text(tmp_path, more), written[1])
    weight, bias = net.layer("more").blobs
    assert not weight.any()
    assert bias.tolist() == [3, 3]
    with pytest.raises(WeightsMismatch, match='no weights for "more"'):
        load_caffemodel(read_text(tmp_path, more), written[1], require_all=True)


def test_missing_layers_with_random_fillers_are_an_error(tmp_path: Path, written) -> None:
    more = CONV_BN + layer(
        "more", "InnerProduct", "out", "more", 'inner_product_param { num_output: 2 weight_filler { type: "xavier" } }'
    )
    with pytest.raises(WeightsMismatch, match=r'net\.prototxt:7: layer "more".*its filler "xavier" is random'):
        load_caffemodel(read_text(tmp_path, more), written[1])
    with pytest.raises(WeightsMismatch, match="xavier"):
        dongfeng.run(read_text(tmp_path, more), {"data": np.zeros((1, 3, 8, 8))})


def test_truncated_and_foreign_files_are_refused(tmp_path: Path, written) -> None:
    net, path = written
    (tmp_path / "cut.caffemodel").write_bytes(path.read_bytes()[:-100])
    (tmp_path / "page.caffemodel").write_text("<!DOCTYPE html><html>Quota exceeded</html>")
    for name in ("cut", "page"):
        with pytest.raises(CaffemodelError, match=f"{name}.caffemodel") as caught:
            load_caffemodel(net, tmp_path / f"{name}.caffemodel")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [3, 4, 16])
def test_bilinear_filler_interpolates_a_constant_to_itself(size: int) -> None:
    stride = (size + 1) // 2
    kernel = bilinear((1, 1, size, size))[0, 0]
    assert kernel.dtype == np.float32
    phases = [kernel[row::stride, column::stride].sum() for row in range(stride) for column in range(stride)]
    np.testing.assert_allclose(phases, 1, atol=1e-6)


def test_half_precision_weights_round_once(tmp_path: Path, written) -> None:
    net, _ = written
    dongfeng.write_caffe(net, tmp_path / "h.prototxt", tmp_path / "h.caffemodel", half=True)
    back = dongfeng.read_caffe(tmp_path / "h.prototxt", tmp_path / "h.caffemodel")
    for mine, theirs in zip(net.layers, back.layers, strict=True):
        for blob, half in zip(mine.blobs, theirs.blobs, strict=True):
            np.testing.assert_array_equal(blob.astype(np.float16), half)


def test_random_weights_keep_the_scale_of_activations(shared: Path) -> None:
    net = random_weights(dongfeng.read_caffe(shared / "release/prototxt/df2.prototxt"))
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224), np.float32)
    blobs = dongfeng.run(net, {"data": image}, ["conv2/bn", "res3.11.sum", "fc"])
    for blob in blobs.values():
        assert 0.05 < blob.std() < 50


def test_random_weights_need_a_known_size(tmp_path: Path) -> None:
    text = data(1, 3, 0, 0) + layer("f", "InnerProduct", "data", "f", "inner_product_param { num_output: 2 }")
    with pytest.raises(ShapeError, match=r'"f" \(InnerProduct\): its weights \(2x\?\) depend on a dynamic input size'):
        random_weights(read_text(tmp_path, text))


def test_open_dimensions_are_written_and_read_back(tmp_path: Path) -> None:
    text = (
        'layer { name: "data" type: "ImageData" top: "data" top: "label" transform_param { scale: 0.5 mean_value: 3 } }'
        + layer("r", "ReLU", "data", "data")
        + layer("s", "Softmax", "data", "s")
    )
    net = read_text(tmp_path, text)
    dongfeng.write_caffe(net, tmp_path / "open.prototxt")
    assert dongfeng.read_caffe(tmp_path / "open.prototxt") == net
    assert net.preprocessing == dongfeng.read_caffe(tmp_path / "open.prototxt").preprocessing is not None


def test_input_of_data_layer_names_survive(tmp_path: Path) -> None:
    net = read_text(tmp_path, data(1, 2, 3, 4) + layer("r", "ReLU", "data", "data"))
    dongfeng.write_caffe(net, tmp_path / "in.prototxt")
    assert 'top: "data"' in (tmp_path / "in.prototxt").read_text()
    assert "@" not in (tmp_path / "in.prototxt").read_text()
