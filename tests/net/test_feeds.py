"""What a net is fed with: names, shapes, and inputs that need no feed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dongfeng
import dongfeng.reference
from dongfeng.errors import ConversionError
from dongfeng.net.feeds import feed_arrays, random_feeds
from dongfeng.verification.verify import verify
from tests.nets import layer, read_text

IMAGE = np.array([[[[-1.0, 2.0]]]], np.float32)
RUNS = [dongfeng.run, dongfeng.reference.run]


def labelled(shape: str = "shape { dim: 1 }") -> str:
    """A net of an image and of a label that nothing reads."""
    return (
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 1 dim: 2 } } }\n'
        f'layer {{ name: "label" type: "Input" top: "label" input_param {{ {shape} }} }}\n'
        + layer("relu", "ReLU", "data", "out")
    )


@pytest.mark.parametrize("run", RUNS, ids=["ONNX Runtime", "NumPy"])
@pytest.mark.parametrize("shape", ["shape { dim: 1 }", ""], ids=["a shape", "no shape"])
def test_an_input_that_nothing_reads_needs_no_feed(tmp_path: Path, run, shape: str) -> None:
    net = read_text(tmp_path, labelled(shape))
    assert net.outputs == ("label", "out")
    got = run(net, {"data": IMAGE})
    assert set(got) - {"data"} == {"out"}
    np.testing.assert_array_equal(got["out"], [[[[0, 2]]]])
    np.testing.assert_array_equal(run(net, {"data": IMAGE}, ["out"])["out"], [[[[0, 2]]]])


@pytest.mark.parametrize("run", RUNS, ids=["ONNX Runtime", "NumPy"])
def test_an_input_that_nothing_reads_is_an_output_where_it_is_fed(tmp_path: Path, run) -> None:
    got = run(read_text(tmp_path, labelled()), {"data": IMAGE, "label": [3.0]})
    np.testing.assert_array_equal(got["label"], [3])
    np.testing.assert_array_equal(got["out"], [[[[0, 2]]]])


@pytest.mark.parametrize("run", RUNS, ids=["ONNX Runtime", "NumPy"])
@pytest.mark.parametrize(
    ("feeds", "outputs", "refusal"),
    [
        ({"label": [3.0]}, None, r"the net's inputs are \['data', 'label'\], got feeds for \['label'\]"),
        ({"data": IMAGE, "lable": [3.0]}, None, r"got feeds for \['data', 'lable'\]"),
        ({"data": IMAGE}, ["label"], "no blob 'label'"),
    ],
    ids=["an input that is read", "an unknown input", "the input is asked for"],
)
def test_other_feeds_are_refused(tmp_path: Path, run, feeds: dict, outputs: list[str] | None, refusal: str) -> None:
    with pytest.raises(ConversionError, match=refusal):
        run(read_text(tmp_path, labelled()), feeds, outputs)


def test_an_input_overwritten_in_place_is_read(tmp_path: Path) -> None:
    net = read_text(tmp_path, labelled().replace('top: "out"', 'top: "data"'))
    np.testing.assert_array_equal(dongfeng.run(net, {"data": IMAGE})["data"], [[[[0, 2]]]])
    assert list(feed_arrays(net, {"data": IMAGE})) == ["data@0"]
    with pytest.raises(ConversionError, match="got feeds for"):
        dongfeng.run(net, {"label": [3.0]})


def test_verification_needs_no_feed_for_it_either(tmp_path: Path) -> None:
    net = read_text(tmp_path, labelled())
    np.savez(tmp_path / "saved.npz", data=IMAGE, out=np.maximum(IMAGE, 0))
    for verdict in (
        verify(net, dongfeng.to_onnx(net), feeds={"data": IMAGE}),
        verify(net, dongfeng.to_onnx(net), tmp_path / "saved.npz"),
        verify(read_text(tmp_path, labelled("")), dongfeng.to_onnx(net)),
    ):
        assert verdict.passed
        assert [blob.blob for blob in verdict.blobs] == ["out"]


def test_random_feeds_are_for_the_inputs_that_are_read(tmp_path: Path) -> None:
    feeds = random_feeds(read_text(tmp_path, labelled("")), seed=3)
    assert list(feeds) == ["data"]
    np.testing.assert_array_equal(feeds["data"], np.random.default_rng(3).standard_normal((1, 1, 1, 2), np.float32))
