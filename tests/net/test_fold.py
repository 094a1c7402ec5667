"""Folding: same numbers, the convolution's name, and what must be left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dongfeng
import dongfeng.reference
from dongfeng.net.random_weights import random_weights
from tests.nets import CONV_BN, data, layer, read_text

SHAPE = (1, 3, 8, 8)


def with_statistics(net: dongfeng.Net) -> dongfeng.Net:
    """Random weights whose BatchNorm factor is not 1, as in trained files."""
    rng = np.random.default_rng(3)
    layers = []
    factor = np.float32(999.982)
    for item in random_weights(net).layers:
        blobs = item.blobs
        if item.type == "BatchNorm":
            mean, variance, _, *affine = blobs
            variance = variance + rng.random(variance.shape, np.float32)
            blobs = (mean * factor, variance * factor, np.array([factor]), *affine)
        layers.append(replace(item, blobs=blobs))
    return net.with_layers(layers)


def assert_same_numbers(net: dongfeng.Net, folded: dongfeng.Net, names: dict[str, str]) -> None:
    feed = {"data": np.random.default_rng(0).standard_normal(SHAPE, np.float32)}
    before, after = dongfeng.run(net, feed, list(names)), dongfeng.run(folded, feed, list(names.values()))
    for old, new in names.items():
        np.testing.assert_allclose(after[new], before[old], rtol=1e-5, atol=1e-5)


def test_the_convolution_keeps_its_name_and_numbers(tmp_path: Path) -> None:
    net = with_statistics(read_text(tmp_path, CONV_BN))
    folded = dongfeng.fold(net)
    assert [(item.name, item.bottoms, item.tops) for item in folded.layers] == [
        ("conv", ("data",), ("conv@0",)),
        ("relu", ("conv@0",), ("conv",)),
        ("out", ("conv",), ("out",)),
    ]
    assert folded.aliases == {"conv@0": "conv"}
    assert folded.layers[0].params.convolution_param.bias_term
    assert_same_numbers(net, folded, {"bn": "conv", "out": "out"})
    assert dongfeng.fold(folded) == folded
    assert len(net.layers) == 5, "the net given is left as it is"


def test_structure_folds_without_weights(tmp_path: Path) -> None:
    net = read_text(tmp_path, CONV_BN)
    structure, weighted = dongfeng.fold(net), dongfeng.fold(random_weights(net))
    assert [item.params for item in structure.layers] == [item.params for item in weighted.layers]
    assert not any(item.blobs for item in structure.layers)


def test_a_convolution_others_read_is_left_alone(tmp_path: Path) -> None:
    net = read_text(tmp_path, CONV_BN + layer("tap", "ReLU", "conv", "tap"))
    assert dongfeng.fold(net) == net


def test_batchnorm_others_read_folds_without_its_scale(tmp_path: Path) -> None:
    text = CONV_BN.replace('top: "bn" scale_param', 'top: "scaled" scale_param').replace(
        'name: "relu" type: "ReLU" bottom: "bn" top: "bn"', 'name: "relu" type: "ReLU" bottom: "bn" top: "r"'
    )
    net = with_statistics(read_text(tmp_path, text.replace('bottom: "bn" top: "out"', 'bottom: "r" top: "out"')))
    folded = dongfeng.fold(net)
    assert [item.name for item in folded.layers] == ["conv", "scale", "relu", "out"]
    assert_same_numbers(net, folded, {"bn": "conv", "scaled": "scaled", "out": "out"})


@pytest.mark.parametrize(
    "params",
    [
        "Convolution convolution_param { num_output: 4 kernel_size: 3 group: 1 }",
        "Deconvolution convolution_param { num_output: 6 kernel_size: 4 stride: 2 group: 3 }",
        "Deconvolution convolution_param { num_output: 4 kernel_size: 2 bias_term: false }",
        "InnerProduct inner_product_param { num_output: 4 }",
        "InnerProduct inner_product_param { num_output: 4 transpose: true }",
    ],
)
def test_every_learned_layer_folds(tmp_path: Path, params: str) -> None:
    kind, _, rest = params.partition(" ")
    text = (
        data(*SHAPE)
        + layer("w", kind, "data", "w", rest)
        + layer("bn", "BatchNorm", "w", "w")
        + layer("scale", "Scale", "w", "w")
        + layer("again", "BatchNorm", "w", "w")
    )
    net = with_statistics(read_text(tmp_path, text))
    folded = dongfeng.fold(net)
    assert [item.name for item in folded.layers] == ["w"]
    assert_same_numbers(net, folded, {"w": "w"})


def test_the_scale_inside_nvidias_batchnorm_folds_and_counts(tmp_path: Path) -> None:
    conv = "convolution_param { num_output: 4 kernel_size: 3 }"
    affine = "batch_norm_param { scale_bias: true eps: 0.001 }"
    text = data(*SHAPE) + layer("c", "Convolution", "data", "c", conv) + layer("bn", "BatchNorm", "c", "bn", affine)
    net = with_statistics(read_text(tmp_path, text))
    assert [blob.shape for blob in net.layer("bn").blobs] == [(4,), (4,), (1,), (4,), (4,)]
    feed = {"data": np.random.default_rng(0).standard_normal(SHAPE, np.float32)}
    ours, reference = dongfeng.run(net, feed)["bn"], dongfeng.reference.run(net, feed)["bn"]
    np.testing.assert_allclose(ours, reference, rtol=1e-5, atol=1e-6)
    c = dongfeng.run(net, feed, ["c"])["c"].astype(np.float64)
    mean, variance, factor, scale, bias = (
        blob.astype(np.float64).reshape(1, -1, 1, 1) for blob in net.layer("bn").blobs
    )
    expected = (c - mean / factor) / np.sqrt(variance / factor + 0.001) * scale + bias
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
    assert_same_numbers(net, dongfeng.fold(net), {"bn": "c"})


@pytest.mark.parametrize(
    "scale",
    ["scale_param { axis: 2 }", "scale_param { num_axes: 2 }", 'param { name: "shared" }'],
)
def test_a_scale_that_is_not_one_factor_per_channel_stays(tmp_path: Path, scale: str) -> None:
    conv = "convolution_param { num_output: 4 kernel_size: 3 }"
    text = data(*SHAPE) + layer("c", "Convolution", "data", "c", conv) + layer("s", "Scale", "c", "s", scale)
    net = random_weights(read_text(tmp_path, text))
    assert dongfeng.fold(net) == net


def test_shared_weights_stay(tmp_path: Path) -> None:
    conv = 'param { name: "w" } convolution_param { num_output: 3 kernel_size: 1 bias_term: false }'
    text = (
        data(*SHAPE)
        + layer("a", "Convolution", "data", "a", conv)
        + layer("bn", "BatchNorm", "a", "bn")
        + layer("b", "Convolution", "bn", "b", conv)
    )
    net = read_text(tmp_path, text)
    assert dongfeng.fold(net) == net
