"""PyTorch against real Caffe: every net of the golden corpus, and the ten released nets with seeded weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dongfeng.errors import UnsupportedLayer  # noqa: E402
from dongfeng.formats.torch import to_torch  # noqa: E402
from dongfeng.formats.torch.layer_types import supported_types  # noqa: E402
from dongfeng.layers import registered_types  # noqa: E402
from dongfeng.net.feeds import feed_arrays, shaped_like  # noqa: E402  they need torch
from tests.golden.refusals import REFUSED, REFUSED_WHEN_RUN  # noqa: E402
from tests.golden.test_cases import CASES, assert_matches, load_meta, read_case  # noqa: E402
from tests.golden.test_release import assert_meets, feed, goldens, read, weights_file  # noqa: E402, F401

NO_FORM = "has no PyTorch form; name blobs before it with outputs=[...]"
# Why to_torch refuses a type, for all types: one in neither list would be refused without anybody having said so.
NOT_SUPPORTED = {
    "ArgMax": "gives indices, which have no gradient; name blobs before it with outputs=[...]",
    "BN": NO_FORM,
    "BatchReindex": NO_FORM,
    "DetectionOutput": NO_FORM,
    "DummyData": NO_FORM,
    "Embed": NO_FORM,
    "Im2col": NO_FORM,
    "LSTM": NO_FORM,
    "Parameter": NO_FORM,
    "PriorBox": NO_FORM,
    "RNN": NO_FORM,
    "SPP": NO_FORM,
    "Upsample": NO_FORM,
}
REFUSED_CASES = {
    "pool_empty_window_ave": "a window lies wholly outside the input of 7 pixels, where Caffe errs",
    "pool_empty_window_max": "a window lies wholly outside the input of 9 pixels, where Caffe errs",
    "pool_max_mask": "has a second top, the mask, which has no gradient",
}
READABLE = [case for case in CASES if case.name not in REFUSED.keys() - REFUSED_WHEN_RUN]


def refusal(case: Path, meta: dict[str, Any]) -> str | None:
    """How the message about a case ends that to_torch refuses."""
    texts = [text for type_, text in NOT_SUPPORTED.items() if type_ in meta["layers"]]
    return REFUSED_CASES.get(case.name, texts[0] if texts else None)


def test_every_type_is_supported_or_refused_on_purpose() -> None:
    assert set(supported_types()).isdisjoint(NOT_SUPPORTED)
    # Silence has no top, so nothing asks for it.
    assert set(registered_types()) == set(supported_types()) | NOT_SUPPORTED.keys() | {"Silence"}


@pytest.mark.parametrize("case", READABLE, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore::dongfeng.errors.DongfengWarning")
def test_outputs_are_those_of_caffe(case: Path) -> None:
    meta = load_meta(case)
    arrays = {blob: np.load(case / entry["file"]) for blob, entry in meta["inputs"].items()}
    net = read_case(case, meta)
    feeds = feed_arrays(net, arrays)
    net = shaped_like(net, feeds)
    if text := refusal(case, meta):
        with pytest.raises(UnsupportedLayer, match=rf'net\.prototxt:\d+: layer "\w+" \(\w+\): {re.escape(text)}$'):
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
