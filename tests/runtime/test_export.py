"""Every way that leads to an ONNX file gives the same file: folded, down to the scores, with what says how to run it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest

from dongfeng.cli.main import main
from dongfeng.errors import ConversionError, ShapeError, UnknownModel
from dongfeng.formats.caffe import write_caffe
from dongfeng.net.random_weights import random_weights
from dongfeng.runtime.convert import convert
from dongfeng.runtime.export import export_onnx, scored_net
from dongfeng.runtime.export_trtexec import export_trtexec
from dongfeng.runtime.load import load
from dongfeng.runtime.quantize import _float_model
from dongfeng.runtime.source import NcnnSource, PrototxtSource, ZooSource, find_net, find_source
from dongfeng.runtime.torch_net import to_torch

pytestmark = pytest.mark.filterwarnings("ignore:.*random weights:dongfeng.errors.DongfengWarning")
SIZE = (64, 128)
NAMES = ["pl1a_seg", "dflite_seg_d8", "df1"]


def size_of(name: str) -> tuple[int, int]:
    return (224, 224) if name == "df1" else SIZE


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


@pytest.mark.parametrize("name", NAMES)
def test_convert_quantize_and_trtexec_write_one_file(name: str, tmp_path: Path) -> None:
    size = size_of(name)
    with load(name, weights="random", size=size) as model:
        scores = model.output
        before_quantizing = _float_model(model, name)
    bundle = export_trtexec(name, tmp_path / "bundle", board="orin", weights="random", size=size)
    (exported,) = (onnx.load(file) for file in bundle.files if file.suffix == ".onnx")
    for opset, other in ((17, before_quantizing), (bundle.board.opset, exported)):
        convert(name, tmp_path / "net.onnx", weights="random", size=size, opset=opset, outputs=[scores])
        converted = onnx.load(tmp_path / "net.onnx")
        assert converted.graph.SerializeToString(deterministic=True) == other.graph.SerializeToString(
            deterministic=True
        )
        assert metadata(converted) == metadata(other)
        assert {"dongfeng.name", "dongfeng.task", "dongfeng.recipe", "dongfeng.classes"} <= metadata(other).keys()


@pytest.mark.parametrize("name", ["pl1a_seg", "df1"])
def test_what_load_keeps_in_the_cache_is_that_file(name: str, tmp_path: Path) -> None:
    """The `_d8` names share one file of the cache with the others, so they are not of these."""
    with load(name, weights="random", size=size_of(name), backend="onnxruntime") as model:
        assert isinstance(model.file, Path)
        kept, scores = onnx.load(model.file), model.output
    convert(name, tmp_path / "net.onnx", weights="random", size=size_of(name), outputs=[scores])
    converted = onnx.load(tmp_path / "net.onnx")
    assert kept.graph.SerializeToString(deterministic=True) == converted.graph.SerializeToString(deterministic=True)
    assert metadata(kept) == metadata(converted)


def test_the_file_for_a_board_is_loaded_as_the_model_it_came_from(tmp_path: Path) -> None:
    bundle = export_trtexec("pl1a_seg", tmp_path, board="orin", weights="random", size=SIZE)
    (path,) = (file for file in bundle.files if file.suffix == ".onnx")
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    with load(path) as got, load("pl1a_seg", weights="random", size=SIZE) as wanted:
        assert (got.name, got.task, got.preprocessing, got.head) == (
            "pl1a_seg",
            "segmentation",
            wanted.preprocessing,
            "x8",
        )
        np.testing.assert_array_equal(got.segment(image).labels, wanted.segment(image).labels)


def test_the_scored_net_has_the_layers_of_the_file() -> None:
    net = find_net("pl1a_seg", "random").net(SIZE)
    nodes = export_onnx(net, find_net("pl1a_seg").spec(SIZE)).graph.node
    assert scored_net(net).outputs == ("Decoder_score",)
    assert {node.name.partition("/")[0] for node in nodes} <= {layer.name.partition("/")[0] for layer in net.layers}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """PL1A as Caffe files and as ncnn files, in a folder."""
    net = random_weights(find_net("pl1a_seg").structure(SIZE))
    write_caffe(net, tmp_path / "a.prototxt", tmp_path / "a.caffemodel")
    assert (
        main(["convert", str(tmp_path / "a.prototxt"), str(tmp_path / "a.caffemodel"), "-o", str(tmp_path / "b.param")])
        == 0
    )
    return tmp_path


def test_a_name_means_the_same_everywhere(small: Path) -> None:
    assert isinstance(find_source("PL1A-Seg"), ZooSource)
    assert isinstance(find_source(small / "a.prototxt"), PrototxtSource)
    ncnn = find_source(small / "b.param")
    assert isinstance(ncnn, NcnnSource)
    assert ncnn.files() == (small / "b.param", small / "b.bin")
    for name, weights in ((small / "a.prototxt", small / "a.caffemodel"), (small / "b.param", None)):
        assert find_net(name, weights).net().layers
        if find_spec("torch") is not None:
            assert to_torch(name, weights=weights) is not None  # PyTorch takes whatever ONNX takes
        assert main(["info", str(name), *([str(weights)] if weights else [])]) == 0


def test_what_is_no_network_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"")
    (tmp_path / "a.caffemodel").write_bytes(b"")
    with pytest.raises(ConversionError, match=r"a\.onnx: expected a zoo name.*a network no longer"):
        find_net(tmp_path / "a.onnx")
    with pytest.raises(ConversionError, match=r"a\.onnx: an ONNX file holds its weights; leave out weights='random'"):
        find_source(tmp_path / "a.onnx", "random")
    with pytest.raises(UnknownModel, match=r"a\.caffemodel: expected a zoo name.*, or an \.onnx file; .*give weights="):
        find_source(tmp_path / "a.caffemodel")
    with pytest.raises(UnknownModel, match=r"a\.caffemodel: expected a zoo name.* or \.param\.bin; .*give weights="):
        find_net(tmp_path / "a.caffemodel")  # which takes no ONNX file
    with pytest.raises(UnknownModel, match=r"none\.engine: no such file"):
        find_source(tmp_path / "none.engine")
    with pytest.raises(ShapeError, match="64x"):
        find_net("pl1a_seg").structure((70, 128))


def test_a_task_that_the_model_does_not_have(tmp_path: Path) -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    with load("pl1a_seg", weights="random", size=SIZE) as model:
        assert model.segment(image).labels.shape == (32, 32)
        with pytest.raises(ConversionError, match=r"a model for segmentation; call segment\(\)"):
            model.classify(image)
