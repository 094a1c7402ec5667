"""Weight blobs that layers share by name: Caffe's rules, and what every reader and writer of weights makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dongfeng
import dongfeng.reference
from dongfeng.caffe import caffemodel
from dongfeng.caffe.caffemodel import LayerBlobs
from dongfeng.errors import DongfengWarning, ShapeError, WeightsMismatch
from dongfeng.net.random_weights import random_weights
from tests.nets import data, layer, read_text

OWNED = np.arange(24, dtype=np.float32).reshape(6, 4) - 11
OTHER = np.arange(24, dtype=np.float32).reshape(4, 6) * 0.5
FEED = np.array([[1, -2, 3, 0.5]], np.float32)


def inner_product(name: str, bottom: str, outputs: int, mode: str, extra: str = "") -> str:
    share = f'param {{ name: "w" {mode} }}'
    weights = f"inner_product_param {{ num_output: {outputs} bias_term: false {extra} }}"
    return layer(name, "InnerProduct", bottom, name, f"{share} {weights}")


def two_layers(mode: str = "share_mode: PERMISSIVE", *, outputs: int = 4, first: str = "", second: str = "") -> str:
    """`first` owns 6x4 weights, `second` wants OUTPUTSx6 of the same name."""
    return (
        data(1, 4)
        + inner_product("first", "data", 6, "", first)
        + inner_product("second", "first", outputs, mode, second)
    )


def write_weights(path: Path, **weights: np.ndarray) -> Path:
    layers = [LayerBlobs(name, "InnerProduct", (), (), (blob,), (False,)) for name, blob in weights.items()]
    caffemodel.write(path, "net", layers)
    return path


def assert_computes(net: dongfeng.Net, owned: np.ndarray) -> None:
    """ONNX Runtime and the NumPy interpreter give what the owner's values give, by NumPy alone."""
    first = FEED @ owned.reshape(6, 4).T
    second = first @ owned.reshape(4, 6).T
    for run in (dongfeng.run, dongfeng.reference.run):
        got = run(net, {"data": FEED}, ["first", "second"])
        np.testing.assert_allclose(got["first"], first, rtol=1e-6)
        np.testing.assert_allclose(got["second"], second, rtol=1e-6)


@pytest.mark.parametrize(
    ("weights", "owned"),
    [
        ({"first": OWNED}, OWNED),
        ({"second": OTHER}, OTHER),
        ({"first": OWNED, "second": OTHER}, OTHER),
        ({"second": OTHER, "first": OWNED}, OWNED),
    ],
    ids=["owner only", "sharer only", "sharer last in the file", "owner last in the file"],
)
def test_permissive_sharing_reshapes_the_owners_values(
    tmp_path: Path, weights: dict[str, np.ndarray], owned: np.ndarray
) -> None:
    net = read_text(tmp_path, two_layers(), write_weights(tmp_path / "w.caffemodel", **weights))
    np.testing.assert_array_equal(net.layer("first").blobs[0], owned.reshape(6, 4))
    np.testing.assert_array_equal(net.layer("second").blobs[0], owned.reshape(4, 6))
    assert not net.layer("second").blobs[0].flags.writeable
    assert_computes(net, owned)


def test_written_files_are_read_back_the_same(tmp_path: Path) -> None:
    net = read_text(tmp_path, two_layers(), write_weights(tmp_path / "w.caffemodel", first=OWNED))
    dongfeng.write_caffe(net, tmp_path / "out.prototxt", tmp_path / "out.caffemodel")
    stored = {
        record.name: record.blobs[0].shape for record in caffemodel.read(tmp_path / "out.caffemodel") if record.blobs
    }
    assert stored == {"first": (6, 4), "second": (4, 6)}
    back = dongfeng.read_caffe(tmp_path / "out.prototxt", tmp_path / "out.caffemodel")
    assert back == net
    assert "share_mode: PERMISSIVE" in (tmp_path / "out.prototxt").read_text()


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (
            two_layers(""),
            r'net\.prototxt:3: layer "second" \(InnerProduct\): shares "w" with layer "first", '
            r"whose blob is 6x4, not 4x6; share_mode: PERMISSIVE allows other shapes of the same size",
        ),
        (
            two_layers(outputs=5),
            r'net\.prototxt:3: layer "second" \(InnerProduct\): shares "w" with layer "first", '
            r"whose blob has 24 values \(6x4\), not 30 \(5x6\)",
        ),
    ],
    ids=["strict by default", "permissive of another size"],
)
def test_blobs_that_do_not_fit_are_refused_when_the_net_is_read(tmp_path: Path, text: str, refusal: str) -> None:
    with pytest.raises(ShapeError, match=refusal):
        read_text(tmp_path, text)


def test_the_owners_own_mode_does_not_count(tmp_path: Path) -> None:
    """Caffe asks the layer that joins, not the one that came first."""
    owner = inner_product("first", "data", 6, "share_mode: PERMISSIVE")
    with pytest.raises(ShapeError, match="share_mode: PERMISSIVE allows"):
        read_text(tmp_path, data(1, 4) + owner + inner_product("second", "first", 4, ""))


def test_fillers_are_the_owners(tmp_path: Path) -> None:
    """The sharer's filler never shows, be it constant or random."""
    for filler in ("value: 3", 'type: "xavier"'):
        text = two_layers(first="weight_filler { value: 2 }", second=f"weight_filler {{ {filler} }}")
        with pytest.warns(DongfengWarning, match='no weights for "first", "second"'):
            assert_computes(read_text(tmp_path, text), np.full(24, 2, np.float32))
    text = two_layers(first='weight_filler { type: "xavier" }', second="weight_filler { value: 3 }")
    for run in (dongfeng.run, dongfeng.reference.run):
        with pytest.raises(WeightsMismatch, match='layer "first" .* its filler "xavier" is random'):
            run(read_text(tmp_path, text), {"data": FEED})


def test_random_weights_are_shared(tmp_path: Path) -> None:
    net = random_weights(read_text(tmp_path, two_layers()))
    assert net.layer("first").blobs[0].std() > 0
    assert_computes(net, net.layer("first").blobs[0])
    alone = random_weights(read_text(tmp_path, two_layers().replace('name: "w"', "")))
    np.testing.assert_array_equal(net.layer("first").blobs[0], alone.layer("first").blobs[0])
    assert not np.array_equal(net.layer("second").blobs[0], alone.layer("second").blobs[0])
