"""One producer per blob, and back to Caffe's in-place form."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

import dongfeng
from dongfeng.errors import PrototxtError
from dongfeng.layers.inplace import first_version, rename_inplace, restore_inplace
from dongfeng.layers.layer import Layer


def layer(name: str, bottoms: str, tops: str) -> Layer:
    return Layer(name, "TanH", tuple(bottoms.split()), tuple(tops.split()))


def wiring(layers: list[Layer]) -> list[tuple[str, str]]:
    return [(" ".join(item.bottoms), " ".join(item.tops)) for item in layers]


def test_no_layers() -> None:
    assert rename_inplace([], ["data"]) == ([], {})


def test_last_version_keeps_the_name() -> None:
    layers = [layer("conv", "data", "x"), layer("bn", "x", "x"), layer("relu", "x", "x"), layer("next", "x", "y")]
    renamed, aliases = rename_inplace(layers, ["data"])
    assert wiring(renamed) == [("data", "x@0"), ("x@0", "x@1"), ("x@1", "x"), ("x", "y")]
    assert aliases == {"x@0": "x", "x@1": "x"}
    assert restore_inplace(renamed, aliases) == layers


def test_private_names_collide_with_nothing() -> None:
    layers = [layer("a", "data", "x"), layer("b", "x", "x"), layer("c", "x", "x@0"), layer("d", "x x@0@", "y")]
    renamed, aliases = rename_inplace(layers, ["data", "x@0@"])
    assert aliases == {"x@0@@": "x"}
    assert restore_inplace(renamed, aliases) == layers


def test_input_that_is_overwritten_is_renamed() -> None:
    layers = [layer("a", "data", "data"), layer("b", "data", "out")]
    renamed, aliases = rename_inplace(layers, ["data"])
    assert wiring(renamed) == [("data@0", "data"), ("data", "out")]
    assert first_version("data", aliases) == "data@0"
    assert first_version("out", aliases) == "out"


def test_in_place_is_decided_index_by_index() -> None:
    renamed, _ = rename_inplace([layer("a", "x y", "x z")], ["x", "y"])
    assert wiring(renamed) == [("x@0 y", "x z")]


@pytest.mark.parametrize(
    ("layers", "problem"),
    [
        ([layer("r", "data", "t"), layer("c", "data", "t")], 'layer "c" .TanH.: top "t" is made by two layers'),
        ([layer("a", "data", "a"), layer("b", "a", "b"), layer("r", "a", "a")], 'read more than once .by "b".'),
        ([layer("a", "data", "a"), layer("r", "a a", "a")], "read more than once .by this layer."),
        ([layer("a", "data", "a"), layer("r", "data a", "a")], "made by two layers"),
        ([layer("a", "x y", "y x")], "made by two layers"),
        ([layer("a", "x", "t t")], "made by two layers"),
    ],
    ids=["second producer", "other reader before", "read twice by itself", "other index", "swapped", "same top twice"],
)
def test_what_caffe_refuses(layers: list[Layer], problem: str) -> None:
    with pytest.raises(PrototxtError, match=f"net.prototxt: .*{problem}"):
        rename_inplace(layers, ["data", "x", "y"], source="net.prototxt")


def test_a_reader_after_the_change_reads_the_new_version() -> None:
    layers = [layer("a", "data", "a"), layer("r", "a", "a"), layer("b", "a", "b"), layer("c", "a", "c")]
    renamed, _ = rename_inplace(layers, ["data"])
    assert wiring(renamed)[2:] == [("a", "b"), ("a", "c")]


def test_private_name_stays_where_in_place_would_lose_a_reader() -> None:
    aliases = {"x@0": "x"}
    layers = [layer("a", "data", "x@0"), layer("r", "x@0", "x"), layer("late", "x@0", "y")]
    assert restore_inplace(layers, aliases) == layers


def test_private_name_stays_where_the_next_version_is_elsewhere() -> None:
    layers = [layer("a", "data", "x@0"), layer("r", "data x@0", "x")]
    assert restore_inplace(layers, {"x@0": "x"}) == layers


def test_files_that_caffe_refuses(shared: Path) -> None:
    for case in ("top_twice", "reader_before_inplace"):
        with pytest.raises(PrototxtError, match=r"net\.prototxt:\d+.* top "):
            dongfeng.read_caffe(shared / "golden/rejects" / case / "net.prototxt")


@settings(suppress_health_check=[HealthCheck.filter_too_much])  # Caffe takes one list in ten
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), max_size=12))
def test_round_trip_of_whatever_is_accepted(pairs: list[tuple[str, str]]) -> None:
    layers = [layer(str(index), bottom, top) for index, (bottom, top) in enumerate(pairs)]
    try:
        renamed, aliases = rename_inplace(layers, ["a"])
    except PrototxtError:
        reject()
    tops = [top for item in renamed for top in item.tops]
    assert len(set(tops)) == len(tops)
    assert restore_inplace(renamed, aliases) == layers
