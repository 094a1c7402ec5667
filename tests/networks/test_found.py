"""Small networks that a random search once found converted wrongly, or refused without a clear line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dongfeng
import dongfeng.reference
from dongfeng.errors import ConversionError, ShapeError, UnsupportedLayer, WeightsMismatch
from dongfeng.net.random_weights import random_weights
from tests.nets import data, layer, read_text


def computed(net: dongfeng.Net, *shape: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Outputs by ONNX Runtime and by the NumPy interpreter."""
    feeds = {"data": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    return dongfeng.run(net, feeds), dongfeng.reference.run(net, feeds, net.outputs)


def test_padding_on_one_axis_drops_a_last_window_on_both(tmp_path: Path) -> None:
    """Caffe asks `pad_h || pad_w` before it looks at either axis: 9 columns in steps of 3 are 3 windows, not 4."""
    param = "pooling_param { kernel_h: 4 kernel_w: 1 stride: 3 pad_h: 1 pad_w: 0 }"
    net = read_text(tmp_path, data(1, 1, 8, 9) + layer("p", "Pooling", "data", "p", param))
    assert net.shapes()["p"] == (1, 1, 3, 3)
    got, expected = computed(net, 1, 1, 8, 9)
    np.testing.assert_array_equal(got["p"], expected["p"])


@pytest.mark.parametrize("size", [(5, 5), (3, 9), (9, 9)], ids=str)
def test_pyramids_whose_padding_holds_a_window_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    """Caffe checks pad < kernel in the poolings it makes of an SPP."""
    text = data(1, 2, *size) + layer("s", "SPP", "data", "s", "spp_param { pyramid_height: 4 }")
    with pytest.raises(ShapeError, match=r'"s" \(SPP\): level \d wants .* bins'):
        read_text(tmp_path, text)


def test_argmax_with_an_axis_keeps_the_number_of_axes(tmp_path: Path) -> None:
    text = data(2, 5) + layer("a", "ArgMax", "data", "a", "argmax_param { axis: 1 }")
    got, expected = computed(read_text(tmp_path, text), 2, 5)
    assert got["a"].shape == expected["a"].shape == (2, 1)


@pytest.mark.parametrize(
    "sharing",
    [
        'layer { name: "s" type: "Split" bottom: "data" top: "a" top: "b" }',
        layer("f", "Flatten", "data", "a") + layer("g", "Flatten", "data", "b"),
        layer("c", "Concat", "data", "a") + layer("d", "Slice", "data", "b"),
        layer("p", "Permute", "data", "a", "permute_param { order: 0 }") + layer("r", "Flatten", "data", "b"),
    ],
    ids=["Split", "Flatten", "single Concat and Slice", "Permute that moves nothing"],
)
def test_overwriting_memory_of_an_output_is_refused(tmp_path: Path, sharing: str) -> None:
    """In Caffe `b`, which no layer reads, would be overwritten with `a`."""
    net = read_text(tmp_path, data(1, 2, 3, 3) + sharing + layer("relu", "ReLU", "a", "own"))
    assert net.outputs == ("b", "own")
    with pytest.raises(UnsupportedLayer, match='"relu" .* in place on memory that is the output "b"; give its top'):
        read_text(tmp_path, data(1, 2, 3, 3) + sharing + layer("relu", "ReLU", "a", "a"))


def test_a_dynamic_reshape_does_not_mistake_one_open_axis_for_another(tmp_path: Path) -> None:
    """The top's axis 3 is new: that the bottom's axis 3, now the top's last, is open as well means nothing."""
    param = "reshape_param { axis: 2 num_axes: 1 shape { dim: 0 dim: -1 } }"
    net = read_text(tmp_path, data(1, 2, 7, 5) + layer("r", "Reshape", "data", "r", param))
    assert net.shapes()["r"] == (1, 2, 7, 1, 5)
    with pytest.raises(UnsupportedLayer, match=r'"r" \(Reshape\): moves dynamic dimensions'):
        dongfeng.to_onnx(net, dynamic=True)


def test_weights_of_another_input_size_are_refused(tmp_path: Path) -> None:
    text = data(1, 3, 4, 4) + layer("f", "InnerProduct", "data", "f", "inner_product_param { num_output: 5 }")
    net = random_weights(read_text(tmp_path, text))
    with pytest.raises(WeightsMismatch, match=r'"f" \(InnerProduct\): its weights \(blob 0\) are 5x48, .* 5x60'):
        computed(net, 1, 3, 4, 5)
    with pytest.raises(WeightsMismatch, match="use the size they were trained for"):
        dongfeng.to_onnx(net.resize(8, 8))


def test_weights_for_each_sample_keep_the_batch_closed(tmp_path: Path) -> None:
    text = data(2, 3, 4, 4) + layer("s", "Scale", "data", "s", "scale_param { axis: 0 }")
    net = random_weights(read_text(tmp_path, text))
    with pytest.raises(UnsupportedLayer, match=r'"s" \(Scale\) has weights for one batch size'):
        dongfeng.to_onnx(net, dynamic="batch")


def test_random_weights_without_axes_stay_so(tmp_path: Path) -> None:
    text = data(2, 3) + layer("s", "Scale", "data", "s", "scale_param { axis: 0 num_axes: 0 bias_term: true }")
    net = random_weights(read_text(tmp_path, text))
    assert [blob.shape for blob in net.layer("s").blobs] == [(), ()]
    got, expected = computed(net, 2, 3)
    np.testing.assert_allclose(got["s"], expected["s"], rtol=1e-6)


def test_a_net_without_outputs_says_so(tmp_path: Path) -> None:
    net = read_text(tmp_path, data(1, 3, 2, 2) + 'layer { name: "s" type: "Silence" bottom: "data" }')
    with pytest.raises(ConversionError, match="its outputs are none, for layers read all its blobs"):
        dongfeng.to_onnx(net)
