"""Networks written for ncnn: ncnn itself computes Caffe's numbers from them, and what it cannot is refused."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dongfeng
from dongfeng.architectures import build
from dongfeng.cli.main import main
from dongfeng.errors import ConversionError, DongfengWarning, ShapeError, UnsupportedLayer, WeightsMismatch
from dongfeng.formats.ncnn import load_ncnn_weights, read_ncnn, write_ncnn
from dongfeng.net.random_weights import random_weights
from dongfeng.reference import run as run_reference
from tests.formats.ncnn_files import run_ncnn

INPUT = 'input: "x" input_shape { dim: 1 dim: 4 dim: 7 dim: 9 }'


def layer(type_: str, params: str = "", bottoms: str = "x", tops: str = "y", name: str = "l") -> str:
    blobs = [f'bottom: "{blob}"' for blob in bottoms.split()] + [f'top: "{blob}"' for blob in tops.split()]
    return f'layer {{ name: "{name}" type: "{type_}" {" ".join(blobs)} {params} }}'


def conv(params: str, type_: str = "Convolution") -> str:
    return layer(type_, f"convolution_param {{ {params} }}")


def pool(params: str) -> str:
    return layer("Pooling", f"pooling_param {{ {params} }}")


def make(folder: Path, *layers: str, header: str = INPUT) -> dongfeng.Net:
    path = folder / "net.prototxt"
    path.write_text("\n".join([header, *layers]))
    return random_weights(dongfeng.read_caffe(path), 3)


def feeds(net: dongfeng.Net) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {blob: rng.standard_normal(shape).astype(np.float32) for blob, shape in net.inputs.items()}


def through_ncnn(net: dongfeng.Net, folder: Path, outputs: list[str], half: bool = False) -> dict[str, np.ndarray]:
    ncnn = pytest.importorskip("ncnn")
    write_ncnn(net, folder / "w.param", folder / "w.bin", outputs=outputs, half=half)
    return run_ncnn(ncnn, folder / "w.param", folder / "w.bin", {k: v[0] for k, v in feeds(net).items()}, outputs)


def assert_same(got: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float = 1e-4) -> None:
    for blob, values in expected.items():
        assert got[blob].shape == values.shape[1:], blob
        assert np.abs(got[blob] - values[0]).max() <= tolerance * np.abs(values).max(), blob


CASES: dict[str, list[str]] = {
    "convolution": [conv("num_output: 3 kernel_h: 2 kernel_w: 3 stride_h: 1 stride_w: 2 pad_h: 0 pad_w: 1")],
    "convolution dilated, no bias": [conv("num_output: 2 kernel_size: 3 dilation: 2 pad: 2 bias_term: false")],
    "groups": [conv("num_output: 6 kernel_size: 2 group: 2")],
    "depthwise": [conv("num_output: 4 kernel_size: 3 pad: 1 group: 4")],
    "a type of its own for depthwise": [conv("kernel_size: 3 pad: 1", "DepthwiseConvolution")],
    "deconvolution": [conv("num_output: 3 kernel_h: 2 kernel_w: 3 stride: 2 pad_w: 1 pad_h: 0", "Deconvolution")],
    "deconvolution groups": [conv("num_output: 6 kernel_size: 3 group: 2", "Deconvolution")],
    "deconvolution depthwise": [
        conv("num_output: 4 kernel_size: 4 stride: 2 pad: 1 group: 4 bias_term: false", "Deconvolution")
    ],
    "convolution, ReLU in place": [conv("num_output: 3 kernel_size: 1"), layer("ReLU", bottoms="y")],
    "convolution, leaky ReLU": [
        layer("Convolution", "convolution_param { num_output: 3 kernel_size: 1 }", tops="c"),
        layer("ReLU", "relu_param { negative_slope: 0.125 }", "c"),
    ],
    "convolution that others read": [
        layer("Convolution", "convolution_param { num_output: 4 kernel_size: 1 }", tops="c"),
        layer("ReLU", bottoms="c", tops="r"),
        layer("Eltwise", bottoms="c r"),
    ],
    "inner product": [layer("InnerProduct", "inner_product_param { num_output: 5 }"), layer("ReLU", bottoms="y")],
    "inner product, transposed": [layer("InnerProduct", "inner_product_param { num_output: 5 transpose: true }")],
    "batch norm": [layer("BatchNorm", "batch_norm_param { eps: 0.01 }")],
    "batch norm, scale": [
        layer("BatchNorm", tops="b"),
        layer("Scale", "scale_param { bias_term: true }", "b"),
    ],
    "scale": [layer("Scale")],
    "scale with bias": [layer("Scale", "scale_param { bias_term: true }")],
    "classifier": [
        layer("Pooling", "pooling_param { pool: AVE global_pooling: true }", tops="p"),
        layer("InnerProduct", "inner_product_param { num_output: 3 }", "p", "i"),
        layer("Softmax", bottoms="i"),
    ],
    "softmax over rows": [layer("Softmax", "softmax_param { axis: -2 }")],
    "shuffle": [layer("ShuffleChannel", "shuffle_channel_param { group: 2 }")],
    "slice, concat": [
        layer("Slice", "slice_param { slice_point: 1 slice_point: 3 }", tops="u v w"),
        layer("Concat", bottoms="w u v u"),
    ],
    "slice, concat of rows": [
        layer("Slice", "slice_param { axis: 3 }", tops="u v w"),
        layer("Concat", "concat_param { axis: -1 }", "w u v"),
    ],
    "sum with factors": [
        layer("ReLU", tops="r"),
        layer("Eltwise", "eltwise_param { coeff: 0.5 coeff: -2e-5 coeff: 1 }", "x r x"),
    ],
    "product": [layer("ReLU", tops="r"), layer("Eltwise", "eltwise_param { operation: PROD }", "x r")],
    "maximum": [layer("Softmax", tops="r"), layer("Eltwise", "eltwise_param { operation: MAX }", "x r")],
    "split, dropout": [
        layer("Split", tops="a b"),
        layer("Dropout", bottoms="a", tops="d"),
        layer("Concat", bottoms="d b"),
    ],
    "interp": [layer("Interp", "interp_param { height: 12 width: 20 }")],
    "interp smaller": [layer("Interp", "interp_param { height: 3 width: 20 }")],
    "interp by a factor": [layer("Interp", "interp_param { zoom_factor: 2 }")],
    "interp of pixel centres": [layer("Interp", "interp_param { height: 14 width: 27 align_corners: false }")],
    "interp of one pixel": [
        layer("Pooling", "pooling_param { pool: AVE global_pooling: true }", tops="p"),
        layer("Interp", "interp_param { height: 5 width: 6 }", "p"),
    ],
    "neurons": [
        layer("Sigmoid", tops="a"),
        layer("TanH", bottoms="a", tops="b"),
        layer("AbsVal", bottoms="b", tops="c"),
        layer("Power", "power_param { power: 2 scale: 0.5 shift: 0.25 }", "c"),
    ],
    "prelu": [layer("PReLU")],
    "prelu of one slope": [layer("PReLU", "prelu_param { channel_shared: true }")],
    "flatten": [layer("Flatten")],
    "max pooling": [pool("kernel_size: 3 stride: 2")],
    "max pooling, rounded down": [pool("kernel_size: 2 stride: 2 round_mode: FLOOR")],
    "max pooling, a last window in the padding": [pool("kernel_size: 2 stride: 2 pad: 1")],
    "average pooling, clipped": [pool("pool: AVE kernel_h: 2 kernel_w: 4 stride_h: 2 stride_w: 3")],
    "average pooling, padded": [pool("pool: AVE kernel_size: 3 stride: 2 pad: 1")],
    "average pooling, clipped behind its padding": [pool("pool: AVE kernel_size: 4 stride: 3 pad: 1")],
    "pooling larger than the input": [pool("pool: AVE kernel_size: 16 stride: 13")],
    "global maximum": [pool("pool: MAX global_pooling: true")],
    "names that a text file cannot hold": [
        layer("ReLU", tops="a=1", name="my layer"),
        layer("Sigmoid", bottoms="x", tops="a_1"),
        layer("Concat", bottoms="a=1 a_1"),
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_ncnn_computes_caffes_numbers(tmp_path: Path, case: str) -> None:
    net = make(tmp_path, *CASES[case])
    assert_same(through_ncnn(net, tmp_path, ["y"]), {"y": run_reference(net, feeds(net), ["y"])["y"]})


def test_pooling_of_any_window(tmp_path: Path) -> None:
    """Windows at random against NumPy's interpreter of Caffe: rounding, padding and divisors of both kinds."""
    rng = np.random.default_rng(0)
    tried = 0
    while tried < 100:
        height, width = rng.integers(1, 15, 2)
        kernel, stride = rng.integers(1, 9, 2), rng.integers(1, 5, 2)
        pad = [rng.integers(0, side) if rng.random() < 0.6 else 0 for side in kernel]
        kind, mode = rng.choice(["MAX", "AVE"]), rng.choice(["", "round_mode: FLOOR"])
        sides = "".join(
            f"{name}_h: {values[0]} {name}_w: {values[1]} "
            for name, values in (("kernel", kernel), ("stride", stride), ("pad", pad))
        )
        header = f'input: "x" input_shape {{ dim: 1 dim: {rng.choice([1, 16])} dim: {height} dim: {width} }}'
        try:
            net = make(tmp_path, pool(f"pool: {kind} {sides} {mode}"), header=header)
        except ShapeError:  # no window at all
            continue
        if (stride > kernel).any() and kind == "AVE":  # a window may hold no pixel, and Caffe divides by zero
            continue
        tried += 1
        assert_same(through_ncnn(net, tmp_path, ["y"]), {"y": run_reference(net, feeds(net), ["y"])["y"]})


# Whole networks


@pytest.mark.parametrize("name", ["df1", "dflite_seg", "df1seg", "pl1a_seg"])
def test_networks_have_the_same_numbers_in_ncnn(tmp_path: Path, name: str) -> None:
    """At this size PSP's pooling kernels exceed the feature map."""
    size = (224, 224) if name == "df1" else (64, 128)
    net = random_weights(dongfeng.fold(build(name).resize(*size)), 0)
    scores = "fc" if name == "df1" else "Decoder_score"
    outputs = [scores, net.layers[4].tops[0]]
    assert_same(through_ncnn(net, tmp_path, outputs), dongfeng.run(net, feeds(net), outputs))


def test_a_network_that_is_not_folded(tmp_path: Path) -> None:
    net = random_weights(build("dflite_seg").resize(64, 128), 0)
    outputs = ["Decoder_score/bn"]
    assert_same(through_ncnn(net, tmp_path, outputs), dongfeng.run(net, feeds(net), outputs))


def test_half_precision_is_half_the_size_and_nearly_the_same(tmp_path: Path) -> None:
    net = random_weights(dongfeng.fold(build("dflite_seg").resize(64, 128)), 0)
    expected = dongfeng.run(net, feeds(net), ["Decoder_score"])
    assert_same(through_ncnn(net, tmp_path, ["Decoder_score"]), expected)
    size = (tmp_path / "w.bin").stat().st_size
    assert_same(through_ncnn(net, tmp_path, ["Decoder_score"], half=True), expected, 1e-2)
    assert (tmp_path / "w.bin").stat().st_size < 0.51 * size
    with pytest.raises(AssertionError):
        assert_same(through_ncnn(net, tmp_path, ["Decoder_score"], half=True), expected)


def plain(net: dongfeng.Net) -> list[tuple[object, ...]]:
    """The layers with blobs numbered in order, and no names."""
    numbers: dict[str, int] = {blob: index for index, blob in enumerate(net.inputs)}
    rows = []
    for made in net.layers:
        for blob in made.tops:
            numbers[blob] = len(numbers)
        blobs = ([numbers[blob] for blob in made.bottoms], [numbers[blob] for blob in made.tops])
        rows.append((made.type, *blobs, made.params, [blob.tobytes() for blob in made.blobs]))
    return rows


def test_pl1a_written_and_read_is_the_released_network(shared: Path, tmp_path: Path) -> None:
    net = read_ncnn(shared / "pl1a/pl1a_new.param.bin", shared / "pl1a/pl1a_new.bin")
    with pytest.warns(DongfengWarning, match=r'layer ".*" \(ArgMax\).*searches the whole blob.*write the net down to'):
        write_ncnn(net, tmp_path / "p.param", tmp_path / "p.bin")
    back = read_ncnn(tmp_path / "p.param", tmp_path / "p.bin")
    assert (back.inputs, back.outputs) == (net.inputs, net.outputs)
    assert plain(back) == plain(net)
    assert (tmp_path / "p.bin").read_bytes() == (shared / "pl1a/pl1a_new.bin").read_bytes()


@pytest.mark.parametrize("name", ["df1", "df2seg1"])
def test_written_and_read_it_writes_the_same_files(tmp_path: Path, name: str) -> None:
    net = random_weights(dongfeng.fold(build(name).resize(64, 128) if "seg" in name else build(name)), 0)
    scores = ["fc" if name == "df1" else "Decoder_score"]
    write_ncnn(net, tmp_path / "a.param", tmp_path / "a.bin", outputs=scores)
    back = read_ncnn(tmp_path / "a.param", tmp_path / "a.bin")
    write_ncnn(back, tmp_path / "b.param", tmp_path / "b.bin", outputs=scores)
    assert (tmp_path / "a.param").read_text() == (tmp_path / "b.param").read_text()
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


def test_without_a_bin_only_the_network_is_written(tmp_path: Path) -> None:
    net = build("pl1a_seg").resize(64, 128)
    write_ncnn(net, tmp_path / "p.param", outputs=["Decoder_score"])
    assert read_ncnn(tmp_path / "p.param").shapes()["Decoder_score"] == (1, 19, 8, 16)
    assert [path.name for path in tmp_path.iterdir()] == ["p.param"]


# What is refused


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (layer("Softmax", "softmax_param { axis: 0 }"), "the batch as its axis"),
        (pool("kernel_size: 2").replace('top: "y"', 'top: "y" top: "m"'), "places of the maxima"),
        (layer("ArgMax", "argmax_param { axis: 2 }"), "an axis other than the channels"),
        (layer("ArgMax", "argmax_param { axis: 1 out_max_val: true }"), "values before indices"),
        (layer("BatchNorm", "batch_norm_param { use_global_stats: false }"), "no statistics of the batch"),
        (layer("Scale", "scale_param { axis: 2 num_axes: 1 }"), "not one number a channel"),
        (layer("Scale", "scale_param { axis: 0 }", "x x"), "a factor that is another blob"),
        (layer("Interp", "interp_param { zoom_factor: 2 pad_end: -1 }"), "pad_beg or pad_end"),
        (layer("Flatten", "flatten_param { axis: 2 }"), "axes that stay apart"),
        (layer("InnerProduct", "inner_product_param { num_output: 2 axis: 2 }"), "rows that are multiplied"),
        (conv("num_output: 2 kernel_size: 1").replace('top: "y"', 'bottom: "x" top: "y" top: "z"'), "several bottoms"),
        (pool("pool: AVE kernel_size: 1 stride: 5"), "an average of no pixels"),
        (layer("LRN"), "cannot write this type for ncnn"),
        (layer("Reshape", "reshape_param { shape { dim: 1 dim: 2 dim: 2 dim: 7 dim: 9 } }"), "type for ncnn"),
    ],
)  # fmt: skip
def test_what_ncnn_cannot_express_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    net = make(tmp_path, text)
    with pytest.raises(UnsupportedLayer, match=rf'net\.prototxt:2: layer "l" .*{problem}'):
        write_ncnn(net, tmp_path / "n.param", tmp_path / "n.bin")
    assert not (tmp_path / "n.param").exists()


def test_all_that_ncnn_cannot_express_is_named_at_once(tmp_path: Path) -> None:
    header = 'input: "x" input_shape { dim: 2 dim: 4 dim: 7 dim: 9 }'
    net = make(tmp_path, layer("LRN", name="a", tops="a"), layer("LRN", name="b", bottoms="a"), header=header)
    with pytest.raises(UnsupportedLayer) as error:
        write_ncnn(net, tmp_path / "n.param")
    assert len(error.value.problems) == 3
    assert error.value.problems[0] == 'input "x": shape 2x4x7x9; ncnn takes one to three axes behind a batch of 1'


def test_open_sizes_missing_weights_and_unknown_blobs(tmp_path: Path) -> None:
    net = build("df1seg").resize(64, 128)
    with pytest.raises(ShapeError, match="open"):
        write_ncnn(replace(net, inputs={"data": (1, 3, None, None)}), tmp_path / "n.param")
    make(tmp_path, conv('num_output: 1 kernel_size: 1 weight_filler { type: "gaussian" }'))
    with pytest.raises(WeightsMismatch, match='layer "l"'):
        write_ncnn(dongfeng.read_caffe(tmp_path / "net.prototxt"), tmp_path / "n.param", tmp_path / "n.bin")
    with pytest.raises(ConversionError, match="no blob 'nowhere'"):
        write_ncnn(net, tmp_path / "n.param", outputs=["nowhere"])


def test_weights_too_large_for_half_precision(tmp_path: Path) -> None:
    net = make(tmp_path, conv("num_output: 1 kernel_size: 1"))
    (only,) = net.layers
    large = net.with_layers([replace(only, blobs=(only.blobs[0] * np.float32(1e6), only.blobs[1]))])
    with pytest.raises(UnsupportedLayer, match="weights beyond 65504"):
        write_ncnn(large, tmp_path / "n.param", tmp_path / "n.bin", half=True)


def test_a_net_without_labels_gives_no_warning(shared: Path, tmp_path: Path) -> None:
    net = load_ncnn_weights(build("pl1a_seg"), shared / "pl1a/pl1a_new.bin")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_ncnn(net, tmp_path / "p.param", tmp_path / "p.bin", outputs=["Decoder_score"])


def test_the_command_writes_both_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "net.param"
    command = ["convert", "dflite_seg", "--weights", "random:3", "--size", "64x128", "-o", str(out)]
    assert main([*command, "--output", "Decoder_score"]) == 0
    assert capsys.readouterr().out.split() == [str(out), str(out.with_suffix(".bin"))]
    net = random_weights(build("dflite_seg", folded=True).resize(64, 128), 3)
    expected = dongfeng.run(net, feeds(net), ["Decoder_score"])["Decoder_score"]
    back = read_ncnn(out, out.with_suffix(".bin"))
    got = dongfeng.run(back, feeds(net), ["Decoder_score"])["Decoder_score"]
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()
    with pytest.raises(SystemExit) as error:
        main([*command, "--opset", "13"])
    assert error.value.code == 2
