"""Every network of the golden corpus, read by dongfeng and run on ONNX Runtime, against real Caffe's numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import dongfeng
from dongfeng.errors import DongfengError
from dongfeng.layers import registered_types
from tests.conftest import require_shared

CASES = sorted((require_shared() / "golden/cases").iterdir()) if require_shared() else []
REJECTS = sorted((require_shared() / "golden/rejects").iterdir()) if require_shared() else []

SOURCES = {"Input", "ImageData", "Data", "MemoryData", "HDF5Data", "WindowData"}


def load_meta(case: Path) -> dict:
    return json.loads((case / "meta.json").read_text())


def read_case(case: Path, meta: dict) -> dongfeng.Net:
    weights = case / meta["weights"] if meta["weights"] else None
    state = meta["state"]
    return dongfeng.read_caffe(
        case / "net.prototxt", weights, phase=state["phase"], level=state["level"], stages=state["stages"]
    )


def assert_matches(got: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    assert got.shape == expected.shape
    huge = np.abs(expected) > 1e30
    np.testing.assert_array_equal(got[huge], expected[huge])
    if not np.all(huge):
        error = np.max(np.abs(got[~huge] - expected[~huge]))
        assert error <= tolerance * np.max(np.abs(expected[~huge])), f"error {error}"


def test_corpus_is_there(shared: Path) -> None:
    assert len(CASES) >= 249
    assert len(REJECTS) >= 18


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore::dongfeng.errors.DongfengWarning")
def test_outputs_are_those_of_caffe(case: Path) -> None:
    meta = load_meta(case)
    feeds = {blob: np.load(case / entry["file"]) for blob, entry in meta["inputs"].items()}
    try:
        got = dongfeng.run(read_case(case, meta), feeds)
    except DongfengError as exc:
        refusal = str(exc)
        assert "\n" not in refusal  # noqa: PT017  both ways out are right, and each is checked
        # Accidents of Caffe and what lies beyond inference may be refused; so are layer types that are not there yet.
        if not (meta.get("extra") or meta.get("quirk")):
            assert "unsupported layer type" in refusal
            assert set(meta["layers"]) - SOURCES - set(registered_types()), refusal
        return
    assert set(got) == set(meta["outputs"])
    for blob, entry in meta["outputs"].items():
        assert_matches(got[blob], np.load(case / entry["file"]), entry["tolerance"])


@pytest.mark.parametrize("case", REJECTS, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore::dongfeng.errors.DongfengWarning")
def test_what_caffe_refuses_is_refused_in_one_line(case: Path) -> None:
    meta = load_meta(case)
    weights = case / meta["weights"] if meta["weights"] else None
    with pytest.raises(DongfengError) as caught:
        dongfeng.run(dongfeng.read_caffe(case / "net.prototxt", weights), {})
    message = str(caught.value)
    assert "\n" not in message
    place = "weights.caffemodel" if weights else r"net\.prototxt:\d+"
    assert re.search(place, message), message
