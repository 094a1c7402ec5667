"""What `dongfeng.reference.run` takes, gives and refuses."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import dongfeng
from dongfeng.errors import ConversionError, ShapeError, UnsupportedLayer, WeightsMismatch
from dongfeng.reference import run, run_layer, supported_types
from tests.nets import CONV_BN, data, read_text
from tests.nets import layer as text_layer
from tests.reference.make import layer, noise, run_one


def chain(*layers: dongfeng.Layer, inputs: dict | None = None) -> dongfeng.Net:
    return dongfeng.Net.from_inplace("net", inputs or {"data": (2, 3)}, layers)


def step(name: str, kind: str, bottoms: str, tops: str, **params: object) -> dongfeng.Layer:
    made = layer(kind, **params)
    return dongfeng.Layer(name, kind, tuple(bottoms.split()), tuple(tops.split()), made.params)


def test_all_blobs_are_returned_unless_some_are_asked_for(tmp_path: Path) -> None:
    net = read_text(tmp_path, CONV_BN)
    feeds = {"data": noise(1, 3, 8, 8)}
    everything = run(net, feeds)
    assert set(everything) == {*net.inputs, *(top for layer in net.layers for top in layer.tops)}
    some = run(net, feeds, ["bn", "conv"])
    assert list(some) == ["bn", "conv"]
    for blob, values in some.items():
        np.testing.assert_array_equal(values, everything[blob])


def test_shapes_follow_the_feeds(tmp_path: Path) -> None:
    net = read_text(tmp_path, CONV_BN)
    assert run(net, {"data": np.zeros((5, 3, 11, 7))})["out"].shape == (5, 2, 9, 5)


def test_feeds_are_left_alone_and_may_go_by_the_public_name() -> None:
    net = chain(step("relu", "ReLU", "data", "data"))
    (private,) = net.inputs
    given = np.array([[-1.0, 2.0, -3.0]], np.float32)
    for name in (private, "data"):
        got = run(net, {name: given})
        np.testing.assert_array_equal(got["data"], [[0, 2, 0]])
        np.testing.assert_array_equal(got[private], given)
    np.testing.assert_array_equal(given, [[-1, 2, -3]])


def test_in_place_versions_are_kept_apart() -> None:
    net = chain(step("a", "Power", "data", "x", power_param={"shift": -1}), step("b", "ReLU", "x", "x"))
    got = run(net, {"data": np.array([[0.5, 3.0]])})
    np.testing.assert_array_equal(got["x@0"], [[-0.5, 2]])
    np.testing.assert_array_equal(got["x"], [[0, 2]])
    np.testing.assert_array_equal(run(net, {"data": np.array([[0.5, 3.0]])}, ["x@0"])["x@0"], [[-0.5, 2]])


@pytest.mark.parametrize("operation", ["SUM", "MAX"])
def test_in_place_eltwise_loses_its_first_bottom_as_in_caffe(operation: str) -> None:
    net = chain(
        step("e", "Eltwise", "a b", "a", eltwise_param={"operation": operation}), inputs={"a": (1, 2), "b": (1, 2)}
    )
    got = run(net, {"a": np.array([[5.0, 6.0]]), "b": np.array([[1.0, 7.0]])}, ["a"])
    np.testing.assert_array_equal(got["a"], [[1, 7]])


def test_in_place_product_is_exact() -> None:
    net = chain(step("e", "Eltwise", "a b", "a", eltwise_param={"operation": "PROD"}), inputs={"a": (2,), "b": (2,)})
    got = run(net, {"a": np.array([5.0, 6.0]), "b": np.array([2.0, 7.0])}, ["a"])
    np.testing.assert_array_equal(got["a"], [10, 42])


def test_layers_that_do_not_share_memory_in_caffe_keep_their_values() -> None:
    # Dropout and a Slice of several tops copy; a Split does not, so that the later reader sees the in-place layer.
    def net(kind: str, *tops: str, **params: object) -> dongfeng.Net:
        made = step("s", kind, "data", " ".join(tops), **params)
        return chain(made, step("r", "ReLU", tops[0], tops[0]), step("late", "Power", "data", "late"))

    feeds = {"data": np.array([[-1.0, 1.0], [-2.0, 2.0]])}
    np.testing.assert_array_equal(run(net("Dropout", "x"), feeds)["late"], feeds["data"])
    for axis in (0, 1):
        got = run(net("Slice", "x", "y", slice_param={"axis": axis}), feeds)
        np.testing.assert_array_equal(got["late"], feeds["data"])
    np.testing.assert_array_equal(run(net("Split", "x", "y"), feeds)["late"], np.maximum(feeds["data"], 0))


def test_blobs_are_freed_when_nobody_needs_them() -> None:
    layers = [step(f"p{i}", "Power", f"x{i}", f"x{i + 1}", power_param={"scale": 2}) for i in range(20)]
    net = chain(*layers, inputs={"x0": (1, 1 << 20)})
    feed = {"x0": np.ones((1, 1 << 20), np.float32)}

    def peak_blobs(outputs: list[str] | None) -> float:
        tracemalloc.start()
        run(net, feed, outputs)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak / (4 << 20)

    assert peak_blobs(["x20"]) < 10
    assert peak_blobs(None) > 20


def test_layers_behind_the_last_output_are_not_run() -> None:
    net = chain(step("p", "Power", "data", "x"), step("q", "Python", "x", "y"))
    np.testing.assert_array_equal(run(net, {"data": np.ones((1, 2))}, ["x"])["x"], [[1, 1]])
    with pytest.raises(UnsupportedLayer, match='layer "q" .Python.: unsupported layer type'):
        run(net, {"data": np.ones((1, 2))}, ["y"])


def test_all_unknown_types_are_named_at_once() -> None:
    net = chain(step("p", "Python", "data", "x"), step("f", "Filter", "x", "y"))
    with pytest.raises(UnsupportedLayer, match='"p" .Python.*"f" .Filter'):
        run(net, {"data": np.ones((1, 2))})
    assert not {"Python", "Filter"} & set(supported_types())


@pytest.mark.parametrize("feeds", [{}, {"data": np.ones(3), "more": np.ones(3)}, {"x": np.ones(3)}])
def test_missing_and_unknown_feeds_are_refused(feeds: dict) -> None:
    with pytest.raises(ConversionError, match="inputs are .'data'"):
        run(chain(step("p", "Power", "data", "x")), feeds)


def test_unknown_output_is_refused() -> None:
    with pytest.raises(ConversionError, match="no blob 'nothing'"):
        run(chain(step("p", "Power", "data", "x")), {"data": np.ones(3)}, ["nothing"])


def test_errors_tell_the_place(tmp_path: Path) -> None:
    text = data(1, 3, 4, 4) + text_layer("sum", "Eltwise", "data data", "out")
    net = read_text(tmp_path, text)
    bad = layer("Eltwise", bottoms=2)
    with pytest.raises(ShapeError, match=r"bottom 1 is 1x2, bottom 0 is 1x3"):
        run_layer(bad, [noise(1, 3), noise(1, 2)])
    broken = net.with_layers(
        [dongfeng.Layer("e", "Embed", ("data",), ("out",), layer("Embed").params, line=7, file="x.prototxt")]
    )
    with pytest.raises(ShapeError, match=r'^x\.prototxt:7: layer "e" \(Embed\): '):
        run(broken, {"data": noise(1, 3, 4, 4)})


def test_wrong_numbers_of_blobs_are_refused() -> None:
    with pytest.raises(ShapeError, match="has 1 bottoms, expected 2 or more"):
        run_one("Eltwise", noise(2, 3))
    with pytest.raises(ShapeError, match="has 2 tops, expected 1"):
        run_layer(layer("ReLU", tops=2), [noise(2, 3)])


def test_weights_of_another_layer_are_refused() -> None:
    shape = {"num_output": 4, "kernel_size": 3}
    with pytest.raises(WeightsMismatch, match="has 1 weight blobs, expected 2"):
        run_one("Convolution", noise(1, 3, 5, 5), blobs=(noise(4, 3, 3, 3),), convolution_param=shape)
    with pytest.raises(WeightsMismatch, match="weight blob 0 is 4x2x3x3, expected 4x3x3x3"):
        run_one("Convolution", noise(1, 3, 5, 5), blobs=(noise(4, 2, 3, 3), noise(4)), convolution_param=shape)


def test_random_fillers_are_refused_and_constant_ones_used() -> None:
    param = {"num_output": 1, "weight_filler": {"type": "xavier"}}
    with pytest.raises(WeightsMismatch, match='filler "xavier" is random'):
        run_one("InnerProduct", noise(1, 3), inner_product_param=param)
    param = {"num_output": 1, "weight_filler": {"value": 2}, "bias_filler": {"value": -1}}
    np.testing.assert_array_equal(run_one("InnerProduct", np.ones((1, 3)), inner_product_param=param), [[5]])


def test_training_behaviour_that_is_random_is_refused() -> None:
    with pytest.raises(UnsupportedLayer, match="random"):
        run_one("Dropout", noise(1, 3), phase="TRAIN")
    with pytest.raises(UnsupportedLayer, match="random"):
        run_layer(
            layer(
                "DummyData", bottoms=0, dummy_data_param={"shape": {"dim": [2]}, "data_filler": {"type": "gaussian"}}
            ),
            [],
        )
    with pytest.raises(UnsupportedLayer, match="STOCHASTIC"):
        run_one("Pooling", noise(1, 1, 4, 4), pooling_param={"pool": "STOCHASTIC", "kernel_size": 2})
