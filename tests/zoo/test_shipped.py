"""Weights that come with the package: neither network nor cache is needed, and damage is never mended in silence."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dongfeng
from dongfeng.architectures import build
from dongfeng.caffe import caffemodel
from dongfeng.errors import WeightsUnavailable
from dongfeng.net.random_weights import random_weights
from dongfeng.support.files import sha256_of
from dongfeng.tools import ship_weights as program
from dongfeng.zoo import paths
from dongfeng.zoo.cache import list_cache
from dongfeng.zoo.fetch import fetch_files, fetch_weights, local_weights
from dongfeng.zoo.manifest import manifest, read_manifest
from dongfeng.zoo.models import model_info
from dongfeng.zoo.verify import verify_weights
from tests.zoo.conftest import Server

NAME = "toytown_seg_mergebn.caffemodel"


@pytest.fixture
def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped weights of an installation of its own, to be damaged."""
    package = tmp_path / "site-packages" / "dongfeng"
    (package / "data").mkdir(parents=True)
    shutil.copy(paths.data_root() / paths.MANIFEST, package / "data")
    shutil.copytree(paths.data_root() / "prototxt", package / "data/prototxt")
    monkeypatch.setattr(paths, "_PACKAGE", package)
    return package / "data/prototxt" / NAME


def refused() -> str:
    with pytest.raises(WeightsUnavailable) as caught:
        fetch_weights(model_info("toytown_seg"))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_shipped_weights_lie_beside_the_network_file_and_are_those_of_the_manifest() -> None:
    info = model_info("toytown_seg")
    path = fetch_weights(info)
    assert path == paths.data_root() / "prototxt" / NAME
    assert path.with_suffix(".prototxt").is_file()
    assert (path.stat().st_size, sha256_of(path)) == (info.weights[0].size_bytes, info.weights[0].sha256)
    assert fetch_files(info) == (path,)
    assert local_weights(info) == path
    verify_weights(path, info)


def test_all_shipped_files_are_half_precision_and_small() -> None:
    """Half-precision blobs are marked by field 10 of a blob; the file is as large as two bytes a weight ask for."""
    (file,) = [file for file in manifest().files.values() if file.shipped]
    records = caffemodel.read(paths.data_root() / "prototxt" / file.name)
    weights = sum(blob.size for record in records for blob in record.blobs)
    assert file.size_bytes is not None
    assert 2 * weights < file.size_bytes < min(2.1 * weights, 1_500_000)


def test_neither_network_nor_cache_is_needed(
    server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("a file where the cache should be")
    monkeypatch.setenv("DONGFENG_MIRROR", server.url)
    server.serve(NAME, b"other weights")
    for offline in ("0", "1"):
        monkeypatch.setenv("DONGFENG_OFFLINE", offline)
        assert fetch_weights(model_info("toytown_seg")).is_relative_to(paths.data_root())
    assert server.asked == []
    with dongfeng.load("toytown_seg", threads=1) as model:
        assert model(np.zeros((64, 128, 3), np.uint8)).labels.shape == (64, 128)


def test_a_file_of_that_name_in_the_cache_is_none_of_ours(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(b"put there by hand")
    assert fetch_weights(model_info("toytown_seg")).parent != cache
    assert list_cache() == []


def test_local_weights_of_a_downloaded_model_are_those_in_the_cache(cache: Path) -> None:
    info = model_info("df1")
    assert local_weights(info) is None
    cache.mkdir(parents=True)
    (cache / "df1.caffemodel").touch()
    assert local_weights(info) == cache / "df1.caffemodel"


def test_missing_weights_ask_for_a_reinstallation(damaged: Path, server: Server) -> None:
    damaged.unlink()
    assert refused() == f"{damaged}: no such file; it ships with the package: reinstall dongfeng"
    assert local_weights(model_info("toytown_seg")) is None


@pytest.mark.parametrize("damage", ["cut", "changed", "a folder"])
def test_damaged_weights_ask_for_a_reinstallation(damaged: Path, damage: str) -> None:
    content = damaged.read_bytes()
    damaged.unlink()
    if damage == "cut":
        damaged.write_bytes(content[:-1])
        says = f"it has {len(content) - 1} bytes, the released file {len(content)}"
    elif damage == "changed":
        damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        says = f"that of the released file {model_info('toytown_seg').weights[0].sha256[:16]}"  # type: ignore[index]
    else:
        damaged.mkdir()
        says = "Is a directory"
    message = refused()
    assert says in message
    assert message.endswith("it ships with the package: reinstall dongfeng")


# --- python -m dongfeng.zoo --ship ------------------------------------------------------------------------------


def test_new_weights_are_merged_halved_and_entered_in_the_manifest(damaged: Path, tmp_path: Path) -> None:
    net = random_weights(build("toytown_seg"), 7)
    dongfeng.write_caffe(net, tmp_path / "trained.prototxt", tmp_path / "trained.caffemodel")
    text = (damaged.parent.parent / paths.MANIFEST).read_text(encoding="utf-8")
    assert program.main(["--ship", str(tmp_path / "trained.caffemodel")]) == 0
    renewed = read_manifest(damaged.parent.parent / paths.MANIFEST)
    file = renewed.files[NAME]
    assert (file.size_bytes, file.sha256) == (damaged.stat().st_size, sha256_of(damaged))
    assert file.sha256 != manifest().files[NAME].sha256
    assert (
        replace(file, size_bytes=manifest().files[NAME].size_bytes, sha256=manifest().files[NAME].sha256)
        == (manifest().files[NAME])
    )
    assert {name: at for name, at in renewed.files.items() if name != NAME} == {
        name: at for name, at in manifest().files.items() if name != NAME
    }
    changed = (damaged.parent.parent / paths.MANIFEST).read_text(encoding="utf-8")
    assert len(changed.splitlines()) == len(text.splitlines())
    assert json.loads(changed)["models"] == json.loads(text)["models"]
    folded = {layer.name: layer.blobs for layer in dongfeng.fold(net).layers if layer.blobs}
    for record in caffemodel.read(damaged):
        for blob, full in zip(record.blobs, folded.get(record.name, ()), strict=True):
            np.testing.assert_array_equal(blob, full.astype(np.float16))


def test_what_are_not_its_weights_is_not_shipped(
    damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = damaged.read_bytes()
    net = random_weights(build("toytown_seg"), 7)
    broken = [replace(layer, blobs=tuple(blob * np.nan for blob in layer.blobs)) for layer in net.layers]
    dongfeng.write_caffe(replace(net, layers=tuple(broken)), tmp_path / "nan.prototxt", tmp_path / "nan.caffemodel")
    for argv, says in (
        (["--ship", str(tmp_path / "nan.caffemodel")], "holds NaN or infinite values"),
        (["--ship", "missing.caffemodel"], "missing.caffemodel: no such file"),
        (["--ship", "random:1", "--model", "df1"], "df1: its weights do not ship with the package"),
    ):
        assert program.main(argv) == 1
        assert says in capsys.readouterr().err
    assert damaged.read_bytes() == before
