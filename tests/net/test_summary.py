"""`summarize`: what `dongfeng info` prints, from Python."""

from __future__ import annotations

import json

import pytest

from dongfeng.architectures import build
from dongfeng.errors import ShapeError
from dongfeng.net.graph import Net
from dongfeng.net.summary import summarize


def test_a_summary_adds_up() -> None:
    net = build("df1")
    summary = summarize(net)
    assert summary.outputs == {"fc": (1, 1000)}
    assert [each.layer for each in summary.layers] == list(net.layers)
    assert [each.cost for each in summary.layers] == net.cost()
    assert (summary.macs, summary.parameters) == (746_729_472, sum(cost.parameters for cost in net.cost()))
    row = json.loads(json.dumps(summary.layers[0].to_json()))
    assert list(row) == ["layer", "type", "output_shapes", "macs", "parameters", "bytes_read", "bytes_written"]
    assert (row["layer"], row["output_shapes"]) == ("conv1", [[1, 32, 112, 112]])


def test_a_dynamic_net_has_shapes_and_no_cost() -> None:
    net = build("pl1a_seg")
    dynamic = Net(net.name, {"data": (1, 3, None, None)}, net.layers, aliases=net.aliases)
    summary = summarize(dynamic)
    assert (summary.macs, summary.parameters) == (None, None)
    assert all(each.cost is None for each in summary.layers)
    assert summary.layers[0].output_shapes[0][2:] == (None, None)
    assert set(summary.layers[0].to_json()) == {"layer", "type", "output_shapes"}
    assert summarize(dynamic.resize(384, 640)).macs == summarize(net).macs


def test_blobs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="the nearest that does"):
        summarize(build("df1seg").resize(100, 200))
