"""The golden corpus at other opsets than the default: valid models, Caffe's numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import dongfeng
from dongfeng.formats.onnx import MAX_OPSET, MIN_OPSET
from dongfeng.net.feeds import feed_arrays, shaped_like
from tests.golden.test_cases import COMPUTED, assert_matches, load_meta, read_case
from tests.opsets import is_readable


def _tiny() -> dongfeng.Net:
    relu = dongfeng.Layer("r", "ReLU", ("data",), ("r",))
    return dongfeng.Net("tiny", {"data": (1, 3, 4, 4)}, (relu,))


# The ends of the range, and both sides of the changes that emitting depends on (12: ArgMax, 13: axes as inputs).
OPSETS = [opset for opset in (MIN_OPSET, 12, 13, 18, 21, 25, MAX_OPSET) if is_readable(opset)]


@pytest.mark.parametrize("case", COMPUTED, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore::dongfeng.errors.DongfengWarning")
def test_every_opset_gives_the_numbers_of_caffe(case: Path) -> None:
    meta = load_meta(case)
    net = read_case(case, meta)
    feeds = feed_arrays(net, {blob: np.load(case / entry["file"]) for blob, entry in meta["inputs"].items()})
    net = shaped_like(net, feeds)
    for opset in OPSETS:
        model = dongfeng.to_onnx(net, opset=opset)
        assert model.opset_import[0].version == opset
        onnx.checker.check_model(model, full_check=True)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
        )
        read = {value.name for value in session.get_inputs()}
        results = session.run(None, {name: array for name, array in feeds.items() if name in read})
        for value, got in zip(session.get_outputs(), results, strict=True):
            entry = meta["outputs"][value.name]
            assert_matches(got.astype(np.float32), np.load(case / entry["file"]), entry["tolerance"])


def test_opsets_out_of_range_are_refused() -> None:
    assert len(OPSETS) >= 5
    with pytest.raises(dongfeng.errors.ConversionError, match=f"is out of range: {MIN_OPSET} to"):
        dongfeng.to_onnx(_tiny(), opset=MAX_OPSET + 1)
    with pytest.raises(dongfeng.errors.ConversionError, match="opset 10 is out of range"):
        dongfeng.to_onnx(_tiny(), opset=10)
