"""The code builds the released networks, layer by layer, and `prototxt/` holds what the code builds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import dongfeng
from dongfeng.architectures import ARCHITECTURES, DECODERS, DF1, DF2, DF2A, DFLITE, build
from dongfeng.errors import UnknownModel
from dongfeng.tools.prototxt import FILES, main

PROTOTXT = Path(__file__).resolve().parents[2] / "prototxt"
OURS = ("pl1a_seg", "df-lite_seg", "toytown_seg", "toytown_seg_mergebn")  # no prototxt of these was released
RELEASED = [name for name in FILES if name not in OURS]


def layer_rows(net: dongfeng.Net) -> list[tuple[object, ...]]:
    """What `Layer.__eq__` compares, readable where it differs."""
    return [(layer.name, layer.type, layer.bottoms, layer.tops, layer.params) for layer in net.layers]


@pytest.mark.parametrize("name", RELEASED)
def test_code_builds_the_released_network(shared: Path, name: str) -> None:
    released = dongfeng.read_caffe(shared / f"release/prototxt/{name}.prototxt", phase="TEST")
    architecture, folded = FILES[name]
    ours = build(architecture, folded=folded)
    assert layer_rows(ours) == layer_rows(released)
    assert ours.aliases == released.aliases
    assert ours.outputs == released.outputs
    assert list(ours.inputs) == list(released.inputs) == ["data"]


def test_the_comparison_sees_a_single_number(shared: Path) -> None:
    released = dongfeng.read_caffe(shared / "release/prototxt/df1.prototxt")
    net = build("df1")
    first = net.layers[0]
    other = first.params.convolution_param.replace(stride=1)
    changed = replace(first, params=first.params.replace(convolution_param=other))
    assert layer_rows(net.with_layers([changed, *net.layers[1:]])) != layer_rows(released)


@pytest.mark.parametrize("name", FILES)
def test_file_reads_as_the_network_that_was_built(name: str) -> None:
    architecture, folded = FILES[name]
    assert dongfeng.read_caffe(PROTOTXT / f"{name}.prototxt") == build(architecture, folded=folded)


def test_prototxt_folder_is_current() -> None:
    assert main([str(PROTOTXT), "--check"]) == 0, "stale: run python -m dongfeng.architectures"


def test_check_names_what_is_stale_and_writing_mends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 0
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(FILES)
    capsys.readouterr()
    (tmp_path / "df2.prototxt").unlink()
    (tmp_path / "df1.prototxt").write_text("name: 'other'")
    (tmp_path / "stranger.prototxt").write_text("")
    assert main([str(tmp_path), "--check"]) == 1
    listed = [line.rsplit("/", 1)[-1] for line in capsys.readouterr().out.splitlines()]
    assert listed == ["df1.prototxt", "df2.prototxt", "stranger.prototxt"]
    assert main([str(tmp_path)]) == 0
    assert (tmp_path / "df2.prototxt").read_text() == (PROTOTXT / "df2.prototxt").read_text()
    assert (tmp_path / "stranger.prototxt").exists()


@pytest.mark.parametrize(
    ("name", "convolutions", "total"),
    [("df1", 746_217_472, 746_729_472), ("df2", 1_773_821_952, 1_774_333_952)],
)
def test_published_multiply_accumulates(name: str, convolutions: int, total: int) -> None:
    for folded in (False, True):
        rows = build(name, folded=folded).cost()
        assert sum(row.macs for row in rows if row.type == "Convolution") == convolutions
        assert sum(row.macs for row in rows) == total


@pytest.mark.parametrize("name", DECODERS)
def test_decoder_costs_as_surveyed(name: str) -> None:
    giga = {"dflite_seg": 32.81, "df1seg": 41.56, "df2seg1": 84.34, "df2seg2": 95.26}
    rows = build(name).cost()
    assert sum(row.macs for row in rows if row.type != "Deconvolution") / 1e9 == pytest.approx(giga[name], abs=0.005)


def test_encodings_are_those_of_the_survey(shared: Path) -> None:
    survey = json.loads((shared / "research/architectures.json").read_text())
    for name, backbone in {"DFLite": DFLITE, "DF1": DF1, "DF2": DF2, "DF2A": DF2A}.items():
        row = survey["backbones"][name]
        assert [list(widths) for widths in backbone.encoding] == [row["stage3"], row["stage4"], row["stage5"]]
    decoders = {name.replace("-", "").lower(): row for name, row in survey["decoders"].items()}
    for name, (_, widths) in DECODERS.items():
        row = decoders[name.replace("_", "")]
        assert widths == (row["cc3"], row["cc4"], row["cc5"])


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "pl1a_seg"])
def test_folding_the_unmerged_net_gives_the_merged_one(name: str) -> None:
    assert dongfeng.fold(build(name)) == build(name, folded=True)


def test_pl1a_is_merged_either_way() -> None:
    assert build("pl1a_seg") == build("pl1a_seg", folded=True)
    assert not {"BatchNorm", "Scale"} & {layer.type for layer in build("pl1a_seg").layers}


def test_unknown_name_proposes_the_nearest() -> None:
    with pytest.raises(UnknownModel, match='no architecture "df1sge", did you mean "df1seg"'):
        build("df1sge")
