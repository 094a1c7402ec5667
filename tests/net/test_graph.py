"""`Net`: data, equality, wiring, sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dongfeng
import dongfeng.reference
from dongfeng.errors import PrototxtError, ShapeError
from dongfeng.net.random_weights import random_weights
from tests.nets import CONV_BN, data, layer, read_text

CONV = "convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 1 }"
FIXED = "interp_param { height: 4 width: 8 }"


def test_blobs_written_in_place_have_private_names(tmp_path: Path) -> None:
    net = read_text(tmp_path, CONV_BN)
    assert [(item.bottoms, item.tops) for item in net.layers] == [
        (("data",), ("conv",)),
        (("conv",), ("bn@0",)),
        (("bn@0",), ("bn@1",)),
        (("bn@1",), ("bn",)),
        (("bn",), ("out",)),
    ]
    assert net.aliases == {"bn@0": "bn", "bn@1": "bn"}
    assert net.outputs == ("out",)


def test_a_net_is_immutable_and_equal_by_content(tmp_path: Path) -> None:
    net, same = read_text(tmp_path, CONV_BN), read_text(tmp_path, CONV_BN)
    assert net == same
    assert hash(net) == hash(same)
    with pytest.raises(AttributeError, match="cannot assign to field"):
        net.name = "other"
    with pytest.raises(TypeError, match="does not support item assignment"):
        net.inputs["data"] = (1, 3, 4, 4)
    weighted = random_weights(net)
    assert weighted != net
    assert weighted == random_weights(same)
    assert weighted != random_weights(same, seed=1)
    with pytest.raises(ValueError, match="read-only"):
        weighted.layers[0].blobs[0][:] = 0


def test_defaults_written_out_do_not_count_in_equality(tmp_path: Path) -> None:
    bare = read_text(tmp_path, data(1, 3, 8, 8) + layer("r", "ReLU", "data", "r"))
    spelled = read_text(
        tmp_path, data(1, 3, 8, 8) + layer("r", "ReLU", "data", "r", "relu_param { negative_slope: 0 }")
    )
    leaky = read_text(
        tmp_path, data(1, 3, 8, 8) + layer("r", "ReLU", "data", "r", "relu_param { negative_slope: 0.1 }")
    )
    assert bare == spelled
    assert bare != leaky


def test_outputs_are_the_blobs_nobody_reads_in_byte_order(tmp_path: Path) -> None:
    text = data(1, 3, 8, 8) + "".join(layer(top, "ReLU", "data", top) for top in ("b", "a", "Z"))
    assert read_text(tmp_path, text).outputs == ("Z", "a", "b")


def test_two_producers_and_unknown_bottoms_name_the_line(tmp_path: Path) -> None:
    twice = data(1, 3, 8, 8) + layer("a", "ReLU", "data", "x") + layer("b", "ReLU", "data", "x")
    with pytest.raises(PrototxtError, match=r'net\.prototxt:3: layer "b" \(ReLU\): top "x" is made by two layers'):
        read_text(tmp_path, twice)
    with pytest.raises(PrototxtError, match=r'net\.prototxt:2: .*bottom "nobody" is made by no earlier layer'):
        read_text(tmp_path, data(1, 3, 8, 8) + layer("a", "ReLU", "nobody", "x"))


def test_all_unsupported_layers_are_named_at_once(tmp_path: Path) -> None:
    text = data(1, 3, 8, 8) + layer("a", "Foo", "data", "x") + layer("b", "Bar", "x", "y")
    with pytest.raises(dongfeng.errors.UnsupportedLayer) as caught:
        read_text(tmp_path, text)
    assert len(caught.value.problems) == 2
    assert 'net.prototxt:2: layer "a" (Foo)' in str(caught.value)
    assert 'net.prototxt:3: layer "b" (Bar)' in str(caught.value)


def test_open_size_is_asked_for_by_name(tmp_path: Path) -> None:
    text = 'layer { name: "data" type: "ImageData" top: "data" top: "label" }' + layer(
        "c", "Convolution", "data", "c", CONV
    )
    net = read_text(tmp_path, text)
    assert net.inputs == {"data": (1, 3, None, None)}
    assert len(net.layers) == 1
    for ask in (net.shapes, net.cost):
        with pytest.raises(ShapeError, match=r"data 1x3x\?x\?.*net\.resize\(height, width\)"):
            ask()
    assert net.resize(8, 10).shapes() == {"data": (1, 3, 8, 10), "c": (1, 4, 4, 5)}


def test_interp_follows_what_it_is_joined_with(tmp_path: Path) -> None:
    text = (
        data(1, 3, 8, 16)
        + layer("half", "Convolution", "data", "half", CONV)
        + layer("low", "Convolution", "half", "low", CONV)
        + layer("up", "Interp", "low", "up", FIXED)
        + layer("join", "Concat", "up half", "join")
    )
    net = read_text(tmp_path, text)
    assert net.shapes()["join"] == (1, 8, 4, 8)
    assert net.resize(8, 16) == net
    assert net.resize(18, 42).shapes()["up"] == (1, 4, 9, 21)
    assert net.shapes()["up"] == (1, 4, 4, 8), "resize leaves the net as it was"


def test_interp_follows_a_blob_that_is_made_later(tmp_path: Path) -> None:
    text = (
        data(1, 3, 8, 16)
        + layer("up", "Interp", "data", "up", FIXED)
        + layer("half", "Convolution", "data", "half", CONV)
        + layer("four", "Convolution", "data", "four", CONV.replace("4", "3"))
        + layer("sum", "Eltwise", "up four", "sum")
    )
    assert read_text(tmp_path, text).resize(10, 20).shapes()["sum"] == (1, 3, 5, 10)


def test_interp_that_stands_alone_scales_with_the_input(tmp_path: Path) -> None:
    net = read_text(
        tmp_path, data(1, 3, 8, 16) + layer("up", "Interp", "data", "up", "interp_param { height: 20 width: 8 }")
    )
    assert net.resize(16, 32).shapes()["up"] == (1, 3, 40, 16)
    with pytest.raises(ShapeError, match=r'"up" \(Interp\): height 20 .* does not scale to 9'):
        net.resize(9, 16)


def test_layers_that_resize_each_other_scale_with_the_input(tmp_path: Path) -> None:
    text = (
        data(1, 3, 8, 16)
        + layer("a", "Interp", "data", "a", FIXED)
        + layer("b", "Interp", "data", "b", FIXED)
        + layer("sum", "Eltwise", "a b", "sum")
    )
    assert read_text(tmp_path, text).resize(16, 16).shapes()["sum"] == (1, 3, 8, 8)


def test_cost_counts_matrix_products_at_batch_1(tmp_path: Path) -> None:
    text = (
        data(7, 3, 8, 8)
        + layer("c", "Convolution", "data", "c", CONV)
        + layer("f", "InnerProduct", "c", "f", "inner_product_param { num_output: 5 }")
    )
    conv, product = read_text(tmp_path, text).cost()
    assert (conv.name, conv.macs, conv.parameters) == ("c", 4 * 4 * 4 * 27, 4 * 27 + 4)
    assert (conv.bytes_read, conv.bytes_written) == (4 * (3 * 64 + 112), 4 * 64)
    assert (product.macs, product.parameters) == (64 * 5, 64 * 5 + 5)


def test_deconvolution_costs_by_its_input(tmp_path: Path) -> None:
    params = "convolution_param { num_output: 6 kernel_size: 4 stride: 2 pad: 1 group: 3 }"
    (row,) = read_text(tmp_path, data(1, 3, 5, 7) + layer("d", "Deconvolution", "data", "d", params)).cost()
    assert row.macs == 5 * 7 * 3 * 2 * 16
    assert row.parameters == 3 * 2 * 16 + 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (layer("c", "Convolution", "data", "c", "convolution_param { num_output: 4 }"), "kernel_size is missing"),
        (layer("c", "Convolution", "data", "c", "convolution_param { kernel_size: 3 }"), "num_output must be positive"),
        (
            layer("c", "Convolution", "data", "c", "convolution_param { num_output: 4 kernel_size: 30 }"),
            "the kernel spans 30 pixels, more than the padded input of 8",
        ),
        (
            layer("c", "Convolution", "data", "c", "convolution_param { num_output: 4 kernel_size: 3 group: 2 }"),
            "3 input channels are no multiple of group 2",
        ),
        (layer("e", "Eltwise", "data", "e"), "has 1 bottoms, expected 2 or more"),
        (
            layer("e", "Eltwise", "data data", "e", "eltwise_param { operation: PROD coeff: 1 coeff: 1 }"),
            "coeff belongs to operation SUM",
        ),
        (layer("p", "Pooling", "data", "p", "pooling_param { pool: MAX }"), "either kernel_size or both"),
        (layer("i", "Interp", "data", "i"), "expected height and width, zoom_factor or shrink_factor"),
        (layer("i", "Interp", "data", "i", "interp_param { zoom_factor: 2 pad_beg: 1 }"), "can only crop"),
        (
            layer("s", "Softmax", "data", "s", "softmax_param { axis: 4 }"),
            "axis 4 is out of range for a bottom of 4 axes",
        ),
        (layer("h", "ShuffleChannel", "data", "h", "shuffle_channel_param { group: 2 }"), "no multiple of group 2"),
        (layer("m", "ArgMax", "data", "m", "argmax_param { axis: 1 top_k: 4 }"), "top_k 4 is more than the 3 values"),
    ],
    ids=lambda value: value if " " in value and "layer" not in value else None,
)
def test_contradictions_name_the_layer_and_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ShapeError) as caught:
        read_text(tmp_path, data(1, 3, 8, 8) + text)
    assert message in str(caught.value)
    assert "net.prototxt:2: layer" in str(caught.value)


def test_an_inplace_input_keeps_its_name_for_its_last_version(tmp_path: Path) -> None:
    net = read_text(tmp_path, data(1, 3, 8, 8) + layer("r", "ReLU", "data", "data"))
    assert net.inputs == {"data@0": (1, 3, 8, 8)}
    assert net.outputs == ("data",)


@pytest.mark.parametrize("spelling", ["round_mode: FLOOR", "ceil_mode: false"])
def test_pooling_rounds_down_in_either_spelling(tmp_path: Path, spelling: str) -> None:
    text = data(1, 3, 8, 8) + layer(
        "p", "Pooling", "data", "p", f"pooling_param {{ kernel_size: 3 stride: 2 {spelling} }}"
    )
    net = read_text(tmp_path, text)
    assert net.shapes()["p"] == (1, 3, 3, 3)
    image = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    got, expected = (compute(net, {"data": image})["p"] for compute in (dongfeng.run, dongfeng.reference.run))
    np.testing.assert_array_equal(got, expected)
    with pytest.raises(ShapeError, match="two spellings of one choice"):
        read_text(tmp_path, text.replace(spelling, "round_mode: FLOOR ceil_mode: true"))


def test_phase_train_normalises_by_the_batch_and_refuses_dropout(tmp_path: Path) -> None:
    text = data(4, 3, 2, 2) + layer("bn", "BatchNorm", "data", "bn", "batch_norm_param { eps: 0 }")
    image = np.random.default_rng(0).standard_normal((4, 3, 2, 2)).astype(np.float32)
    net = random_weights(read_text(tmp_path, text, phase="TRAIN"))
    got = dongfeng.run(net, {"data": image})["bn"]
    axes = (0, 2, 3)
    wanted = (image - image.mean(axes, keepdims=True)) / image.std(axes, keepdims=True)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    drop = read_text(tmp_path, data(1, 3, 2, 2) + layer("d", "Dropout", "data", "d"), phase="TRAIN")
    with pytest.raises(dongfeng.errors.UnsupportedLayer, match="at random in phase TRAIN"):
        dongfeng.run(drop, {"data": image[:1]})


@pytest.mark.parametrize(
    "text", ["Sigmoid sigmoid_param", "TanH tanh_param", "ReLU relu_param", "Softmax softmax_param"]
)
def test_engine_is_read_past(tmp_path: Path, text: str) -> None:
    kind, field = text.split()
    read_text(tmp_path, data(1, 3, 8, 8) + layer("n", kind, "data", "n", f"{field} {{ engine: CAFFE }}"))


def test_parameters_of_another_type_are_refused_with_their_line(tmp_path: Path) -> None:
    text = data(1, 3, 8, 8) + 'layer { name: "r" type: "ReLU" bottom: "data" top: "r"\n pooling_param { pool: AVE } }'
    with pytest.raises(
        dongfeng.errors.UnsupportedLayer, match=r'net\.prototxt:3: layer "r" \(ReLU\) has pooling_param'
    ):
        read_text(tmp_path, text)
