"""ncnn files: the same numbers as ncnn, and one clear line for what cannot be read."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import dongfeng
from dongfeng.architectures import build
from dongfeng.errors import ConversionError, DongfengError, ShapeError, UnsupportedLayer, WeightsMismatch
from dongfeng.formats.ncnn import load_ncnn_weights, read_ncnn
from dongfeng.formats.ncnn.param import read_param
from dongfeng.formats.ncnn.types import LAYER_TYPES
from dongfeng.net.weights import bilinear
from tests.formats.ncnn_files import HALF, Weights, run_ncnn, text, write

MEAN_BGR = np.array([103.94, 116.78, 123.68], np.float32)


def pl1a_input(shared: Path, frame: str) -> np.ndarray:
    image = cv2.imread(str(shared / f"pl1a/frames/{frame}.png")).astype(np.float32)
    return np.ascontiguousarray(((image - MEAN_BGR) * np.float32(0.008)).transpose(2, 0, 1)[None])


@pytest.fixture(scope="module")
def pl1a(shared: Path) -> dongfeng.Net:
    return read_ncnn(shared / "pl1a/pl1a_new.param.bin", shared / "pl1a/pl1a_new.bin")


# PL1A, the released network


@pytest.mark.parametrize("frame", ["demo6", "demo33"])
def test_pl1a_scores_and_labels_are_ncnns(shared: Path, pl1a: dongfeng.Net, frame: str) -> None:
    blobs = dongfeng.run(pl1a, {"0": pl1a_input(shared, frame)}, ["207", "212", "214"])
    expected = np.load(shared / f"pl1a/{frame}_score.npz")["score"]
    assert np.abs(blobs["207"][0] - expected).max() <= 1e-4 * np.abs(expected).max()
    labels = cv2.imread(str(shared / f"pl1a/labels/{frame}.png"), cv2.IMREAD_UNCHANGED)
    assert (blobs["214"][0, 0] == labels).mean() >= 0.9999
    height, width = labels.shape
    enlarged = cv2.resize(blobs["207"][0].transpose(1, 2, 0), (width, height), interpolation=cv2.INTER_LINEAR)
    assert (enlarged.argmax(-1) == labels).mean() >= 0.9999


def test_corner_aligned_interp_would_be_another_network(shared: Path, pl1a: dongfeng.Net) -> None:
    def aligned(layer: dongfeng.Layer) -> dongfeng.Layer:
        param = layer.params.interp_param.replace(align_corners=None)
        return replace(layer, params=layer.params.replace(interp_param=param)) if layer.type == "Interp" else layer

    other = pl1a.with_layers(aligned(layer) for layer in pl1a.layers)
    blobs = dongfeng.run(other, {"0": pl1a_input(shared, "demo6")}, ["214"])
    labels = cv2.imread(str(shared / "pl1a/labels/demo6.png"), cv2.IMREAD_UNCHANGED)
    assert (blobs["214"][0, 0] == labels).mean() < 0.99


def test_pl1a_structure(pl1a: dongfeng.Net) -> None:
    assert pl1a.inputs == {"0": (1, 3, 384, 640)}
    assert pl1a.outputs == ("214", "216", "219", "222")
    assert "Split" not in {layer.type for layer in pl1a.layers}
    shapes = pl1a.shapes()
    assert shapes["207"] == (1, 19, 48, 80)
    assert shapes["219"] == shapes["222"] == (1, 1, 96, 160)
    assert pl1a.layer("ConvolutionDepthWise_1").blobs[0].shape == (3, 1, 3, 3)


def test_architecture_is_the_released_network_under_readable_names(shared: Path, pl1a: dongfeng.Net) -> None:
    ours = load_ncnn_weights(build("pl1a_seg"), shared / "pl1a/pl1a_new.bin")
    names = {"0": "data"}
    assert len(ours.layers) == len(pl1a.layers)
    for mine, theirs in zip(ours.layers, pl1a.layers, strict=True):
        for blob, name in zip(theirs.bottoms + theirs.tops, mine.bottoms + mine.tops, strict=True):
            assert names.setdefault(blob, name) == name
        # An ncnn file says nothing about training.
        convolution = mine.params.convolution_param.replace(weight_filler=None)
        assert mine.params.replace(convolution_param=convolution, param=None) == theirs.params
        assert replace(mine, name="", bottoms=(), tops=(), params=theirs.params) == replace(
            theirs, name="", bottoms=(), tops=()
        )
    assert len(set(names.values())) == len(names)
    assert names["207"] == "Decoder_score"
    assert [names[blob] for blob in ("214", "216", "219", "222")] == ["pred", "pred_d8", "pred_d4", "pred_d4_2x2"]


def test_frozen_upsampling_is_the_bilinear_filler(shared: Path) -> None:
    """So that random or missing weights leave the deconvolutions as the release has them."""
    for layer in load_ncnn_weights(build("pl1a_seg"), shared / "pl1a/pl1a_new.bin").layers:
        if layer.type == "Deconvolution":
            np.testing.assert_array_equal(layer.blobs[0], bilinear(layer.blobs[0].shape))


def test_written_as_caffe_files_and_read_back(tmp_path: Path, pl1a: dongfeng.Net) -> None:
    dongfeng.write_caffe(pl1a, tmp_path / "p.prototxt", tmp_path / "p.caffemodel")
    assert dongfeng.read_caffe(tmp_path / "p.prototxt", tmp_path / "p.caffemodel") == pl1a


def test_weights_of_another_length(shared: Path, tmp_path: Path) -> None:
    whole = (shared / "pl1a/pl1a_new.bin").read_bytes()
    path = tmp_path / "w.bin"
    for data, message in [
        (b"", "got 0 bytes, expected 1480176"),
        (whole[:-1], r'got 1480175 bytes, expected 1480176 .*ends within layer "Decoder_score.up2_2x2"'),
        (whole + b"\0", "got 1480177 bytes, the weights of this net end at 1480176"),
    ]:
        path.write_bytes(data)
        with pytest.raises(WeightsMismatch, match=message):
            load_ncnn_weights(build("pl1a_seg"), path)
    with pytest.raises(WeightsMismatch, match=r"got 1480176 bytes, expected \d+ .*the file is of another net"):
        load_ncnn_weights(build("df1", folded=True), shared / "pl1a/pl1a_new.bin")


def test_a_web_page_is_not_weights(tmp_path: Path) -> None:
    path = tmp_path / "w.bin"
    path.write_bytes(b"<!DOCTYPE html>" * 1000)
    with pytest.raises(WeightsMismatch, match="got 15000 bytes, expected 1480176 .*0x4f44213c is not the tag"):
        load_ncnn_weights(build("pl1a_seg"), path)


# Layer by layer against ncnn itself


def conv(kind: str, params: str, weights: int, bias: int = 0, tag: int = 0) -> tuple[list[str], bytes]:
    data = Weights().matrix(weights, tag)
    return [f"{kind} c 1 1 x y {params} 6={weights}"], data.vector(bias).data


POOLED = "Pooling p 1 1 x p 0=1 4=1"
CASES: dict[str, tuple[list[str], bytes]] = {
    "convolution": conv("Convolution", "0=3 1=3 11=2 3=2 13=1 4=1 14=0 5=1", 72, 3),
    "convolution dilated": conv("Convolution", "0=2 1=3 2=2 12=1 4=2 14=1", 72),
    "convolution SAME": conv("Convolution", "0=2 1=3 11=1 4=-233", 24),
    "convolution half": conv("Convolution", "0=3 1=1 11=3 5=1", 36, 3, HALF),
    "convolution tagged float32": conv("Convolution", "0=3 1=1", 12, 0, 0x0002C056),
    "convolution with ReLU": conv("Convolution", "0=3 1=1 9=1", 12),
    "convolution with leaky ReLU": conv("Convolution", "0=3 1=1 9=2 -23310=1,0.125", 12),
    "depthwise": conv("ConvolutionDepthWise", "0=4 1=3 4=1 7=4 5=1", 36, 4),
    "groups": conv("ConvolutionDepthWise", "0=6 1=2 7=2", 48),
    "deconvolution": conv("Deconvolution", "0=3 1=3 11=2 3=2 4=1 14=0 5=1", 72, 3),
    "deconvolution depthwise": conv("DeconvolutionDepthWise", "0=4 1=4 3=2 4=1 7=4", 64),
    "deconvolution groups": conv("DeconvolutionDepthWise", "0=6 1=3 11=1 2=2 7=2 5=1", 36, 6),
    "batch norm": (["BatchNorm b 1 1 x y 0=4 1=1e-3"], Weights().vector(16).data),
    "scale": (["Scale s 1 1 x y 0=4"], Weights().vector(4).data),
    "scale with bias": (["Scale s 1 1 x y 0=4 1=1"], Weights().vector(8).data),
    "batch norm, then scale": (
        ["BatchNorm b 1 1 x b 0=4", "Scale s 1 1 b y 0=4 1=1"],
        Weights().vector(16).vector(8).data,
    ),
    "inner product": (["InnerProduct i 1 1 x y 0=5 1=1 2=1260 9=1"], Weights().matrix(1260).vector(5).data),
    "relu": (["ReLU r 1 1 x y"], b""),
    "relu leaky": (["ReLU r 1 1 x y 0=0.25"], b""),
    "dropout": (["Dropout d 1 1 x y"], b""),
    "softmax": (["Softmax s 1 1 x y"], b""),
    "softmax over rows": (["Softmax s 1 1 x y 0=1 1=1"], b""),
    "softmax over the last axis": (["Softmax s 1 1 x y 0=-1 1=1"], b""),
    "softmax of a pooled vector": ([POOLED, "Softmax s 1 1 p y 0=-1 1=1"], b""),
    "classifier": ([POOLED, "InnerProduct i 1 1 p i 0=3 2=12", "Softmax s 1 1 i y"], Weights().matrix(12).data),
    "shuffle": (["ShuffleChannel s 1 1 x y 0=2"], b""),
    "shuffle reverse": (["ShuffleChannel s 1 1 x y 0=4 1=1"], b""),
    "slice, concat": (["Slice s 1 3 x u v w -23300=3,2,1,-233", "Concat c 3 1 w u v y"], b""),
    "slice, concat of rows": (["Slice s 1 3 x u v w -23300=3,3,-233,-233 1=1", "Concat c 3 1 w u v y 0=-2"], b""),
    "sum": (["Split s 1 2 x a b", "ReLU r 1 1 a c", "Eltwise e 2 1 c b y 0=1 -23301=2,0.5,-2.0"], b""),
    "product": (["Split s 1 2 x a b", "ReLU r 1 1 a c", "Eltwise e 2 1 c b y 0=0"], b""),
    "maximum": (["Split s 1 2 x a b", "Softmax r 1 1 a c", "Eltwise e 2 1 c b y 0=2"], b""),
    "split with an output": (["Split s 1 2 x y b", "ReLU r 1 1 b c"], b""),
    "interp": (["Interp i 1 1 x y 0=2 3=12 4=20"], b""),
    "interp smaller": (["Interp i 1 1 x y 0=2 3=3 4=20"], b""),
    "interp by factors": (["Interp i 1 1 x y 0=2 1=3.0 2=2.0"], b""),
    "interp corners": (["Interp i 1 1 x y 0=2 3=12 4=20 6=1"], b""),
    "interp of one pixel": ([POOLED.replace("4=1", "7=1 8=1"), "Interp i 1 1 p y 0=2 3=5 4=6"], b""),
    "max pooling full": (["Pooling p 1 1 x y 0=0 1=3 2=2"], b""),
    "max pooling full, padded": (["Pooling p 1 1 x y 0=0 1=3 2=2 3=1"], b""),
    "max pooling valid": (["Pooling p 1 1 x y 0=0 1=2 11=3 2=2 12=3 5=1"], b""),
    "max pooling SAME": (["Pooling p 1 1 x y 0=0 1=3 2=1 5=2"], b""),
    "average pooling full": (["Pooling p 1 1 x y 0=1 1=4 11=2 2=3 12=2"], b""),
    "average pooling valid": (["Pooling p 1 1 x y 0=1 1=2 2=2 5=1"], b""),
    "average pooling that counts padding": (["Pooling p 1 1 x y 0=1 1=3 2=2 3=1 5=1 6=1"], b""),
    "global maximum": (["Pooling p 1 1 x y 0=0 4=1"], b""),
}


@pytest.mark.parametrize("case", CASES)
def test_same_numbers_as_ncnn(tmp_path: Path, case: str) -> None:
    ncnn = pytest.importorskip("ncnn")
    lines, weights = CASES[case]
    param, bin_ = write(tmp_path, text(*lines), weights)
    x = np.random.default_rng(1).standard_normal((4, 7, 9), np.float32)
    expected = run_ncnn(ncnn, param, bin_, {"x": x}, ["y"])["y"]
    got = dongfeng.run(read_ncnn(param, bin_), {"x": x[None]}, ["y"])["y"][0]
    if expected.ndim == 1:  # ncnn drops the axes of pooled vectors
        got = got.reshape(-1)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_an_odd_number_of_halves_is_padded(tmp_path: Path) -> None:
    weights = struct.pack("<I", HALF) + np.array([1, 2, 4, 9], np.float16).tobytes() + struct.pack("<f", 0.5)
    param, bin_ = write(tmp_path, text("Convolution c 1 1 x y 0=1 1=1 5=1 6=3", size_hwc=(1, 1, 3)), weights)
    x = np.array([1, 10, 100], np.float32).reshape(1, 3, 1, 1)
    assert dongfeng.run(read_ncnn(param, bin_), {"x": x})["y"].item() == 421.5


def test_type_numbers_are_ncnns() -> None:
    ncnn = pytest.importorskip("ncnn")
    assert [ncnn.layer_to_index(name) for name in LAYER_TYPES] == list(range(len(LAYER_TYPES)))


def test_pl1a_blobs_are_ncnns(shared: Path, tmp_path: Path, pl1a: dongfeng.Net) -> None:
    """ncnn's Python package comes without ArgMax, so it gets the network without its label maps, as text."""
    ncnn = pytest.importorskip("ncnn")
    layers = [layer for layer in read_param(shared / "pl1a/pl1a_new.param.bin") if layer.type != "ArgMax"]
    lines = []
    for layer in layers:
        values = []
        for number, value in layer.params._values.items():
            if isinstance(value, tuple):
                values.append(f"{-23300 - number}={len(value)},{','.join(map(str, value))}")
            elif layer.type == "Interp" and number in (1, 2):
                values.append(f"{number}={layer.params.real(number, 0.0):f}")
            else:
                values.append(f"{number}={value}")
        blobs = [str(len(layer.bottoms)), str(len(layer.tops)), *layer.bottoms, *layer.tops]
        lines.append(" ".join([layer.type, layer.name, *blobs, *values]))
    param = tmp_path / "p.param"
    param.write_text("\n".join(["7767517", f"{len(lines)} 223", *lines, ""]))
    x, weights = pl1a_input(shared, "demo6"), str(shared / "pl1a/pl1a_new.bin")
    blobs = ["35", "170", "183", "207", "213"]
    ours, theirs = dongfeng.run(pl1a, {"0": x}, blobs), run_ncnn(ncnn, param, Path(weights), {"0": x[0]}, blobs)
    for blob, expected in theirs.items():
        assert np.abs(ours[blob][0] - expected).max() <= 1e-4 * np.abs(expected).max()
    assert read_ncnn(param, weights).shapes()["213"] == (1, 19, 384, 640)


# Structure


def test_text_and_line_numbers(tmp_path: Path) -> None:
    param, _ = write(tmp_path, text("Convolution first 1 1 x c 0=2 1=1 6=8", "ReLU act 1 1 c y"))
    net = read_ncnn(param)
    assert net.name == "net"
    assert [(layer.name, layer.line) for layer in net.layers] == [("first", 4), ("act", 5)]
    assert net.outputs == ("y",)
    assert not net.layers[0].blobs


def test_fused_activation_works_in_place(tmp_path: Path) -> None:
    param, _ = write(tmp_path, text("Convolution c 1 1 x y 0=2 1=1 6=8 9=1"))
    net = read_ncnn(param)
    assert [(layer.name, layer.bottoms, layer.tops) for layer in net.layers] == [
        ("c", ("x",), ("y@0",)),
        ("c/relu", ("y@0",), ("y",)),
    ]
    assert net.aliases == {"y@0": "y"}


def test_open_size_stays_open_and_channels_follow_from_the_weights(tmp_path: Path) -> None:
    lines = ["Convolution c 1 1 x c 0=8 1=3 4=1 6=216", "ConvolutionDepthWise d 1 1 c y 0=8 1=3 6=72 7=8"]
    param, _ = write(tmp_path, text(*lines).replace("0=9 1=7 2=4", ""))
    net = read_ncnn(param)
    assert net.inputs == {"x": (1, 3, None, None)}
    assert net.resize(32, 64).shapes()["y"] == (1, 8, 30, 62)


def test_argmax_gives_each_pixel_a_class(tmp_path: Path) -> None:
    param, _ = write(tmp_path, text("Softmax s 1 1 x s", "ArgMax a 1 1 s y"))
    x = np.random.default_rng(0).standard_normal((1, 4, 7, 9), np.float32)
    np.testing.assert_array_equal(dongfeng.run(read_ncnn(param), {"x": x})["y"][0, 0], x[0].argmax(0))


# What cannot be read


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("Convolution c 1 1 x y 0=2 1=3 4=1 15=0 6=72", "padding left 1, right 0, top 1, bottom 1"),
        ("Convolution c 1 1 x y 0=2 1=3 3=2 4=-233 6=72", "padding SAME with a stride or an even kernel"),
        ("Convolution c 1 1 x y 0=2 1=3 4=1 18=1.0 6=72", "parameter 18=1.0 has no counterpart"),
        ("Convolution c 1 1 x y 0=2 1=3 6=70", "weight_data_size is 70, its bottom wants 72"),
        ("Convolution c 1 1 x y 0=2 1=3 6=72 8=2", "int8 weights"),
        ("Convolution c 1 1 x y 0=2 1=3 6=72 9=3 -23310=2,0.0,6.0", r"activation_type 3 \(clip\)"),
        ("Convolution c 1 1 x y 0=2 1=3 6=72 19=1", "parameter 19=1 has no counterpart"),
        ("Deconvolution c 1 1 x y 0=2 1=3 6=72 18=1", "output_pad"),
        ("Interp i 1 1 x y 0=1 3=14 4=18", "resize_type 1"),
        ("Interp i 1 1 x y 0=2 1=1.5 2=2.0", "an output of 10.5x18 pixels"),
        ("Pooling p 1 1 x y 0=1 1=3 2=2 3=1", "an average that leaves the padding out"),
        ("Pooling p 1 1 x y 0=1 1=2 2=2 6=1", "an average that counts what lies beyond"),
        ("Pooling p 1 1 x y 0=0 1=2 2=2 3=1", "a last window that begins in the padding"),
        ("Pooling p 1 1 x y 0=0 1=8", "a kernel of 8 on 7 pixels"),
        ("Pooling p 1 1 x y 7=1 8=3", "adaptive_pooling to 3x3"),
        ("Slice s 1 2 x y z -23300=2,1,1", "do not add up to the 4 values"),
        ("Softmax s 1 1 x y 0=1", "fixbug0"),
        ("Softmax s 1 1 x y 0=3 1=1", "axis 3 of a blob with 3 axes"),
        ("ArgMax a 1 1 x y 0=1", "values before indices"),
        ("Eltwise e 1 1 x y 0=7", "op_type 7"),
        ("Dropout d 1 1 x y 0=0.5", "scale 0.5"),
        ("Scale s 1 1 x y 0=-233", "a factor that is another blob"),
    ],
)
def test_what_caffe_cannot_express_is_refused(tmp_path: Path, line: str, problem: str) -> None:
    param, _ = write(tmp_path, text(line))
    with pytest.raises(UnsupportedLayer, match=rf"net\.param:4: layer .*{problem}"):
        read_ncnn(param)


def test_pooling_that_depends_on_an_open_size_is_refused(tmp_path: Path) -> None:
    param, _ = write(tmp_path, text("Pooling p 1 1 x y 0=0 1=2 2=2 3=1").replace("0=9 1=7", ""))
    with pytest.raises(UnsupportedLayer, match="depends on a dynamic size; give the Input its w, h and c"):
        read_ncnn(param)


def test_all_unknown_types_are_named_at_once(tmp_path: Path) -> None:
    param, _ = write(tmp_path, text("Mish m 1 1 x a", "ReLU r 1 1 a b", "GELU g 1 1 b y"))
    with pytest.raises(UnsupportedLayer) as error:
        read_ncnn(param)
    assert [problem.split(": ", 1)[1] for problem in error.value.problems] == [
        'layer "m" (Mish): unsupported layer type',
        'layer "g" (GELU): unsupported layer type',
    ]


def test_all_unsupported_parameters_are_named_at_once(tmp_path: Path) -> None:
    lines = ["Pooling p 1 1 x a 0=1 1=3 3=1", "Interp i 1 1 a b 0=2 1=2.0 2=2.0", "Dropout d 1 1 b y 0=0.5"]
    param, _ = write(tmp_path, text(*lines))
    with pytest.raises(UnsupportedLayer) as error:
        read_ncnn(param)
    assert [problem.split('"')[1] for problem in error.value.problems] == ["p", "d"], "Interp has no problem of its own"


@pytest.mark.parametrize(
    ("param", "problem"),
    [
        ("", "not an ncnn param file"),
        ("layer { }", "not an ncnn param file"),
        ("7767517", "numbers of layers and blobs"),
        ("7767517\n3 3\nInput in 0 1 x\n", ":2: 3 layers announced, the file has 1"),
        ("7767517\n1 0\nInput in 0 1 x\n", ":2: 0 blobs announced, the layers make 1"),
        ("7767517\n1 1\nInput in 0 2 x\n", ":3: expected 0 bottoms and 2 tops"),
        ("7767517\n1 1\nInput in 0 1 x 0=3 1\n", ":3: expected id=value, got '1'"),
        ("7767517\n1 1\nInput in 0 1 x 77=3\n", ":3: 77 is no parameter number"),
        ("7767517\n1 1\nInput in 0 1 x 0=nan\n", ":3: '0=nan': 'nan' is no number"),
        ("7767517\n1 1\nInput in 0 1 x 0=99999999999\n", "is no number"),
        ("7767517\n1 1\nInput in 0 1 x -23300=3,1,2\n", ":3: .*does not have the length it announces"),
        ("7767517\n1 1\nInput in 0 1 x 0=3.5\n", ':3: layer "in" .Input.: parameter 0: expected an integer, got 3.5'),
        (text("Interp i 1 1 x y 0=2 1=2 2=2"), "parameter 1: expected a float, written with a point, got 2"),
        (text("ReLU r 1 1 nowhere y"), 'bottom "nowhere" is made by no earlier layer'),
        (text("ReLU r 1 1 x y", "ReLU s 1 1 x y"), ':5: layer "s" .ReLU.: top "y" is made by two layers'),
        (text("ReLU r 0 1 y"), "expected a bottom and a top"),
    ],
)
def test_damaged_text_is_one_clear_line(tmp_path: Path, param: str, problem: str) -> None:
    path, _ = write(tmp_path, param)
    with pytest.raises(ConversionError, match=problem) as error:
        read_ncnn(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_blobs_that_do_not_fit(tmp_path: Path) -> None:
    param, _ = write(tmp_path, text("Interp i 1 1 x i 0=2 3=3 4=3", "Concat c 2 1 x i y"))
    with pytest.raises(ShapeError, match=r'net\.param:5: layer "c" \(Concat\)'):
        read_ncnn(param)


def test_int8_weights_are_refused_by_their_tag(tmp_path: Path) -> None:
    line = "Convolution c 1 1 x y 0=2 1=1 6=8"
    param, bin_ = write(tmp_path, text(line), struct.pack("<I", 0x000D4B38) + bytes(8))
    with pytest.raises(ConversionError, match="int8 weights"):
        read_ncnn(param, bin_)


def test_a_lone_batch_norm_has_no_place_for_ncnns_factor(tmp_path: Path) -> None:
    net = build("df1")
    alone = net.with_layers(layer for layer in net.layers[:2])
    (tmp_path / "w.bin").write_bytes(bytes(4 + 4 * (27 * 32 + 4 * 32)))
    with pytest.raises(ConversionError, match="no Scale with both follows"):
        load_ncnn_weights(alone, tmp_path / "w.bin")


def test_every_cut_of_a_binary_file_is_refused(shared: Path, tmp_path: Path) -> None:
    whole = (shared / "pl1a/pl1a_new.param.bin").read_bytes()
    path = tmp_path / "cut.param.bin"
    for size in [*range(0, 200), *range(200, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(ConversionError, match=r"^\S*cut\.param\.bin: \S"):
            read_ncnn(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(ConversionError, match="1 bytes follow the last layer"):
        read_ncnn(path)


def test_altered_binary_files_never_crash(shared: Path, tmp_path: Path) -> None:
    whole = (shared / "pl1a/pl1a_new.param.bin").read_bytes()
    path = tmp_path / "altered.param.bin"
    rng = np.random.default_rng(0)
    values = [0, 1, -1, 2, 7, 100, -233, -23300, -23301, 2**31 - 1, -(2**31)]
    for _ in range(60):
        words = np.frombuffer(whole, "<i4").copy()
        words[rng.integers(words.size)] = rng.choice(values)
        path.write_bytes(words.tobytes())
        with contextlib.suppress(DongfengError):  # anything else is a crash
            read_ncnn(path)
