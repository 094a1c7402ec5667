from __future__ import annotations

import json

import pytest

from dongfeng.caffe.prototxt import parse, read
from dongfeng.caffe.rules import filter_net
from dongfeng.errors import PrototxtError


def kept(rules: str, **state: object) -> bool:
    net = parse(f'layer {{ name: "a" {rules} }}')
    return [layer.name for layer in filter_net(net, **state).layer] == ["a"]


@pytest.mark.parametrize(
    ("rules", "state", "expected"),
    [
        ("", {}, True),
        ("include {}", {}, True),
        ("exclude {}", {}, False),
        ("include { phase: TEST }", {}, True),
        ("include { phase: TRAIN }", {}, False),
        ("include { phase: TRAIN }", {"phase": "TRAIN"}, True),
        ("exclude { phase: TEST }", {}, False),
        ("phase: TRAIN", {}, True),  # a layer's own phase is no rule
        ("include { min_level: 1 }", {}, False),
        ("include { min_level: 1 }", {"level": 1}, True),
        ("include { max_level: 1 }", {"level": 2}, False),
        ("include { min_level: -1 max_level: 0 }", {}, True),
        ("include { stage: 'a' }", {}, False),
        ("include { stage: 'a' }", {"stages": ["a", "b"]}, True),
        ("include { stage: 'a' }", {"stages": "a"}, True),
        ("include { stage: 'a' stage: 'b' }", {"stages": ["a"]}, False),
        ("include { not_stage: 'a' }", {"stages": ["a"]}, False),
        ("include { not_stage: 'a' }", {"stages": ["b"]}, True),
        ("include { stage: 'a' not_stage: 'b' }", {"stages": ["a", "b"]}, False),
        ("include { phase: TRAIN } include { stage: 'a' }", {"stages": ["a"]}, True),
        ("exclude { phase: TRAIN } exclude { stage: 'a' }", {"stages": ["a"]}, False),
        ("exclude { phase: TRAIN stage: 'a' }", {"stages": ["a"]}, True),
    ],
)
def test_rules(rules, state, expected):
    assert kept(rules, **state) is expected


def test_stages_of_the_file_survive_while_phase_and_level_are_the_callers():
    net = parse(
        "state { phase: TRAIN level: 3 stage: 'file' }"
        "layer { name: 'stage' include { stage: 'file' stage: 'mine' } }"
        "layer { name: 'phase' include { phase: TRAIN } }"
        "layer { name: 'level' include { min_level: 1 } }"
    )
    filtered = filter_net(net, stages=["mine"])
    assert [layer.name for layer in filtered.layer] == ["stage"]
    assert (filtered.state.phase, filtered.state.level, filtered.state.stage) == ("TEST", 0, ("file", "mine"))


def test_include_and_exclude_together_are_refused(shared):
    path = shared / "golden/rejects/include_and_exclude/net.prototxt"
    with pytest.raises(PrototxtError, match='net.prototxt:2: layer "p" has include and exclude rules'):
        filter_net(read(path), filename=str(path))


def test_unknown_phase_is_refused():
    with pytest.raises(PrototxtError, match="NetState.phase: expected one of TRAIN, TEST, got 'test'"):
        filter_net(parse(""), phase="test")


def test_the_corpus_keeps_the_layers_that_caffe_keeps(shared):
    # Data layers and evaluation layers, which the corpus does not list, stand in other cases only.
    cases = [
        path for path in (shared / "golden/cases").glob("net_*") if "include" in (path / "net.prototxt").read_text()
    ]
    assert len(cases) >= 4
    for case in cases:
        meta = json.loads((case / "meta.json").read_text())
        state = {"phase": meta["state"]["phase"], "level": meta["state"]["level"], "stages": meta["state"]["stages"]}
        net = filter_net(read(case / "net.prototxt"), **state)
        # The corpus lists the types of all layers but the inputs.
        assert {layer.type for layer in net.layer} - {"Input"} == set(meta["layers"]) - {"Input"}, case.name
