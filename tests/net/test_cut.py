"""The part of a net that some blobs need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dongfeng
from dongfeng.errors import ConversionError
from dongfeng.net.cut import cut
from tests.nets import data, layer, read_text

TWO = (
    data(1, 2)
    + 'layer { name: "mask" type: "Input" top: "mask" input_param { shape { dim: 1 dim: 2 } } }\n'
    + layer("first", "ReLU", "data", "data")
    + layer("second", "Power", "data", "second", "power_param { scale: 2 }")
    + layer("masked", "Eltwise", "second mask", "masked", "eltwise_param { operation: PROD }")
)


def test_layers_and_inputs_that_nothing_needs_are_left_out(tmp_path: Path) -> None:
    net = read_text(tmp_path, TWO)
    part = cut(net, ["second"])
    assert [one.name for one in part.layers] == ["first", "second"]
    assert (list(part.inputs), part.outputs, part.aliases) == (["data@0"], ("second",), {"data@0": "data"})
    np.testing.assert_array_equal(dongfeng.run(part, {"data": [[-1.0, 3.0]]})["second"], [[0, 6]])
    assert (list(cut(net, ["mask"]).inputs), cut(net, ["mask"]).layers, cut(net, ["mask"]).aliases) == (
        ["mask"],
        (),
        {},
    )


def test_the_outputs_need_all_but_what_ends_in_silence(tmp_path: Path) -> None:
    net = read_text(
        tmp_path, TWO + 'layer { name: "s" type: "Silence" bottom: "masked" }\n' + layer("end", "ReLU", "masked", "end")
    )
    assert [one.name for one in cut(net).layers] == ["first", "second", "masked", "end"]


def test_an_unknown_blob_is_refused_with_the_outputs(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="no blob 'thrid' in net ''; its outputs are masked"):
        cut(read_text(tmp_path, TWO), ["thrid"])
