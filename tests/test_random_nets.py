"""Random small networks: ONNX against the NumPy interpreter, and shapes against the draft's own count."""

from __future__ import annotations

import os
import tempfile
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, assume, given, note, reject, settings
from hypothesis import strategies as st

import dongfeng
import dongfeng.reference
from dongfeng.errors import DongfengWarning, ShapeError, UnsupportedLayer
from dongfeng.net.feeds import feed_arrays
from dongfeng.net.fold import folded_blobs
from dongfeng.net.random_weights import random_weights
from tests.nets import read_text
from tests.networks.drafts import Draft, drafts, family_names, grow
from tests.opsets import NEWEST

TOLERANCE = 1e-5  # of a blob's largest value
NOISE = 20  # times what changes in the last bit do
LAST_BIT = 2.0**-23  # of values near one
WOBBLES = 3
DISCONTINUOUS = ("ArgMax", "Threshold")  # and the masks of Pooling
LEARNED = ("convolution", "depthwise", "inner_product")  # families
FOLDING = ("batch_norm", "scale_or_bias")

SEARCH = int(os.environ.get("DONGFENG_RANDOM_NETS", "0"))  # examples of a long search, other ones each time


def random_nets(max_examples: int) -> settings:
    return settings(
        max_examples=SEARCH or max_examples,
        derandomize=not SEARCH,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def read(draft: Draft) -> dongfeng.Net:
    note(draft.net.text)
    try:
        with tempfile.TemporaryDirectory() as folder:
            net = random_weights(read_text(Path(folder), draft.net.text))
    except UnsupportedLayer as exc:
        assert "works in place on memory that" in str(exc), exc  # noqa: PT017  what the draft keeps no count of
        reject()
    return net.with_layers(with_factor(layer) if layer.type == "BatchNorm" else layer for layer in net.layers)


def with_factor(layer: dongfeng.Layer) -> dongfeng.Layer:
    """The BatchNorm layer with statistics that are three times too large, and say so."""
    return replace(layer, blobs=tuple(3 * blob for blob in layer.blobs))


def feeds_of(draft: Draft) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(zlib.crc32(draft.net.text.encode()))
    feeds = {}
    for blob, holds in draft.inputs.items():
        shape = draft.shapes[blob]
        if holds == "image":
            values = rng.standard_normal(shape)
        else:
            values = rng.integers(0, 2 if holds == "cont" else holds, shape)
        feeds[blob] = values.astype(np.float32)
    return feeds


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
    )


def run_model(model: onnx.ModelProto, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    running = session(model)
    read_by_it = {value.name for value in running.get_inputs()}
    results = running.run(None, {blob: array for blob, array in arrays.items() if blob in read_by_it})
    return {value.name: got.astype(np.float32) for value, got in zip(running.get_outputs(), results, strict=True)}


def wobbled(values: np.ndarray, seed: int) -> np.ndarray:
    """The values changed in their last bit, or the last bit of one; whole numbers stay, for they may be indices."""
    if np.array_equal(values, np.rint(values)):
        return values
    change = LAST_BIT * np.random.default_rng(seed).choice([-1.0, 1.0], values.shape)
    return (values + change * np.maximum(np.abs(values), 1)).astype(np.float32)


def wobbled_tops(layer: dongfeng.Layer, bottoms: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
    layer = replace(layer, blobs=tuple(wobbled(blob, seed) for blob in layer.blobs))
    return dongfeng.reference.run_layer(layer, [wobbled(bottom, seed) for bottom in bottoms])


def assert_close(got: np.ndarray, expected: np.ndarray, noisy: Sequence[np.ndarray], what: str) -> None:
    """Equal but for rounding; `noisy` are results of inputs that differ in their last bit."""
    assert got.shape == expected.shape, what
    noise = max(np.max(np.abs(values - expected)) for values in noisy)
    largest = np.max(np.abs(expected))
    allowed = TOLERANCE * largest + NOISE * noise + LAST_BIT
    error = np.max(np.abs(got - expected))
    assert error <= allowed, f"{what}: error {error}, allowed {allowed}, largest value {largest}"


def assert_layers_agree(net: dongfeng.Net, blobs: Mapping[str, np.ndarray]) -> None:
    """Each layer alone, on the bottoms that ONNX Runtime computed."""
    for layer in net.layers:
        bottoms = [blobs[blob] for blob in layer.bottoms]
        expected = dongfeng.reference.run_layer(layer, bottoms)
        noisy = [wobbled_tops(layer, bottoms, seed) for seed in range(WOBBLES)]
        for index, top in enumerate(layer.tops):
            assert_close(blobs[top], expected[index], [tops[index] for tops in noisy], f"{layer.where}: {top}")


def noisy_blobs(net: dongfeng.Net, feeds: Mapping[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """All blobs, when everything changes in its last bit at every layer."""
    blobs = feed_arrays(net, feeds)
    for layer in net.layers:
        blobs.update(zip(layer.tops, wobbled_tops(layer, [blobs[blob] for blob in layer.bottoms], seed), strict=True))
    return blobs


def assert_net_agrees(net: dongfeng.Net, feeds: Mapping[str, np.ndarray], got: Mapping[str, np.ndarray]) -> None:
    """The whole net, but for what depends on a jump such as that of ArgMax."""
    expected = dongfeng.reference.run(net, feeds, list(got))
    noisy = [noisy_blobs(net, feeds, seed) for seed in range(WOBBLES)]
    jumping: set[str] = set()
    for layer in net.layers:
        if jumping.intersection(layer.bottoms) or layer.type in DISCONTINUOUS:
            jumping.update(layer.tops)
        if layer.type == "Pooling":
            jumping.update(layer.tops[1:])
    for blob, value in got.items():
        if blob not in jumping:
            assert_close(value, expected[blob], [blobs[blob] for blobs in noisy], blob)


@pytest.mark.parametrize("family", family_names())
@random_nets(20)
@given(data=st.data(), opset=st.sampled_from([11, 13, 17, NEWEST]))
def test_onnx_is_what_the_numpy_interpreter_computes(family: str, data: st.DataObject, opset: int) -> None:
    draft = data.draw(drafts(around=[family]))
    net, feeds = read(draft), feeds_of(draft)
    shapes = {blob: draft.shapes[net.aliases.get(blob, blob)] for blob in net.shapes()}
    assert net.shapes() == shapes
    arrays = feed_arrays(net, feeds)
    tops = [top for layer in net.layers for top in layer.tops]
    assume(tops)
    blobs = arrays | run_model(dongfeng.to_onnx(net, outputs=tops, opset=opset), arrays)
    assert {blob: value.shape for blob, value in blobs.items()} == shapes
    assert_layers_agree(net, blobs)
    if net.outputs:  # else a Silence reads the only one
        assert_net_agrees(net, feeds, dongfeng.run(net, feeds))


@random_nets(150)
@given(st.data())
def test_folding_changes_no_number(data: st.DataObject) -> None:
    """A learned layer and up to three of those that fold into it, among any others."""
    draft = data.draw(drafts(most=1))
    grow(draft, 1, LEARNED)
    grow(draft, draft.integer(1, 3), FOLDING, behind_newest=True)
    grow(draft, draft.integer(0, 2))
    net, feeds = read(draft), feeds_of(draft)
    assume(net.outputs)
    folded = dongfeng.fold(net)
    assert dongfeng.fold(folded) == folded
    names = {new: found.blob for new, found in folded_blobs(net).items() if new in folded.outputs}
    assert sorted(names.values()) == sorted(net.outputs)
    got = dongfeng.run(folded, feeds)
    assert_net_agrees(net, feeds, {old: got[new] for new, old in names.items()})


@random_nets(150)
@given(drafts(), st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)))
def test_dynamic_models_equal_static_ones_or_are_refused(draft: Draft, other: tuple[int, int, int]) -> None:
    net, feeds = read(draft), feeds_of(draft)
    assume(net.outputs and set(draft.inputs) == {"data"} and "Embed" not in draft.net.text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DongfengWarning)
            model = dongfeng.to_onnx(net, dynamic=True)
    except (ShapeError, UnsupportedLayer):
        return
    assume(model.graph.input)  # else no output depends on it
    (value,) = model.graph.input
    dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]  # 0 where dynamic: all, or only the batch
    shape = [dim or wanted for dim, wanted in zip(dims, [other[0], 0, *other[1:]], strict=True)]
    changed = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for image in (feeds["data"], changed):
        try:
            expected = dongfeng.run(net, {"data": image})
        except (ShapeError, UnsupportedLayer):
            assert image is changed
            continue
        for blob, got in run_model(model, {value.name: image}).items():
            assert got.shape == expected[blob].shape, blob
            np.testing.assert_allclose(got, expected[blob], rtol=1e-5, atol=1e-5)
