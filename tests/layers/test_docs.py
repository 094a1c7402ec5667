"""The page of layer types says what the code does, and an unknown type is answered with what can be done."""

from __future__ import annotations

import ast
import csv
import inspect
import re
from pathlib import Path

import pytest

from dongfeng.errors import UnsupportedLayer
from dongfeng.formats.caffe_inputs import IMAGE_SOURCES, TRAINING_ENDS
from dongfeng.layers import LayerType, registered_types
from dongfeng.layers.advice import ADVICE
from dongfeng.layers.base import type_class
from dongfeng.tools.layers_page import describe, main, render
from tests.conftest import CHECKOUT
from tests.nets import data, layer, read_text

PAGE = CHECKOUT / "docs/layers.md"
OURS = [name for name in registered_types() if type_class(name).__module__.startswith("dongfeng.layers.")]


def test_page_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(PAGE), "--check"]) == 0, "run `python -m dongfeng.layers`"
    assert capsys.readouterr().out == ""


def test_a_stale_or_missing_page_is_found_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "layers.md"
    for stale in (None, render().replace("`Swish`", "`Swash`")):
        if stale is not None:
            page.write_text(stale, encoding="utf-8")
        assert main([str(page), "--check"]) == 1
        assert main([str(page)]) == 0
        assert capsys.readouterr().out == f"stale: {page}\nwrote {page}\n"
        assert page.read_text(encoding="utf-8") == render()


def test_every_type_is_on_the_page_once() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted([*OURS, *ADVICE])
    assert not set(OURS) & (IMAGE_SOURCES | TRAINING_ENDS)
    assert not set(ADVICE) & (IMAGE_SOURCES | TRAINING_ENDS)


def test_every_type_that_people_use_is_answered(shared: Path) -> None:
    """The list was made from the sources of Caffe, its forks and other importers."""
    with (shared / "research/layers.csv").open(newline="") as file:
        used = {row["layer"].partition(" ")[0] for row in csv.DictReader(file)}
    known = {*OURS, *ADVICE, *IMAGE_SOURCES, *TRAINING_ENDS, "Input", "HDF5Data"}
    assert used - known == {"deephi_resize"}, "which is DeephiResize in files"


def calls_of(cls: type[LayerType]) -> set[str]:
    """Names of all that the code of a layer type and of its bases calls."""
    found: set[str] = set()
    for part in cls.__mro__:
        if issubclass(part, LayerType) and part is not LayerType:
            tree = ast.parse(Path(inspect.getfile(part)).read_text(encoding="utf-8"))
            bodies = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == part.__name__)
            calls = (node.func for body in bodies for node in ast.walk(body) if isinstance(node, ast.Call))
            found.update(call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls)
    return found


@pytest.mark.parametrize("name", OURS)
def test_a_type_that_refuses_something_says_so(name: str) -> None:
    """`static` is for a size that must be known."""
    cls = type_class(name)
    if calls_of(cls) & {"UnsupportedLayer", "static"}:
        assert cls.refused


def test_what_refuses_is_seen() -> None:
    assert "UnsupportedLayer" in calls_of(type_class("Pooling"))
    assert "static" in calls_of(type_class("LSTM")), "in its base"


def test_origin_and_meaning_come_from_the_docstring() -> None:
    class Good(type_class("ReLU")):
        """Source: SENet's Caffe, AxpyLayer and OtherLayer: does

        a lot. And more.
        """

    class Bad(type_class("ReLU")):
        """Does things."""

    assert describe(Good) == ("SENet's Caffe", "does a lot. And more")
    assert describe(type_class("ReLU")) == ("BVLC's Caffe", "max(x, 0); `negative_slope` makes it leaky")
    with pytest.raises(ValueError, match="Bad: expected a docstring"):
        describe(Bad)


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("Convolutoin", 'did you mean "Convolution"?'),
        ("RELU", 'did you mean "ReLU"?'),
        ("innerproduct", 'did you mean "InnerProduct"?'),
        ("ROIPoolling", 'did you mean "ROIPooling"?'),
        ("Python", "its code is in a Python module, not in the file: end the net before it, or write it"),
        ("NormalizeBBox", 'change the type to "Normalize"'),
        ("Quux", "end the net before it, or write it as a layer of your own (docs/own-layers.md)"),
        ("", "the layer has no type; give it one"),
    ],
)
def test_an_unknown_type_is_answered_with_what_can_be_done(tmp_path: Path, kind: str, advice: str) -> None:
    with pytest.raises(UnsupportedLayer) as caught:
        read_text(tmp_path, data(1, 3, 4, 4) + layer("x", kind, "data", "x"))
    assert f'net.prototxt:2: layer "x" ({kind}): unsupported layer type; {advice}' in str(caught.value)


def test_all_unknown_layers_are_answered_at_once(tmp_path: Path) -> None:
    text = data(1, 3, 4, 4) + layer("a", "Region", "data", "a") + layer("b", "ReLU", "a", "b")
    with pytest.raises(UnsupportedLayer) as caught:
        read_text(tmp_path, text + layer("c", "Poolling", "b", "c"))
    first, second = caught.value.problems
    assert 'net.prototxt:2: layer "a" (Region): unsupported layer type; end the net before it and decode' in first
    assert 'net.prototxt:4: layer "c" (Poolling): unsupported layer type; did you mean "Pooling"?' in second


def test_an_unknown_type_counts_more_than_its_unknown_parameters(tmp_path: Path) -> None:
    text = data(1, 3, 4, 4) + layer("r", "ROIPooling", "data", "r", "roi_pooling_param { pooled_w: 7 }")
    with pytest.raises(UnsupportedLayer) as caught:
        read_text(tmp_path, text + layer("p", "Pooling", "r", "p", "pooling_param { kernel_sise: 2 }"))
    first, second = caught.value.problems
    assert 'net.prototxt:2: layer "r" (ROIPooling): unsupported layer type; write it as a layer of your own' in first
    assert 'has no field "roi_pooling_param"' in second
    assert 'has no field "kernel_sise", did you mean "kernel_size"?' in second


def test_advice_names_only_types_that_are_supported() -> None:
    for item in ADVICE.values():
        for name in re.findall(r'"(\w+)"', item.text):
            assert name in OURS
