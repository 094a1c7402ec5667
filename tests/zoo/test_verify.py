from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dongfeng.architectures import build
from dongfeng.caffe import caffemodel
from dongfeng.caffe.caffemodel import LayerBlobs
from dongfeng.errors import CaffemodelError, WeightsMismatch, WeightsUnavailable
from dongfeng.layers.infer import weight_shapes
from dongfeng.zoo.fetch import fetch_files, fetch_weights
from dongfeng.zoo.manifest import ModelInfo
from dongfeng.zoo.models import model_info
from dongfeng.zoo.verify import verify_weights
from tests.zoo.conftest import Server

NAME = "df-lite_seg_mergebn.caffemodel"


@pytest.fixture(scope="module")
def info() -> ModelInfo:
    return model_info("dflite_seg")


@pytest.fixture(scope="module")
def records(info: ModelInfo) -> list[LayerBlobs]:
    """Weights in the shapes of the architecture, all 1."""
    net = build(info.architecture, folded=info.folded)
    shapes = {one.layer.name: one.known() for one in weight_shapes(net.inputs, net.layers) if one.shapes}
    return [
        LayerBlobs(
            layer.name,
            layer.type,
            layer.bottoms,
            layer.tops,
            tuple(np.ones(shape, np.float32) for shape in shapes[layer.name]),
            (False,) * len(shapes[layer.name]),
        )
        for layer in net.layers
        if layer.name in shapes
    ]


def write(path: Path, records: list[LayerBlobs]) -> Path:
    caffemodel.write(path, "net", records)
    return path


@pytest.fixture(scope="module")
def good(records: list[LayerBlobs], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("good") / NAME, records)


def with_value(record: LayerBlobs, value: float) -> LayerBlobs:
    first = record.blobs[0].copy()
    first.flat[-1] = value
    return replace(record, blobs=(first, *record.blobs[1:]))


def test_right_weights_pass(good: Path, info: ModelInfo) -> None:
    verify_weights(good, info)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(tmp_path: Path, records: list[LayerBlobs], info: ModelInfo, value: float) -> None:
    path = write(tmp_path / NAME, [*records[:-1], with_value(records[-1], value)])
    with pytest.raises(CaffemodelError, match=f'layer "{records[-1].name}" holds NaN or infinite values'):
        verify_weights(path, info)


def test_every_single_missing_layer_is_noticed(tmp_path: Path, records: list[LayerBlobs], info: ModelInfo) -> None:
    for index in (0, len(records) // 2, len(records) - 1):
        path = write(tmp_path / NAME, [*records[:index], *records[index + 1 :]])
        with pytest.raises(WeightsMismatch, match=f'"{records[index].name}"'):
            verify_weights(path, info)


def test_wrong_shape(tmp_path: Path, records: list[LayerBlobs], info: ModelInfo) -> None:
    first = records[0]
    narrow = replace(first, blobs=(first.blobs[0][:-1], *first.blobs[1:]))
    with pytest.raises(WeightsMismatch, match=f'layer "{first.name}": blob 0 is 31x3x3x3, the net wants 32x3x3x3'):
        verify_weights(write(tmp_path / NAME, [narrow, *records[1:]]), info)


def test_weights_of_another_model(good: Path) -> None:
    with pytest.raises(WeightsMismatch, match='"res3.1.conv1": blob 0 is 128x64x3x3, the net wants 128x128x3x3'):
        verify_weights(good, model_info("df2seg1_mergebn"))


def test_merged_weights_are_not_those_of_the_unmerged_release(good: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsMismatch, match='"conv1": the file has 2 blobs, the net wants 1'):
        verify_weights(good, replace(model_info("dflite_seg"), folded=False))


@pytest.mark.parametrize("keep", [0.999, 0.5, 0.01])
def test_truncated_file(good: Path, tmp_path: Path, info: ModelInfo, keep: float) -> None:
    body = good.read_bytes()
    cut = tmp_path / NAME
    cut.write_bytes(body[: int(len(body) * keep)])
    with pytest.raises(CaffemodelError, match=r"bytes should follow, \d+ are left: is the file cut short\?"):
        verify_weights(cut, info)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "the file is empty"),
        (b"\0" * 1000, "damaged, or no caffemodel: no field can begin here"),
        (b"not a caffemodel", "text, not a caffemodel"),
        (b"\x80\x04\x95pickle", "damaged, or no caffemodel: 8 bytes should follow"),
    ],
    ids=["empty", "zeros", "text", "pickle"],
)
def test_other_files(tmp_path: Path, info: ModelInfo, body: bytes, problem: str) -> None:
    path = tmp_path / NAME
    path.write_bytes(body)
    with pytest.raises(CaffemodelError, match=problem):
        verify_weights(path, info)


@pytest.mark.parametrize("name", ["df1", "df2a", "dflite_seg", "df1seg", "df2seg2_mergebn"])
def test_seeded_weights_of_the_released_nets_pass(shared: Path, tmp_path: Path, name: str) -> None:
    """Names and shapes as real Caffe has them, written by a program that is not ours."""
    info = model_info(name)
    stem = info.prototxt.removesuffix(".prototxt")
    path = tmp_path / f"{stem}.caffemodel"
    golden = shared / "golden"
    subprocess.run(
        [sys.executable, golden / "make_weights.py", golden / "release" / f"{stem}.json", path],
        check=True,
        cwd=tmp_path,
    )
    expected = json.loads((golden / "release" / f"{stem}.json").read_text())["sha256"]["seeded"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == expected
    verify_weights(path, info)


# --- all of it: a model's weights through the cache -------------------------------------------------------------


def test_fetch_weights_over_a_mirror(
    server: Server, cache: Path, good: Path, info: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DONGFENG_MIRROR", server.url)
    server.serve(NAME, good.read_bytes())
    path = fetch_weights(info, progress=False)
    assert path == cache / NAME
    assert path.read_bytes() == good.read_bytes()
    assert fetch_weights(model_info("dflite_seg_d8"), progress=False) == path
    assert len(server.asked) == 1


def test_fetch_weights_refuses_another_models_file(cache: Path, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DONGFENG_OFFLINE", "1")
    cache.mkdir(parents=True)
    path = cache / "df2seg1_mergebn.caffemodel"
    path.write_bytes(good.read_bytes())
    with pytest.raises(WeightsUnavailable, match="it is not the released file: .* the net wants") as caught:
        fetch_weights(model_info("df2seg1_mergebn"), progress=False)
    message = str(caught.value)
    assert "\n" not in message
    assert message.count(str(path)) == 1
    assert "delete it to have it fetched again" in message


def test_fetch_files_gets_both_of_pl1a(
    shared: Path, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DONGFENG_MIRROR", server.url)
    info = model_info("pl1a_seg")
    for file in info.weights:
        server.serve(file.name, (shared / "pl1a" / file.name).read_bytes())
    assert fetch_files(info, progress=False) == (cache / "pl1a_new.bin", cache / "pl1a_new.param.bin")
    assert fetch_weights(info, progress=False) == cache / "pl1a_new.bin"
    server.serve("pl1a_new.bin", b"\0" * 1_480_176)
    (cache / "pl1a_new.bin").write_bytes(b"\0" * 1_480_176)
    with pytest.raises(WeightsUnavailable, match="its sha256 is .* that of the released file 27854cb06185bd43"):
        fetch_weights(info, progress=False)
