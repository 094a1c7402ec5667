"""One dynamic model against one static model for each size."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import dongfeng
from dongfeng.errors import DongfengWarning, UnsupportedLayer
from dongfeng.net.feeds import feed_arrays, shaped_like
from dongfeng.net.random_weights import random_weights
from tests.golden.refusals import REFUSED_DYNAMIC_BATCH
from tests.golden.test_cases import COMPUTED, load_meta, read_case
from tests.nets import data, layer, read_text

CONV = "convolution_param { num_output: 6 kernel_size: 3 stride: 2 pad: 1 }"
NETS = {
    "pooling rounds up": layer("m", "Pooling", "data", "m", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }")
    + layer("a", "Pooling", "m", "a", "pooling_param { pool: AVE kernel_size: 2 stride: 2 }"),
    "pooling beyond the input": layer(
        "a", "Pooling", "data", "a", "pooling_param { pool: AVE kernel_size: 40 stride: 40 }"
    ),
    "padded averages": layer("e", "Pooling", "data", "e", "pooling_param { pool: AVE kernel_size: 3 stride: 1 pad: 1 }")
    + layer(
        "u", "Pooling", "e", "u", "pooling_param { pool: AVE kernel_h: 3 kernel_w: 2 stride: 1 pad_h: 1 pad_w: 0 }"
    ),
    "interp follows": layer("c", "Convolution", "data", "c", CONV)
    + layer("p", "Pooling", "c", "p", "pooling_param { pool: AVE kernel_size: 4 stride: 4 }")
    + layer("i", "Interp", "p", "i", "interp_param { height: 9 width: 9 }")
    + layer("j", "Concat", "c i", "j"),
    "interp by factors": layer("z", "Interp", "data", "z", "interp_param { zoom_factor: 3 pad_beg: -1 }")
    + layer("s", "Interp", "z", "s", "interp_param { shrink_factor: 2 pad_end: -2 }"),
    "crop": layer("d", "Deconvolution", "data", "d", "convolution_param { num_output: 3 kernel_size: 4 stride: 2 }")
    + layer("k", "Crop", "d data", "k", "crop_param { axis: 2 offset: 1 offset: 2 }"),
    "shuffle": layer("c", "Convolution", "data", "c", CONV)
    + layer("s", "ShuffleChannel", "c", "s", "shuffle_channel_param { group: 3 }"),
    "global pooling and inner product": layer("c", "Convolution", "data", "c", CONV)
    + layer("g", "Pooling", "c", "g", "pooling_param { pool: AVE global_pooling: true }")
    + layer("f", "InnerProduct", "g", "f", "inner_product_param { num_output: 4 }")
    + layer("p", "Softmax", "f", "p"),
    "normalise": layer("m", "MVN", "data", "m")
    + layer("l", "LRN", "m", "l")
    + layer("w", "LRN", "l", "w", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }"),
    "flatten": layer("f", "Flatten", "data", "f", "flatten_param { axis: 2 }"),
    "head": layer("p", "Softmax", "data", "p") + layer("m", "ArgMax", "p", "m", "argmax_param { axis: 1 }"),
}
SIZES = [(1, 3, 9, 11), (2, 3, 16, 8), (1, 3, 23, 37), (3, 3, 10, 10), (1, 3, 50, 41)]


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
    )


@pytest.mark.parametrize("opset", [11, 17, 22])
@pytest.mark.parametrize("name", NETS)
def test_one_dynamic_model_equals_static_ones(tmp_path: Path, name: str, opset: int) -> None:
    net = random_weights(read_text(tmp_path, data(1, 3, 17, 17) + NETS[name]))
    dynamic = session(dongfeng.to_onnx(net, dynamic=True, opset=opset))
    assert dynamic.get_inputs()[0].shape == ["batch", 3, "height", "width"]
    for shape in SIZES:
        image = np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)
        expected = dongfeng.run(net, {"data": image})
        for value, got in zip(dynamic.get_outputs(), dynamic.run(None, {"data": image}), strict=True):
            assert got.shape == expected[value.name].shape
            np.testing.assert_allclose(got, expected[value.name], rtol=1e-5, atol=1e-5)


def test_a_released_network_is_dynamic(shared: Path) -> None:
    net = random_weights(dongfeng.read_caffe(shared / "release/prototxt/df1seg_mergebn.prototxt"))
    dynamic = session(dongfeng.to_onnx(net, dynamic=True, outputs=["Decoder_score"]))
    for height, width in ((64, 128), (256, 512), (96, 64), (384, 640), (32, 32)):
        image = np.random.default_rng(height).standard_normal((1, 3, height, width)).astype(np.float32)
        (got,) = dynamic.run(None, {"data": image})
        expected = dongfeng.run(net, {"data": image}, ["Decoder_score"])["Decoder_score"]
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_an_inner_product_pins_the_size(tmp_path: Path) -> None:
    net = random_weights(
        read_text(
            tmp_path,
            data(1, 3, 8, 8) + layer("f", "InnerProduct", "data", "f", "inner_product_param { num_output: 4 }"),
        )
    )
    with pytest.warns(DongfengWarning, match=r'"f" \(InnerProduct\) has weights for one input size: only the batch'):
        model = dongfeng.to_onnx(net, dynamic=True)
    assert session(model).get_inputs()[0].shape == ["batch", 3, 8, 8]
    with pytest.raises(dongfeng.errors.ConversionError, match='True, False or "batch"'):
        dongfeng.to_onnx(net, dynamic="height")


@pytest.mark.parametrize("case", COMPUTED, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore::dongfeng.errors.DongfengWarning")
def test_corpus_with_a_dynamic_batch(case: Path) -> None:
    """A model of dynamic batch gives what the static one gives, or is refused for a known reason."""
    meta = load_meta(case)
    feeds = {blob: np.load(case / entry["file"]) for blob, entry in meta["inputs"].items()}
    net = read_case(case, meta)
    net = shaped_like(net, feed_arrays(net, feeds))
    if case.name in REFUSED_DYNAMIC_BATCH:
        with pytest.raises(UnsupportedLayer, match=re.escape(REFUSED_DYNAMIC_BATCH[case.name]) + "$"):
            dongfeng.to_onnx(net, dynamic="batch")
        return
    dynamic = session(dongfeng.to_onnx(net, dynamic="batch"))
    expected = dongfeng.run(net, feeds)
    read = {value.name for value in dynamic.get_inputs()}
    results = dynamic.run(None, {blob: array for blob, array in feed_arrays(net, feeds).items() if blob in read})
    for value, got in zip(dynamic.get_outputs(), results, strict=True):
        np.testing.assert_allclose(got.astype(np.float32), expected[value.name], rtol=1e-5, atol=1e-5)
