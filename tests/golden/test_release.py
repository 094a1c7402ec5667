"""The ten released networks with seeded weights, against what real Caffe computed with the same weights."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import dongfeng
from dongfeng.net.weights import load_caffemodel
from tests.conftest import require_shared

RELEASE = require_shared() / "golden/release" if require_shared() else None
NETS = sorted(path.stem for path in RELEASE.glob("*.json")) if RELEASE else []


def spec(name: str) -> dict[str, Any]:
    return json.loads((RELEASE / f"{name}.json").read_text())


def goldens() -> Iterator[Any]:
    for name in NETS:
        for golden in spec(name)["goldens"]:
            yield pytest.param(name, golden, id=golden["file"].removesuffix(".npy").removesuffix(".npz"))


@pytest.fixture(scope="module")
def weights_file(shared: Path, tmp_path_factory: pytest.TempPathFactory):
    """Writes the seeded weights of a net, or the folded ones, once."""
    location = importlib.util.spec_from_file_location("make_weights", shared / "golden/make_weights.py")
    maker: ModuleType = importlib.util.module_from_spec(location)
    location.loader.exec_module(maker)
    folder = tmp_path_factory.mktemp("weights")

    @cache
    def make(name: str, fold: bool = False) -> Path:
        target = folder / f"{name}{'_folded' if fold else ''}.caffemodel"
        loaded = spec(name)
        seed = loaded["seed"]
        base = spec(loaded["fold"]["from"].removesuffix(".json")) if fold else None
        layers = maker.folded(loaded, base, seed) if base else maker.seeded(loaded, seed)
        target.write_bytes(maker.enc_net(loaded["net"], layers))
        return target

    return make


def read(shared: Path, name: str, weights: Path | None = None) -> dongfeng.Net:
    return dongfeng.read_caffe(shared / f"release/prototxt/{name}.prototxt", weights)


def feed(golden: dict[str, Any]) -> dict[str, np.ndarray]:
    rng = np.random.RandomState(golden["input_seed"])
    return {"data": rng.standard_normal(golden["input_shape"]).astype(np.float32)}


def assert_meets(got: np.ndarray, golden: dict[str, Any]) -> None:
    stored = np.load(RELEASE / golden["file"])
    if "tolerance_mismatch_fraction" in golden:
        expected = stored[stored.files[0]]
        assert got.shape[-2:] == expected.shape[-2:]
        differing = np.mean(np.squeeze(got) != np.squeeze(expected))
        assert differing <= min(golden["tolerance_mismatch_fraction"], 1e-4)
        return
    if "sample" in golden:
        assert golden["sample"] == "blob[:, :, ::8, ::8]"
        got = got[:, :, ::8, ::8]
    assert got.shape == stored.shape
    assert np.max(np.abs(got - stored)) <= golden["tolerance"] * np.max(np.abs(stored))


def test_all_ten_are_there(shared: Path) -> None:
    assert len(NETS) == 10
    assert {path.stem for path in (shared / "release/prototxt").glob("*.prototxt")} == set(NETS)


@pytest.mark.parametrize(("name", "golden"), list(goldens()))
def test_output_is_that_of_caffe(shared: Path, weights_file, name: str, golden: dict[str, Any]) -> None:
    net = read(shared, name, weights_file(name))
    got = dongfeng.run(net, feed(golden), [golden["blob"]])[golden["blob"]]
    assert_meets(got, golden)


@pytest.mark.parametrize("name", [name for name in NETS if NETS and "fold" in spec(name)])
def test_fold_is_the_released_merge(shared: Path, weights_file, name: str) -> None:
    """Structure of the released `_mergebn` file, weights of an independent fold, numbers of the unfolded golden."""
    check = spec(name)["fold"]
    unfolded = check["from"].removesuffix(".json")
    folded = dongfeng.fold(read(shared, unfolded, weights_file(unfolded)))
    released = read(shared, name)
    assert [layer.name for layer in folded.layers] == [layer.name for layer in released.layers]
    structure = dongfeng.fold(read(shared, unfolded))
    assert structure == released
    expected = load_caffemodel(released, weights_file(name, True))
    for got, wanted in zip(folded.layers, expected.layers, strict=True):
        assert len(got.blobs) == len(wanted.blobs)
        for mine, theirs in zip(got.blobs, wanted.blobs, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-7)
    assert dongfeng.fold(folded) == folded
    golden = next(g for g in spec(unfolded)["goldens"] if g["blob"].endswith("/bn") and "sample" not in g)
    got = dongfeng.run(folded, feed(golden), ["Decoder_score"])["Decoder_score"]
    assert_meets(got, golden)


@pytest.mark.parametrize("name", NETS)
def test_written_files_are_read_back_the_same(shared: Path, weights_file, tmp_path: Path, name: str) -> None:
    folded = dongfeng.fold(read(shared, name, weights_file(name)))
    dongfeng.write_caffe(folded, tmp_path / "a.prototxt", tmp_path / "a.caffemodel")
    assert dongfeng.read_caffe(tmp_path / "a.prototxt", tmp_path / "a.caffemodel") == folded


@pytest.mark.parametrize("size", [(256, 512), (384, 640), (512, 512), (736, 1280), (96, 64)], ids=str)
def test_other_sizes_need_multiples_of_32(shared: Path, size: tuple[int, int]) -> None:
    net = read(shared, "df1seg").resize(*size)
    shapes = net.shapes()
    assert shapes["Decoder_score"] == (1, 19, size[0] // 8, size[1] // 8)
    assert shapes["pred"] == (1, 1, *size)
    for off in (1, 2, 4, 8, -6, -10):  # at 250x512, rounding up makes the shapes fit by accident
        with pytest.raises(dongfeng.errors.ShapeError, match=f"nearest that does is {size[0]}x{size[1]}"):
            net.resize(size[0] + off, size[1] - 4)
        with pytest.raises(dongfeng.errors.ShapeError, match=f"nearest that does is {size[0]}x{size[1]}"):
            dongfeng.run(net, {"data": np.zeros((1, 3, size[0] + off, size[1]), np.float32)})


@pytest.mark.parametrize(("name", "macs"), [("df1", 746_217_472), ("df2", 1_773_821_952)], ids=["df1", "df2"])
def test_cost_is_the_published_one(shared: Path, name: str, macs: int) -> None:
    rows = read(shared, name).cost()
    assert sum(row.macs for row in rows if row.type == "Convolution") == macs
    assert sum(row.macs for row in rows) == macs + 512_000
