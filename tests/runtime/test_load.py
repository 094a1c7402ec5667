"""Loading: names, weights, sizes, the cache, and files of other programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

import dongfeng
from dongfeng.architectures import build
from dongfeng.datasets import cityscapes
from dongfeng.errors import (
    BackendUnavailable,
    ConversionError,
    DongfengWarning,
    ImageError,
    ShapeError,
    UnknownModel,
    WeightsMismatch,
    WeightsUnavailable,
)
from dongfeng.formats.caffe import write_caffe
from dongfeng.formats.onnx import to_onnx
from dongfeng.net.fold import fold
from dongfeng.net.preprocessing import Preprocessing
from dongfeng.net.random_weights import random_weights
from dongfeng.runtime import artifact
from dongfeng.runtime.load import load
from dongfeng.runtime.spec import FileSpec, from_metadata, to_metadata

SIZE = (64, 128)
RANDOM = pytest.mark.filterwarnings("ignore:.*random weights:dongfeng.errors.DongfengWarning")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    folder = tmp_path / "home"
    monkeypatch.setenv("DONGFENG_HOME", str(folder))
    return folder


def onnx_files(home: Path) -> list[Path]:
    return sorted((home / "onnx").glob("*")) if (home / "onnx").is_dir() else []


@pytest.fixture(scope="session")
def caffemodels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights of df1seg, unfolded, and the same folded."""
    folder = tmp_path_factory.mktemp("caffemodels")
    net = random_weights(build("df1seg"), seed=5)
    files = {"unfolded": folder / "own.caffemodel", "folded": folder / "own_mergebn.caffemodel"}
    write_caffe(net, folder / "net.prototxt", files["unfolded"])
    write_caffe(fold(net), folder / "net_mergebn.prototxt", files["folded"])
    return files


# Names and weights


def test_random_weights_warn_that_the_results_mean_nothing():
    with pytest.warns(DongfengWarning, match="pl1a_seg: random weights, so the results mean nothing") as caught:
        load("pl1a_seg", weights="random", size=SIZE)
    assert caught[0].filename == __file__


@RANDOM
def test_a_model_of_the_zoo_knows_itself(street):
    with load("DF1-Seg", weights="random", size=SIZE) as model:
        assert (model.name, model.task, model.head) == ("df1seg", "segmentation", "x8")
        assert (model.backend, model.precision, model.device) == ("onnxruntime", "fp32", "cpu")
        assert model.size_hw == SIZE
        assert model.class_names == cityscapes.CLASSES
        np.testing.assert_array_equal(model.palette, cityscapes.PALETTE)
        result = model(street)
    assert isinstance(result, dongfeng.Segmentation)
    assert result.labels.shape == (90, 160)
    assert result.scores.shape == (19, 8, 16)


@RANDOM
def test_labels_are_those_of_the_networks_own_label_map(street):
    """At the network's own size the interpolated scores have the labels of the release's deconvolution."""
    image = cv2.resize(cv2.imread(str(street)), SIZE[::-1])
    for name, blob in (("df1seg", "pred"), ("df1seg_d8", "pred_d8")):
        model = load(name, weights="random:3", size=SIZE)
        data = ((image - np.float32([72, 83, 73])) * np.float32(0.008)).transpose(2, 0, 1)[None]
        pred = dongfeng.run(model.net, {"data": data}, [blob])[blob][0, 0]
        if name.endswith("d8"):
            pred = pred.repeat(8, 0).repeat(8, 1)
        assert (model(image).labels == pred).mean() > 0.9999
        assert len(np.unique(pred)) > 3


@RANDOM
def test_the_seed_decides_random_weights(street):
    scores = [load("pl1a_seg", weights=w, size=SIZE)(street).scores for w in ("random", "random:0", "random:1")]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_merged_and_unmerged_weights_both_work_and_agree(caffemodels, street):
    scores = {kind: load("df1seg", weights=path, size=SIZE)(street).scores for kind, path in caffemodels.items()}
    span = np.abs(scores["unfolded"]).max()
    np.testing.assert_allclose(scores["folded"], scores["unfolded"], atol=1e-5 * span)
    other = load("df1seg_mergebn", weights=caffemodels["unfolded"], size=SIZE)(street).scores
    np.testing.assert_allclose(other, scores["unfolded"], atol=1e-5 * span)


def test_the_net_is_the_one_of_the_weight_file(caffemodels):
    model = load("df1seg", weights=caffemodels["folded"], size=SIZE)
    assert not [layer for layer in model.net.layers if layer.type == "BatchNorm"]
    assert model.net is model.net
    assert model.net.inputs["data"] == (1, 3, *SIZE)
    assert model.net.layer("conv1").blobs


def test_weights_of_another_model_are_refused(caffemodels):
    with pytest.raises(WeightsMismatch, match=r"own\.caffemodel"):
        load("df2seg1", weights=caffemodels["unfolded"], size=SIZE)


def test_a_zoo_model_takes_no_file_that_lacks_a_layer(caffemodels, tmp_path):
    net = random_weights(build("df1seg"))
    lacking = [layer for layer in net.layers if layer.name != "Decoder_score.up8"]
    write_caffe(
        type(net)(net.name, net.inputs, [x for x in lacking if x.name not in ("prob", "pred")]),
        tmp_path / "n.prototxt",
        tmp_path / "lacking.caffemodel",
    )
    with pytest.raises(WeightsMismatch, match=r"no weights for .*Decoder_score\.up8"):
        load("df1seg", weights=tmp_path / "lacking.caffemodel", size=SIZE)


@pytest.mark.parametrize("weights", ["gone.caffemodel", "random:x", "."])
def test_weights_that_are_not_there(weights):
    with pytest.raises(WeightsUnavailable, match='weights is a weight file, "random" or "random:SEED"'):
        load("df1seg", weights=weights)


def test_weights_that_cannot_be_fetched_say_where_to_put_them(home):
    with pytest.raises(WeightsUnavailable, match=r"df1seg\.caffemodel.*put it at .*home"):
        load("df1seg")


def test_ncnn_weights_are_for_pl1a_only(tmp_path):
    (tmp_path / "w.bin").write_bytes(b"0" * 64)
    with pytest.raises(WeightsMismatch, match=r"df1seg takes a \.caffemodel"):
        load("df1seg", weights=tmp_path / "w.bin")


def test_unknown_names_list_the_closest():
    with pytest.raises(UnknownModel, match='no model is called "df1sge"; the closest names: df1seg'):
        load("df1sge")


@pytest.mark.parametrize("name", ["gone.onnx", "gone.prototxt", "gone.param", "gone.param.bin", "some/path/gone.onnx"])
def test_files_that_are_not_there(name):
    with pytest.raises(UnknownModel, match=f"{name}: no such file"):
        load(name)


def test_a_weight_file_is_no_model(caffemodels):
    with pytest.raises(UnknownModel, match=r"expected a zoo name.*give weights='.*own_mergebn\.caffemodel' beside it"):
        load(caffemodels["folded"])


@RANDOM
def test_a_file_that_is_called_like_a_model_is_not_taken_for_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pl1a_seg").write_text("notes")
    assert load("pl1a_seg", weights="random", size=SIZE).name == "pl1a_seg"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"backend": "tensorrt", "device": "cpu"}, BackendUnavailable, '"tensorrt" runs on CUDA'),
        ({"backend": "magic"}, BackendUnavailable, "no backend is called"),
        ({"precision": "int8"}, BackendUnavailable, r'precision "int8" needs images .*: give calibration=\[image'),
        ({"precision": "fp64"}, BackendUnavailable, "no precision is called"),
        ({"device": "npu"}, BackendUnavailable, "no device is called"),
        ({"calibration": ["a.png"]}, BackendUnavailable, "calibration images are for"),
        ({"threads": 0}, BackendUnavailable, "threads is 0"),
        ({"channel_order": "gbr"}, ImageError, 'channel_order is "gbr"; expected "bgr" or "rgb"'),
        ({"size": 64}, ShapeError, r"size is 64; expected \(height, width\)"),
        ({"size": (64, 64, 3)}, ShapeError, r"expected \(height, width\)"),
        ({"size": (0, 64)}, ShapeError, "0x64; both have to be positive"),
        ({"size": (64, 100)}, ShapeError, "64x100 does not fit.*the nearest that does is 64x96"),
        ({"task": "classification"}, ConversionError, "this is a model for segmentation, not for classification"),
        ({"task": "detection"}, ConversionError, 'task is "detection"; expected segmentation or classification'),
    ],
)
@RANDOM
def test_what_cannot_be_meant_is_refused(options, error, message):
    with pytest.raises(error, match=message) as caught:
        load("pl1a_seg", **{"weights": "random", "size": SIZE, **options})
    assert "\n" not in str(caught.value)


@RANDOM
def test_a_classifier_names_classes(street):
    model = load("df1", weights="random", size=(224, 224))
    result = model(street)
    assert isinstance(result, dongfeng.Classification)
    assert result.logits.shape == (1000,)
    assert len(result.top(5)) == 5
    assert model.preprocessing == Preprocessing((104.0, 117.0, 123.0), 0.008, 256, (224, 224))
    assert model.head is None


# The cache


@RANDOM
def test_a_cached_model_is_run_without_net_or_onnx(home):
    load("pl1a_seg", weights="random", size=SIZE)
    code = (
        "import sys, warnings; warnings.simplefilter('ignore'); import dongfeng\n"
        f"dongfeng.load('pl1a_seg', weights='random', size={SIZE})\n"
        "print([m for m in ('onnx', 'dongfeng.architectures', 'dongfeng.layers', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@RANDOM
def test_the_cache_is_keyed_by_what_changes_the_model(home, monkeypatch):
    def count(name: str = "pl1a_seg", **options: object) -> int:
        load(name, **{"weights": "random", "size": SIZE, **options}).close()
        return len(onnx_files(home))

    assert count() == 1
    assert count() == 1
    assert count(weights="random:1") == 2
    assert count(size=(64, 64)) == 3
    monkeypatch.setattr("dongfeng.formats.versions.CONVERTER_VERSION", 999)
    assert count() == 4


def test_the_cache_is_keyed_by_the_content_of_the_weight_file(home, tmp_path, street):
    path = tmp_path / "w.caffemodel"
    scores = []
    for seed in (1, 2):
        write_caffe(random_weights(build("pl1a_seg"), seed), tmp_path / "n.prototxt", path)
        os.utime(path, (1e9, 1e9))  # neither its name nor its time tells
        scores.append(load("pl1a_seg", weights=path, size=SIZE)(street).scores)
    assert not np.array_equal(*scores)


@RANDOM
def test_d8_and_x8_differ_though_they_share_a_file(home, street):
    x8, d8 = (load(name, weights="random", size=SIZE) for name in ("df1seg", "df1seg_d8"))
    assert len(onnx_files(home)) == 1
    assert (x8.name, x8.head, d8.name, d8.head) == ("df1seg", "x8", "df1seg_d8", "d8")
    assert not np.array_equal(x8(street).labels, d8(street).labels)


@RANDOM
def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path, monkeypatch, street):
    blocked = tmp_path / "a file"
    blocked.write_text("where a folder would have to be")
    monkeypatch.setenv("DONGFENG_HOME", str(blocked / "home"))
    assert load("pl1a_seg", weights="random", size=SIZE)(street).labels.shape == (90, 160)


@RANDOM
def test_a_full_disk_leaves_no_half_file(home, monkeypatch, street):
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert load("pl1a_seg", weights="random", size=SIZE)(street).labels.shape == (90, 160)
    assert onnx_files(home) == []


@RANDOM
def test_several_loading_at_once_convert_once(home, monkeypatch):
    converted = []
    convert = artifact._convert
    monkeypatch.setattr(artifact, "_convert", lambda *args: converted.append(True) or convert(*args))
    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(lambda _: load("pl1a_seg", weights="random", size=SIZE), range(4)))
    assert len({model.size_hw for model in models}) == 1
    assert len(converted) == len(onnx_files(home)) == 1


# Files


def test_a_prototxt_with_weights(tmp_path, street):
    path, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    write_caffe(random_weights(build("pl1a_seg")), path, weights)
    with pytest.raises(ConversionError, match=r"give mean=\(blue, green, red\) and scale="):
        load(path, weights=weights, size=SIZE)
    model = load(path, weights=weights, size=SIZE, mean=(103.94, 116.78, 123.68), scale=0.008)
    assert (model.name, model.task, model.classes) == ("net", "segmentation", "cityscapes")
    named = load("pl1a_seg", weights=weights, size=SIZE)
    np.testing.assert_array_equal(model(street).scores, named(street).scores)
    assert model.net.layer("conv1").blobs


def test_a_prototxt_without_weights():
    with pytest.raises(WeightsUnavailable, match=r"a prototxt holds no weights; give weights="):
        load(Path(__file__).parents[2] / "prototxt" / "df1seg.prototxt")


@RANDOM
@pytest.mark.parametrize("name", ["df1seg", "df-lite_seg_mergebn", "df1"])
def test_released_prototxts_say_what_they_are(shared, name, street):
    size = (224, 224) if name == "df1" else SIZE
    path = shared / "release" / "prototxt" / f"{name}.prototxt"
    model = load(path, weights="random", size=size)
    assert model.task == ("classification" if name == "df1" else "segmentation")
    assert model.preprocessing.scale == pytest.approx(0.008)
    if name != "df1":
        assert model.preprocessing.mean_bgr == (72.0, 83.0, 73.0)
        assert model(street).scores.shape == (19, 8, 16)
        with pytest.raises(ShapeError, match=r"give size=\(height, width\)"):
            load(path, weights="random")


def test_foreign_onnx_for_segmentation(onnx_file, street):
    path = onnx_file(classes=4)
    model = load(path, mean=(10, 20, 30), scale=0.5)
    assert (model.name, model.task, model.net, model.size_hw) == ("net", "segmentation", None, (8, 16))
    assert model.class_names == ("class 0", "class 1", "class 2", "class 3")
    result = model(street)
    weight = onnx.numpy_helper.to_array(onnx.load(path).graph.initializer[0])[:, :, 0, 0]
    image = cv2.resize(cv2.imread(str(street)), (16, 8), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    expected = np.einsum("kc,hwc->khw", weight, (image - [10, 20, 30]) * 0.5)
    np.testing.assert_allclose(result.scores, expected, atol=1e-4)
    assert result.labels.shape == (90, 160)


@pytest.mark.parametrize("head", [("GlobalAveragePool",), ("GlobalAveragePool", "Flatten")])
def test_foreign_onnx_for_classification(onnx_file, street, head):
    model = load(onnx_file(head=head), mean=0, scale=1)
    assert model.task == "classification"
    assert model(street).logits.shape == (4,)


def test_foreign_onnx_has_to_be_told_its_recipe(onnx_file):
    for given in ({}, {"mean": 0}, {"scale": 1.0}):
        with pytest.raises(ConversionError, match=r"net\.onnx: the file does not say how an image becomes its input"):
            load(onnx_file(), **given)
    with pytest.raises(ConversionError, match="mean has 2 values; expected 1 or 3"):
        load(onnx_file(), mean=np.zeros(2), scale=1)


def test_foreign_onnx_of_open_size(onnx_file, street):
    path = onnx_file(shape=(None, 3, "height", "width"))
    with pytest.raises(ShapeError, match=r"has a dynamic input size; give size=\(height, width\)"):
        load(path, mean=0, scale=1)
    model = load(path, mean=0, scale=1, size=(24, 32))
    assert model.size_hw == (24, 32)
    assert model(street).scores.shape == (4, 24, 32)


def test_foreign_onnx_of_another_size(onnx_file):
    with pytest.raises(ShapeError, match="this file takes images of 8x16, not 64x128"):
        load(onnx_file(), mean=0, scale=1, size=SIZE)


@pytest.mark.parametrize("shape", [(1, 1, 8, 16), (2, 3, 8, 16), (1, 4, 8, 16)])
def test_foreign_onnx_that_takes_no_image(onnx_file, shape):
    with pytest.raises(ShapeError, match=r"expected (one float32 image \(1, 3, H, W\)|\(1, C, h, w\))"):
        load(onnx_file(shape=shape), mean=0, scale=1)


def test_foreign_onnx_that_ends_in_labels(onnx_file):
    with pytest.raises(ConversionError, match=r"no output holds float32 scores \(argmax .*before argmax"):
        load(onnx_file(head=("ArgMax",)), mean=0, scale=1)
    assert load(onnx_file(head=("ArgMax",), outputs=["argmax", "scores"]), mean=0, scale=1).task == "segmentation"


def test_foreign_onnx_with_several_scores(onnx_file):
    with pytest.raises(ConversionError, match="more than one output may hold the scores"):
        load(onnx_file(head=("GlobalAveragePool",), outputs=["scores", "globalaveragepool"]), mean=0, scale=1)


def test_foreign_onnx_of_too_many_labels(onnx_file):
    with pytest.raises(ShapeError, match="C at most 256"):
        load(onnx_file(classes=300), mean=0, scale=1)


def test_a_task_that_the_scores_deny(onnx_file):
    with pytest.raises(ShapeError, match="classification has"):
        load(onnx_file(), mean=0, scale=1, task="classification")
    with pytest.raises(ShapeError, match="segmentation has"):
        load(onnx_file(head=("GlobalAveragePool", "Flatten")), mean=0, scale=1, task="segmentation")


def test_onnx_takes_no_weights(onnx_file):
    with pytest.raises(ConversionError, match="an ONNX file holds its weights"):
        load(onnx_file(), weights="random", mean=0, scale=1)


def test_a_file_that_is_no_onnx(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"nothing")
    with pytest.raises(BackendUnavailable, match=r"a\.onnx: ONNX Runtime cannot load it"):
        load(tmp_path / "a.onnx")


def test_onnx_written_with_our_metadata_needs_no_telling(tmp_path, street):
    net = random_weights(build("df1seg").resize(*SIZE))
    spec = FileSpec(
        "mine", "segmentation", Preprocessing((72.0, 83.0, 73.0), 0.008), "d8", "cityscapes", "Decoder_score"
    )
    path = tmp_path / "mine.onnx"
    to_onnx(fold(net), path, metadata=to_metadata(spec))  # its outputs are label maps
    model = load(path)
    assert (model.name, model.head, model.preprocessing, model.classes) == (
        "mine",
        "d8",
        spec.preprocessing,
        "cityscapes",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = load("df1seg_d8", weights="random", size=SIZE)(street)
    np.testing.assert_array_equal(model(street).scores, expected.scores)
    np.testing.assert_array_equal(model(street).labels, expected.labels)


def test_onnx_of_a_net_with_a_recipe_needs_no_telling(tmp_path, shared):
    net = dongfeng.read_caffe(shared / "release" / "prototxt" / "df1seg_mergebn.prototxt").resize(*SIZE)
    to_onnx(random_weights(net), tmp_path / "a.onnx", outputs=["Decoder_score"])
    assert load(tmp_path / "a.onnx").preprocessing == net.preprocessing


def test_what_the_caller_says_of_the_recipe_counts(onnx_file):
    path = onnx_file(metadata=to_metadata(FileSpec(preprocessing=Preprocessing((1.0, 2.0, 3.0), 0.1))))
    assert load(path).preprocessing == Preprocessing((1.0, 2.0, 3.0), 0.1)
    assert load(path, mean=5).preprocessing == Preprocessing((5.0,), 0.1)
    assert load(path, scale=2).preprocessing == Preprocessing((1.0, 2.0, 3.0), 2.0)


def test_metadata_round_trip():
    spec = FileSpec("a", "classification", Preprocessing((1.5,), 0.25, 256, (224, 192)), None, "imagenet", "fc")
    assert from_metadata(to_metadata(spec), "a.onnx") == spec
    assert from_metadata({"author": "somebody"}, "a.onnx") == FileSpec()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("recipe", "{"),
        ("recipe", "[]"),
        ("recipe", json.dumps({"scale": 1})),
        ("recipe", json.dumps({"mean_bgr": [None], "scale": 1})),
        ("task", '"detection"'),
        ("head", '"x4"'),
    ],
)
def test_damaged_metadata_is_named(onnx_file, key, value):
    with pytest.raises(ConversionError, match=rf'net\.onnx: its metadata "dongfeng\.{key}" is'):
        load(onnx_file(metadata={f"dongfeng.{key}": value}), mean=0, scale=1)


def test_metadata_that_names_a_missing_score_blob(onnx_file):
    with pytest.raises(ConversionError, match='its metadata says that "gone" holds the scores'):
        load(onnx_file(metadata=to_metadata(FileSpec(score_blob="gone"))), mean=0, scale=1)
