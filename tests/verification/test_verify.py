"""Verification: right models pass, and of broken ones the layer that was broken is named."""

from __future__ import annotations

import json
import re
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import dongfeng
from dongfeng import reference
from dongfeng.cli.main import main
from dongfeng.errors import ConversionError, DongfengError, ShapeError
from dongfeng.net.feeds import feed_arrays, random_feeds, shaped_like
from dongfeng.net.random_weights import random_weights
from dongfeng.verification.verify import store_verdict, verify
from tests.conftest import CHECKOUT
from tests.golden.test_cases import COMPUTED, load_meta, read_case
from tests.nets import CONV_BN, data, layer, read_text
from tests.test_docs import run_console, run_python

# Folding, in-place layers, pooling, resizing, an average over padding, classes.
NET = (
    data(1, 3, 16, 16)
    + layer("conv1", "Convolution", "data", "conv1", "convolution_param { num_output: 8 kernel_size: 3 pad: 1 }")
    + layer("conv1/bn", "BatchNorm", "conv1", "conv1")
    + layer("conv1/scale", "Scale", "conv1", "conv1", "scale_param { bias_term: true }")
    + layer("relu1", "ReLU", "conv1", "conv1")
    + layer("pool1", "Pooling", "conv1", "pool1", "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }")
    + layer("conv2", "Convolution", "pool1", "conv2", "convolution_param { num_output: 5 kernel_size: 1 }")
    + layer("conv2/bn", "BatchNorm", "conv2", "conv2/bn", "batch_norm_param { eps: 0.001 }")
    + layer("up", "Interp", "conv2/bn", "up", "interp_param { zoom_factor: 3 }")
    + layer("norm", "BatchNorm", "up", "norm")
    + layer("prob", "Softmax", "norm", "prob")
    + layer("pred", "ArgMax", "prob", "pred", "argmax_param { axis: 1 }")
)


@pytest.fixture
def net(tmp_path: Path) -> dongfeng.Net:
    return random_weights(read_text(tmp_path, NET))


def models(net: dongfeng.Net) -> list[onnx.ModelProto]:
    return [dongfeng.to_onnx(net), dongfeng.to_onnx(dongfeng.fold(net))]


def blobs_of(net: dongfeng.Net, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What pycaffe would save: inputs, and the last version of every blob."""
    names = [top for item in net.layers for top in item.tops if top not in net.aliases]
    return {**feeds, **dongfeng.run(net, feeds, names)}


# ---- right models ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", COMPUTED, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore::dongfeng.errors.DongfengWarning")
def test_golden_nets_pass_against_numpy_and_against_caffe(case: Path, tmp_path: Path) -> None:
    meta = load_meta(case)
    feeds = {blob: np.load(case / entry["file"]) for blob, entry in meta["inputs"].items()}
    net = read_case(case, meta)
    net = shaped_like(net, feed_arrays(net, feeds))
    expected = {blob: np.load(case / entry["file"]) for blob, entry in meta["outputs"].items()}
    np.savez(tmp_path / "caffe.npz", **expected)
    made = {top for item in net.layers for top in item.tops}
    tolerance = max(entry["tolerance"] for entry in meta["outputs"].values())
    for model in models(net):
        verdict = verify(net, model, feeds=feeds)
        assert verdict.passed, verdict.first_difference
        drawn = verify(net, model)
        assert drawn.passed, drawn.first_difference
        if made.intersection(expected):
            saved = verify(net, model, tmp_path / "caffe.npz", feeds=feeds, tolerance=max(tolerance, 1e-5))
            assert saved.passed, saved.first_difference
            assert {blob.reference_blob for blob in saved.blobs} == made.intersection(expected)


def test_every_blob_of_the_model_is_compared_in_order(net: dongfeng.Net) -> None:
    plain, folded = (verify(net, model) for model in models(net))
    assert [blob.blob for blob in plain.blobs] == [top for item in net.layers for top in item.tops]
    assert all(blob.blob == blob.reference_blob for blob in plain.blobs)
    assert [(blob.blob, blob.reference_blob, blob.layer, blob.type) for blob in folded.blobs][:4] == [
        ("conv1@0", "conv1@2", "conv1", "Convolution"),
        ("conv1", "conv1", "relu1", "ReLU"),
        ("pool1", "pool1", "pool1", "Pooling"),
        ("conv2", "conv2/bn", "conv2", "Convolution"),
    ]
    assert folded.blobs[0].line == net.layer("conv1").line
    assert plain.reference == "numpy interpreter"
    assert plain.seed == 0
    assert plain.inputs == {"data": (1, 3, 16, 16)}
    assert set(plain.versions) == {"dongfeng", "numpy", "onnx", "onnxruntime"}
    assert plain.versions["onnx"] == onnx.__version__


def test_part_of_a_net_and_open_sizes_are_verified_too(net: dongfeng.Net) -> None:
    part = verify(net, dongfeng.to_onnx(dongfeng.fold(net), outputs=["pool1"]))
    assert (part.passed, part.blobs[-1].blob) == (True, "pool1")
    convolution = dongfeng.to_onnx(net, outputs=["conv1@0"])
    assert verify(net, convolution, folded=False).passed
    dynamic = dongfeng.to_onnx(net, dynamic=True, opset=20)
    for size in ((16, 16), (9, 23)):
        feeds = {"data": np.random.default_rng(0).standard_normal((2, 3, *size), dtype=np.float32)}
        verdict = verify(net, dynamic, feeds=feeds)
        assert verdict.passed, verdict.first_difference
        assert (verdict.seed, verdict.inputs["data"]) == (None, (2, 3, *size))


def test_an_open_net_needs_a_size_or_feeds(tmp_path: Path) -> None:
    net = read_text(tmp_path, data(1, 3, 0, 0) + layer("r", "ReLU", "data", "r"))
    model = dongfeng.to_onnx(net, dynamic=True)
    with pytest.raises(ShapeError, match="open"):
        verify(net, model)
    assert verify(net, model, feeds={"data": np.ones((1, 3, 5, 5))}).passed


def test_drawn_inputs_are_whole_numbers_where_a_layer_looks_something_up(tmp_path: Path) -> None:
    text = data(4, 6) + layer("e", "Embed", "data", "e", "embed_param { num_output: 3 input_dim: 5 }")
    feeds = random_feeds(read_text(tmp_path, text), seed=1)
    assert set(np.unique(feeds["data"])) <= set(range(5))
    assert len(np.unique(feeds["data"])) > 2


def test_rounding_that_a_layer_enlarges_is_no_difference(tmp_path: Path) -> None:
    """Softmax of scores of some hundreds: their rounding is beyond the tolerance in the probabilities."""
    text = data(1, 64, 8, 8) + layer(
        "c", "Convolution", "data", "c", "convolution_param { num_output: 5 kernel_size: 3 }"
    )
    text += layer("p", "Power", "c", "p", "power_param { scale: 300 }") + layer("s", "Softmax", "p", "s")
    net = random_weights(read_text(tmp_path, text))
    verdict = verify(net, dongfeng.to_onnx(net))
    last = verdict.blobs[-1]
    assert last.max_rel_error > 1e-5
    assert (last.follows, last.passed, last.result, verdict.passed) == (True, True, "follows", True)


# ---- broken models -----------------------------------------------------------------------------------------------


def initializers() -> list[tuple[int, str]]:
    return [
        *(
            (0, name)
            for name in ("conv1/weight", "conv1/bias", "conv1/bn/mean", "conv1/bn/variance", "conv1/scale/scale")
        ),
        *((0, name) for name in ("conv1/scale/bias", "conv2/weight", "conv2/bn/variance", "norm/mean")),
        *((1, name) for name in ("conv1/weight", "conv1/bias", "conv2/weight", "conv2/bias", "norm/variance")),
    ]


@pytest.mark.parametrize(("form", "name"), initializers(), ids=str)
def test_the_layer_with_a_wrong_weight_is_named(net: dongfeng.Net, form: int, name: str) -> None:
    model = models(net)[form]
    (tensor,) = [item for item in model.graph.initializer if item.name == name]
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] += 0.01
    tensor.CopyFrom(numpy_helper.from_array(values, name))
    verdict = verify(net, model)
    assert not verdict.passed
    assert verdict.first_difference.layer == name.rpartition("/")[0]
    # What comes behind it follows: no other layer is blamed.
    assert [blob.layer for blob in verdict.blobs if not blob.passed] == [name.rpartition("/")[0]]
    assert verdict.blobs[-2].follows


def changed(model: onnx.ModelProto, op: str, attribute: str, value: object) -> onnx.ModelProto:
    node = next(node for node in model.graph.node if node.op_type == op)
    kept = [item for item in node.attribute if item.name != attribute]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute(attribute, value)])
    return model


@pytest.mark.parametrize("form", [0, 1], ids=["plain", "folded"])
@pytest.mark.parametrize(
    ("op", "attribute", "value", "layers"),
    [
        ("BatchNormalization", "epsilon", 1e-3, ("conv1/bn", "norm")),
        ("BatchNormalization", "epsilon", 7e-5, ("conv1/bn", "norm")),  # no more than rounding may grow to
        ("Resize", "coordinate_transformation_mode", "half_pixel", ("up", "up")),
        ("Softmax", "axis", 3, ("prob", "prob")),
    ],
)
def test_the_layer_with_a_wrong_setting_is_named(
    net: dongfeng.Net, form: int, op: str, attribute: str, value: object, layers: tuple[str, str]
) -> None:
    verdict = verify(net, changed(models(net)[form], op, attribute, value))
    assert verdict.first_difference.layer == layers[form]
    assert verdict.first_difference.type == net.layer(layers[form]).type
    assert verdict.first_difference.line == net.layer(layers[form]).line
    assert not verdict.passed


def test_each_wrong_layer_is_found(net: dongfeng.Net) -> None:
    model = changed(models(net)[0], "Resize", "coordinate_transformation_mode", "half_pixel")
    verdict = verify(net, changed(changed(model, "BatchNormalization", "epsilon", 1e-3), "Softmax", "axis", 3))
    assert [blob.layer for blob in verdict.blobs if not blob.passed] == ["conv1/bn", "up", "prob"]


def test_ties_that_go_the_wrong_way_are_a_difference(net: dongfeng.Net, tmp_path: Path) -> None:
    """With equal probabilities ArgMax has nothing but ties."""
    text = data(1, 3, 4, 4) + layer("a", "ArgMax", "data", "a", "argmax_param { axis: 1 }")
    net = read_text(tmp_path, text)
    feeds = {"data": np.zeros((1, 3, 4, 4))}
    assert verify(net, dongfeng.to_onnx(net), feeds=feeds).passed
    verdict = verify(net, changed(dongfeng.to_onnx(net), "ArgMax", "select_last_index", 0), feeds=feeds)
    assert verdict.first_difference.result == "differs: 100.00% of the indices"


def test_a_model_of_another_net_is_refused(net: dongfeng.Net, tmp_path: Path) -> None:
    other = read_text(tmp_path, data(1, 3, 8, 8) + layer("x", "ReLU", "data", "x"))
    with pytest.raises(ConversionError, match="computes no blob of the net"):
        verify(net, dongfeng.to_onnx(other))
    other = read_text(tmp_path, data(1, 3, 8, 8).replace('"data"', '"image"') + layer("up", "ReLU", "image", "up"))
    with pytest.raises(ConversionError, match=r"the model's inputs are \['image'\], the net's \['data'\]"):
        verify(net, dongfeng.to_onnx(other))
    (tmp_path / "net.onnx").write_bytes(b"\x08\xff" * 20)
    with pytest.raises(ConversionError, match=r"net\.onnx: not an ONNX model"):
        verify(net, tmp_path / "net.onnx")
    with pytest.raises(ConversionError, match="ONNX Runtime cannot run the model"):
        verify(net, dongfeng.to_onnx(net), feeds={"data": np.zeros((1, 3, 8, 8))})


# ---- saved blobs -------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(net: dongfeng.Net) -> dict[str, np.ndarray]:
    return blobs_of(net, random_feeds(net, seed=7))


def test_a_folder_of_arrays_is_a_reference(net: dongfeng.Net, saved: dict[str, np.ndarray], tmp_path: Path) -> None:
    folder = tmp_path / "blobs"
    folder.mkdir()
    for name, array in saved.items():
        np.save(folder / f"{name.replace('/', '_')}.npy", array.astype(np.float64))
    verdict = verify(net, models(net)[1], folder)
    assert verdict.passed, verdict.first_difference
    assert verdict.reference == "blobs"
    assert {blob.reference_blob for blob in verdict.blobs} == set(saved) - {"data", "conv2"}
    assert verdict.not_compared == ("conv1@0",)


def test_one_array_is_the_only_output(net: dongfeng.Net, saved: dict[str, np.ndarray], tmp_path: Path) -> None:
    np.save(tmp_path / "pred.npy", saved["pred"])
    verdict = verify(net, models(net)[0], tmp_path / "pred.npy", feeds={"data": saved["data"]})
    assert (verdict.passed, [blob.blob for blob in verdict.blobs]) == (True, ["pred"])
    with pytest.raises(ConversionError, match=r'pred\.npy: has no input "data"'):
        verify(net, models(net)[0], tmp_path / "pred.npy")


def test_an_input_that_is_overwritten_is_saved_as_it_was_fed(tmp_path: Path) -> None:
    text = data(1, 2, 3, 3) + layer("r", "ReLU", "data", "data") + layer("p", "Power", "data", "p")
    net = read_text(tmp_path, text)
    fed = np.random.default_rng(0).standard_normal((1, 2, 3, 3), dtype=np.float32)
    np.savez(tmp_path / "blobs.npz", data=fed, p=np.maximum(fed, 0))
    verdict = verify(net, dongfeng.to_onnx(net), tmp_path / "blobs.npz")
    assert (verdict.passed, [blob.blob for blob in verdict.blobs]) == (True, ["p"])
    np.savez(tmp_path / "blobs.npz", data=np.maximum(fed, 0))
    verdict = verify(net, dongfeng.to_onnx(net, outputs=["data"]), tmp_path / "blobs.npz", feeds={"data": fed})
    assert (verdict.passed, [blob.blob for blob in verdict.blobs]) == (True, ["data"])


@pytest.mark.parametrize("form", [0, 1], ids=["plain", "folded"])
def test_other_weights_than_those_behind_the_saved_blobs_are_found(
    net: dongfeng.Net, saved: dict[str, np.ndarray], tmp_path: Path, form: int
) -> None:
    """The interpreter agrees with the model then: it has the same weights."""
    np.savez(tmp_path / "blobs.npz", **saved)
    changed = net.with_layers(
        replace(item, blobs=(item.blobs[0] * 1.1, *item.blobs[1:])) if item.name == "conv2" else item
        for item in net.layers
    )
    verdict = verify(changed, models(changed)[form], tmp_path / "blobs.npz")
    assert verdict.first_difference.layer == "conv2"
    assert [blob.layer for blob in verdict.blobs if not blob.passed] == ["conv2"]


@pytest.mark.parametrize("form", [0, 1], ids=["plain", "folded"])
def test_with_the_output_alone_a_broken_model_still_fails(
    net: dongfeng.Net, saved: dict[str, np.ndarray], tmp_path: Path, form: int
) -> None:
    np.savez(tmp_path / "blobs.npz", data=saved["data"], prob=saved["prob"])
    assert verify(net, models(net)[form], tmp_path / "blobs.npz").passed
    broken = changed(models(net)[form], "Resize", "coordinate_transformation_mode", "half_pixel")
    assert verify(net, broken, tmp_path / "blobs.npz").first_difference.blob == "prob"


def test_one_index_may_jump_but_not_many(net: dongfeng.Net, saved: dict[str, np.ndarray], tmp_path: Path) -> None:
    model = models(net)[0]
    for count, passed in ((1, True), (40, False)):
        pred = saved["pred"].copy()
        pred.flat[:count] = (pred.flat[:count] + 1) % 5
        np.savez(tmp_path / "blobs.npz", **{**saved, "pred": pred})
        verdict = verify(net, model, tmp_path / "blobs.npz")
        assert verdict.passed is passed
        assert verdict.blobs[-1].mismatches == count / pred.size


def test_what_a_jump_moves_follows(tmp_path: Path) -> None:
    """Of two nearly equal maxima either may be the largest; what Upsample puts back then moves."""
    text = data(1, 1, 4, 4) + 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" top: "mask" '
    text += "pooling_param { kernel_size: 2 stride: 2 } }\n" + layer("u", "Upsample", "p mask", "u")
    net = read_text(tmp_path, text)
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    model = dongfeng.to_onnx(net, outputs=["u"])
    mask, u = np.array([[[[5, 7], [13, 15]]]]), np.zeros((1, 1, 16))
    u[..., [5, 7, 13, 15]] = [5, 7, 13, 15]
    saved = {"data": x, "mask": mask, "u": u.reshape(1, 1, 4, 4)}
    np.savez(tmp_path / "blobs.npz", **saved)
    assert [blob.result for blob in verify(net, model, tmp_path / "blobs.npz").blobs] == ["ok", "ok"]
    saved["mask"][0, 0, 1, 1], saved["u"][0, 0, 3] = 14, [0, 13, 15, 0]
    np.savez(tmp_path / "blobs.npz", **saved)
    verdict = verify(net, model, tmp_path / "blobs.npz")
    assert [blob.result for blob in verdict.blobs] == ["follows: 25.00% of the indices", "follows"]
    saved["mask"][:] = 0
    np.savez(tmp_path / "blobs.npz", **saved)
    assert verify(net, model, tmp_path / "blobs.npz").first_difference.blob == "mask"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("x.npz", {"prob": np.zeros((1, 5, 25, 25))}, 'x.npz: has no input "data", so nothing can be compared'),
        ("x.npz", {"data": np.zeros((1, 3, 16, 16))}, "x.npz: has no blob that the model computes, such as conv1@0"),
        (
            "x.npz",
            {"data": np.zeros((1, 3, 16, 16)), "prob": np.zeros(3)},
            r'"prob" is 3, the model computes 1x5x25x25',
        ),
        ("x.npz", {"data": np.zeros((3, 16, 16))}, r'input "data": expected 1x3x16x16, got an array of 3x16x16'),
        ("x.npz", {"data": np.array([{}])}, 'x.npz: blob "data" cannot be read: it is a pickle'),
        ("x.npz", {"data": np.array(["text"])}, 'x.npz: blob "data" holds <U4, expected numbers'),
        ("x.npz", b"PK\x03\x04 and no more", "x.npz: not an .npz file"),
        ("x.npz", b"plain text", "x.npz: not an .npz file: it is a pickle, which dongfeng never opens"),
        ("x.npz", b"", "x.npz: not an .npz file: No data left in file"),
        ("x.npy", np.array({"prob": 1}), "x.npy: blob .* cannot be read: it is a pickle"),
        ("x.npy", b"\x93NUMPY\x01", "x.npy: blob .* cannot be read"),
        ("x.txt", b"", "x.txt: expected saved blobs to compare with"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_reference_is_refused_in_one_line(
    net: dongfeng.Net, tmp_path: Path, file: str, content: object, message: str
) -> None:
    path = tmp_path / file
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        np.savez(path, **content)
    else:
        np.save(path, content)
    feeds = {"data": np.zeros((1, 3, 16, 16))} if file == "x.npy" else None
    with pytest.raises(DongfengError, match=message) as caught:
        verify(net, models(net)[0], path, feeds=feeds)
    assert "\n" not in str(caught.value)
    assert "docs/verify.md" in str(caught.value) or "pickle" not in str(caught.value)


def test_a_damaged_member_is_refused(net: dongfeng.Net, saved: dict[str, np.ndarray], tmp_path: Path) -> None:
    np.savez(tmp_path / "blobs.npz", **saved)
    content = bytearray((tmp_path / "blobs.npz").read_bytes())
    content[2000] ^= 0xFF  # within the values of the first array
    (tmp_path / "blobs.npz").write_bytes(content)
    with pytest.raises(ConversionError, match='blob "data" cannot be read: Bad CRC-32'):
        verify(net, models(net)[0], tmp_path / "blobs.npz")


# ---- the verdict -------------------------------------------------------------------------------------------------


def test_the_verdict_is_stored_once_and_nothing_else_changes(net: dongfeng.Net, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    model = dongfeng.to_onnx(net, path, metadata={"note": "kept"})
    verdict = verify(net, path)
    for _ in range(2):
        store_verdict(path, verdict)
        store_verdict(model, verdict)
    for stored in (onnx.load(path), model):
        entries = [(entry.key, entry.value) for entry in stored.metadata_props]
        assert sorted(key for key, _ in entries) == ["dongfeng.verdict", "note"]
        told = json.loads(dict(entries)["dongfeng.verdict"])
        assert (told["passed"], told["reference"], told["tolerance"]) == (True, "numpy interpreter", 1e-5)
        assert [blob["blob"] for blob in told["blobs"]] == [blob.blob for blob in verdict.blobs]
        assert all(0 <= blob["max_rel_error"] <= 1e-5 for blob in told["blobs"][:-1])
        assert verify(net, stored) == verdict
    assert [item.name for item in tmp_path.iterdir()] in (["net.prototxt", "net.onnx"], ["net.onnx", "net.prototxt"])


def test_a_blob_of_another_shape_and_nan_are_told_without_numbers(net: dongfeng.Net) -> None:
    model = models(net)[0]
    node = next(node for node in model.graph.node if node.op_type == "Relu")
    node.op_type = "Log"
    verdict = verify(net, model)
    wrong = verdict.first_difference
    assert (wrong.layer, wrong.max_abs_error) == ("relu1", None)
    assert "NaN or infinite" in wrong.result
    assert json.loads(json.dumps(verdict.as_dict(), allow_nan=False))["first_difference"]["layer"] == "relu1"


# ---- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("made.prototxt").write_text(CONV_BN, encoding="utf-8")
    assert main(["convert", "made.prototxt", "random:1", "-o", "net.caffemodel"]) == 0
    capsys.readouterr()
    return tmp_path


COMMAND = ["convert", "net.prototxt", "net.caffemodel", "-o", "net.onnx", "--verify"]


def test_convert_shows_each_blob_and_writes_the_verdict(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(COMMAND) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["blob", "layer", "type", "max", "abs", "error", "max", "rel", "error", "result"]
    assert [line.split()[::5][:2] for line in lines[1:4]] == [["conv@0", "ok"], ["conv", "ok"], ["out", "ok"]]
    assert lines[4:] == ["net.onnx"]
    assert "3 blobs compared with numpy interpreter, largest relative error" in err
    metadata = {entry.key: entry.value for entry in onnx.load("net.onnx").metadata_props}
    assert json.loads(metadata["dongfeng.verdict"])["passed"] is True


def test_convert_writes_nothing_where_a_layer_differs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = dongfeng.read_caffe("net.prototxt", "net.caffemodel")
    saved = blobs_of(net, random_feeds(net))
    np.savez("blobs.npz", **saved)
    assert main([*COMMAND, "blobs.npz", "--no-fold"]) == 0
    written = Path("net.onnx").read_bytes()
    np.savez("blobs.npz", **{**saved, "out": saved["out"] * 1.5})
    capsys.readouterr()
    assert main([*COMMAND, "blobs.npz", "--json"]) == 1
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (told["outputs"], told["passed"], told["first_difference"]["layer"]) == ([], False, "out")
    assert [row["blob"] for row in told["rows"] if not row["passed"]] == ["out"]
    line = net.layer("out").line
    assert f'error: net.prototxt:{line}: layer "out" (Convolution) is the first that differs from blobs.npz: ' in err
    assert Path("net.onnx").read_bytes() == written, "an earlier file stays as it was"
    Path("net.onnx").unlink()
    assert main([*COMMAND, "blobs.npz"]) == 1
    assert not list(folder.glob("*.onnx"))
    assert not list(folder.glob(".*"))


def test_verify_that_swallows_the_network_is_wrong_usage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        ["--verify", "net.prototxt", "net.caffemodel", "-o", "x.onnx"],
        ["net.prototxt", "-o", "x.prototxt", "--verify"],
    ):
        with pytest.raises(SystemExit) as exit_:
            main(["convert", *command])
        assert exit_.value.code == 2
    assert "write it behind NET and WEIGHTS" in capsys.readouterr().err


# ---- the page ----------------------------------------------------------------------------------------------------

PAGE = CHECKOUT / "docs/verify.md"
DEPLOY = (
    data(1, 3, 16, 16)
    + layer("conv1", "Convolution", "data", "conv1", "convolution_param { num_output: 8 kernel_size: 3 }")
    + layer("conv1/bn", "BatchNorm", "conv1", "conv1")
    + layer("relu1", "ReLU", "conv1", "conv1")
    + layer("pool1", "Pooling", "conv1", "pool1", "pooling_param { kernel_size: 3 stride: 2 }")
    + layer("fc", "InnerProduct", "pool1", "fc", "inner_product_param { num_output: 10 }")
    + layer("prob", "Softmax", "fc", "prob")
)


class Pycaffe(types.ModuleType):
    """As much of pycaffe as the page uses; it computes with the interpreter."""

    TEST = 1

    class Net:
        def __init__(self, prototxt: str, caffemodel: str, phase: int) -> None:
            self.net = dongfeng.read_caffe(prototxt, caffemodel)
            self.inputs = list(self.net.inputs)
            public = [blob for blob in self.net.shapes() if blob not in self.net.aliases]
            shapes = self.net.shapes()
            self.blobs = {blob: types.SimpleNamespace(data=np.zeros(shapes[blob], np.float32)) for blob in public}

        def forward(self) -> None:
            feeds = {blob: self.blobs[blob].data for blob in self.inputs}
            for blob, array in reference.run(self.net, feeds, list(self.blobs)).items():
                self.blobs[blob].data[...] = array


def test_what_the_page_shows_is_what_comes_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subprocess_env: dict[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    net = random_weights(read_text(tmp_path, DEPLOY))
    dongfeng.write_caffe(net, "unused.prototxt", "net.caffemodel")
    Path("net.prototxt").rename("deploy.prototxt")
    finetuned = (
        replace(item, blobs=(item.blobs[0] * 1.1, item.blobs[1])) if item.name == "fc" else item for item in net.layers
    )
    dongfeng.write_caffe(net.with_layers(finetuned), "unused.prototxt", "finetuned.caffemodel")
    monkeypatch.setitem(sys.modules, "caffe", Pycaffe("caffe"))
    names: dict[str, object] = {}
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert [kind for kind, _ in blocks] == ["console", "python", "console", "console", "pycon", "pycon", "pycon"]
    for kind, text in blocks:
        if kind == "console":
            run_console(text, subprocess_env)
        elif kind == "python":
            exec(compile(text, PAGE.name, "exec"), {})
        else:
            run_python(text, names, PAGE.name)
    assert not Path("finetuned.onnx").exists()
