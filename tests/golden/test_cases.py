"""Every network of the golden corpus, read by dongfeng and run on ONNX Runtime, against real Caffe's numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import dongfeng
from dongfeng.errors import DongfengError
from tests.conftest import require_shared
from tests.golden.refusals import REFUSED, REFUSED_WHEN_RUN, REJECTS, Refusal

CASES = sorted((require_shared() / "golden/cases").iterdir()) if require_shared() else []
COMPUTED = [case for case in CASES if case.name not in REFUSED]
REJECTED = sorted((require_shared() / "golden/rejects").iterdir()) if require_shared() else []


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


def refusal_of(error: pytest.ExceptionInfo[BaseException], case: Path) -> Refusal:
    """The error, its message without the folder of the case."""
    return Refusal(type(error.value), str(error.value).replace(f"{case}/", ""))


def test_corpus_is_there(shared: Path) -> None:
    assert len(CASES) >= 249
    assert {case.name for case in REJECTED} == REJECTS.keys()
    assert len(COMPUTED) == len(CASES) - len(REFUSED)


@pytest.mark.parametrize("case", COMPUTED, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore::dongfeng.errors.DongfengWarning")
def test_outputs_are_those_of_caffe(case: Path) -> None:
    meta = load_meta(case)
    feeds = {blob: np.load(case / entry["file"]) for blob, entry in meta["inputs"].items()}
    got = dongfeng.run(read_case(case, meta), feeds)
    assert set(got) == set(meta["outputs"])
    for blob, entry in meta["outputs"].items():
        assert_matches(got[blob], np.load(case / entry["file"]), entry["tolerance"])


@pytest.mark.parametrize("case", [case for case in CASES if case.name in REFUSED], ids=lambda case: case.name)
def test_accidents_and_evaluation_are_refused_in_these_words(case: Path) -> None:
    """They may be refused, but not for another reason, and nothing else may be."""
    meta = load_meta(case)
    assert meta.get("extra") or meta.get("quirk")
    feeds = {blob: np.load(case / entry["file"]) for blob, entry in meta["inputs"].items()}
    if case.name in REFUSED_WHEN_RUN:
        net = read_case(case, meta)
        with pytest.raises(DongfengError) as caught:
            dongfeng.run(net, feeds)
    else:
        with pytest.raises(DongfengError) as caught:
            read_case(case, meta)
    assert refusal_of(caught, case) == REFUSED[case.name]


@pytest.mark.parametrize("case", REJECTED, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore::dongfeng.errors.DongfengWarning")
def test_what_caffe_refuses_is_refused_in_these_words(case: Path) -> None:
    meta = load_meta(case)
    with pytest.raises(DongfengError) as caught:
        dongfeng.read_caffe(case / "net.prototxt", case / meta["weights"] if meta["weights"] else None)
    assert refusal_of(caught, case) == REJECTS[case.name]
