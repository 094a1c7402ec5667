"""PyTorch against real Caffe: every net of the golden corpus, and the ten released nets with seeded weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dongfeng.errors import DongfengError, UnsupportedLayer  # noqa: E402
from dongfeng.formats.torch import to_torch  # noqa: E402
from dongfeng.formats.torch.layer_types import supported_types  # noqa: E402
from dongfeng.layers import registered_types  # noqa: E402
from dongfeng.net.feeds import feed_arrays, shaped_like  # noqa: E402  they need torch
from tests.golden.test_cases import CASES, assert_matches, load_meta, read_case  # noqa: E402
from tests.golden.test_release import assert_meets, feed, goldens, read, weights_file  # noqa: E402, F401

# What to_torch refuses, all of it: a type that is in neither list would be refused without anybody having said so.
NOT_SUPPORTED = {
    "ArgMax",  # indices have no gradient; at the end of a net it is left out
    "BN",
    "BatchReindex",
    "DetectionOutput",
    "DummyData",
    "Embed",
    "Im2col",
    "LSTM",
    "Parameter",
    "PriorBox",
    "RNN",
    "SPP",
    "Silence",  # has no top, so nothing asks for it
    "Upsample",
}
REFUSED_CASES = {
    "pool_empty_window_ave",  # dongfeng refuses them
    "pool_empty_window_max",
    "pool_max_mask",  # a mask has no gradient
}
REFUSED_BY_DONGFENG = {"accuracy_top2", "alias_reshape_inplace", "eltwise_inplace_sum", "softmax_loss"}


def refused(case: Path, meta: dict[str, Any]) -> bool:
    return case.name in REFUSED_CASES or bool(NOT_SUPPORTED.difference({"Silence"}).intersection(meta["layers"]))


def test_every_type_is_supported_or_refused_on_purpose() -> None:
    assert set(supported_types()).isdisjoint(NOT_SUPPORTED)
    assert set(registered_types()) == set(supported_types()) | NOT_SUPPORTED


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore::dongfeng.errors.DongfengWarning")
def test_outputs_are_those_of_caffe(case: Path) -> None:
    meta = load_meta(case)
    arrays = {blob: np.load(case / entry["file"]) for blob, entry in meta["inputs"].items()}
    if case.name in REFUSED_BY_DONGFENG:
        with pytest.raises(DongfengError):
            read_case(case, meta)
        return
    net = read_case(case, meta)
    feeds = feed_arrays(net, arrays)
    net = shaped_like(net, feeds)
    if refused(case, meta):
        with pytest.raises(UnsupportedLayer):
            to_torch(net, outputs=net.outputs)
        return
    model = to_torch(net, outputs=list(meta["outputs"]))
    with torch.no_grad():
        got = model(*[torch.from_numpy(feeds[blob]) for blob in model.inputs])
    results = [got] if len(meta["outputs"]) == 1 else got
    for (_, entry), result in zip(meta["outputs"].items(), results, strict=True):
        assert_matches(result.numpy(), np.load(case / entry["file"]), entry["tolerance"])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "golden"), list(goldens()))
def test_released_nets_meet_their_goldens(shared: Path, weights_file: Any, name: str, golden: dict[str, Any]) -> None:  # noqa: F811
    net = read(shared, name, weights_file(name))
    blob = golden["blob"]
    is_labels = blob.startswith("pred")
    wanted = None if is_labels else [blob]
    net = shaped_like(net, feed_arrays(net, feed(golden)))
    model = to_torch(net, outputs=wanted)
    with torch.no_grad():
        got = model(torch.from_numpy(feed(golden)["data"]))
    if is_labels:  # of equal classes Caffe takes the last
        got = got.shape[1] - 1 - got.flip(1).argmax(1, keepdim=True)
    assert_meets(got.numpy(), golden)
