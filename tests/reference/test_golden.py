"""Every network of the golden corpus through the NumPy interpreter, against real Caffe's numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dongfeng
import dongfeng.reference
from dongfeng.caffe import prototxt
from dongfeng.caffe.rules import filter_net
from dongfeng.caffe.upgrade import upgrade
from dongfeng.layers.layer import Layer
from tests.conftest import require_shared
from tests.golden.refusals import REFUSED, REFUSED_WHEN_RUN

CASES = sorted((require_shared() / "golden/cases").iterdir()) if require_shared() else []


def read_case(case: Path, meta: dict[str, Any]) -> dongfeng.Net:
    """The case's net; accidents of Caffe, losses and metrics, which `read_caffe` refuses, are read without its checks."""
    weights = case / meta["weights"] if meta["weights"] else None
    state = meta["state"]
    rules = {"phase": state["phase"], "level": state["level"], "stages": state["stages"]}
    if case.name not in REFUSED.keys() - REFUSED_WHEN_RUN:
        return dongfeng.read_caffe(case / "net.prototxt", weights, **rules)
    assert weights is None
    text = filter_net(upgrade(prototxt.read(case / "net.prototxt")), **rules)
    layers = [
        Layer(part.name, part.type, part.bottom, part.top, part.replace(name=None, type=None, bottom=None, top=None))
        for part in text.layer
        if part.type != "Input"
    ]
    shapes = {blob: tuple(entry["shape"]) for blob, entry in meta["inputs"].items()}
    return dongfeng.Net.from_inplace(text.name, shapes, layers)


def test_corpus_is_there(shared: Path) -> None:
    assert len(CASES) >= 249


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore::dongfeng.errors.DongfengWarning")
def test_outputs_are_those_of_caffe(case: Path) -> None:
    meta = json.loads((case / "meta.json").read_text())
    net = read_case(case, meta)
    feeds = {blob: np.load(case / entry["file"]) for blob, entry in meta["inputs"].items()}
    got = dongfeng.reference.run(net, feeds, outputs=list(meta["outputs"]))
    for blob, entry in meta["outputs"].items():
        expected = np.load(case / entry["file"])
        assert got[blob].shape == expected.shape
        assert got[blob].dtype == np.float32
        huge = np.abs(expected) > 1e30
        np.testing.assert_array_equal(got[blob][huge], expected[huge])
        if not huge.all():
            error = np.max(np.abs(got[blob][~huge] - expected[~huge]))
            assert error <= entry["tolerance"] * np.max(np.abs(expected[~huge]))


def test_layers_without_weights_are_filled_as_in_caffe(shared: Path) -> None:
    # The reader fills them too; here they reach the interpreter empty.
    for name in ("deconv_bilinear_fill", "bn_no_weights", "prelu_default"):
        case = shared / "golden/cases" / name
        meta = json.loads((case / "meta.json").read_text())
        net = dongfeng.read_caffe(case / "net.prototxt")
        assert not any(layer.blobs for layer in net.layers)
        feeds = {blob: np.load(case / entry["file"]) for blob, entry in meta["inputs"].items()}
        for blob, entry in meta["outputs"].items():
            got = dongfeng.reference.run(net, feeds, [blob])[blob]
            np.testing.assert_allclose(got, np.load(case / entry["file"]), rtol=1e-5, atol=1e-6)
