"""A layer type of the user's own: what the page about it shows works, and what cannot be declared is refused."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import dongfeng
from dongfeng.caffe import schema
from dongfeng.caffe.message import message
from dongfeng.caffe.prototxt import format_text, parse
from dongfeng.errors import PrototxtError, UnsupportedLayer
from dongfeng.layers import base, declare_params
from dongfeng.net.random_weights import random_weights
from dongfeng.reference import registry
from dongfeng.verification.verify import verify
from tests.conftest import CHECKOUT
from tests.nets import data, layer, read_text
from tests.test_docs import run_console, run_python

PAGE = CHECKOUT / "docs/own-layers.md"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Other tests see neither types nor messages that are made here."""
    known: list[dict] = [base._REGISTRY, registry.COMPUTATIONS, schema._added]
    known.append(schema.message_type("LayerParameter").fields)
    before = [dict(part) for part in known]
    yield
    for part, content in zip(known, before, strict=True):
        part.clear()
        part.update(content)
    sys.modules.pop("crelu", None)


# ---- the page ----------------------------------------------------------------------------------------------------


def blocks() -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_what_the_page_shows_is_what_comes_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subprocess_env: dict[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    files = {"prototxt": ["net.prototxt"], "python": ["crelu.py", "convert.py", "crelu.py"]}
    names: dict[str, object] = {}
    for kind, text in blocks():
        if kind == "console":
            run_console(text, subprocess_env)
        elif kind == "pycon":
            run_python(text, names, PAGE.name)
        else:
            path = Path(files[kind].pop(0))
            path.write_text((path.read_text() if path.exists() else "") + text)
    assert not any(files.values()), "every file of the page was written"
    assert_computes_crelu()


def assert_computes_crelu() -> None:
    """The converted model, against CReLU as its paper has it."""
    net = random_weights(dongfeng.read_caffe("net.prototxt"), seed=3)
    x = np.random.default_rng(0).standard_normal((1, 3, 8, 8), dtype=np.float32)
    got = dongfeng.run(net, {"data": x}, ["conv1", "crelu1"])
    (factor,) = net.layer("crelu1").blobs
    both = np.concatenate([got["conv1"], -got["conv1"]], axis=1)
    expected = np.maximum(both, 0.125 * both) * factor[:, None, None]
    np.testing.assert_allclose(got["crelu1"], expected, rtol=1e-6)
    assert verify_error(net) == 'layer "crelu1" (CReLU): the NumPy interpreter does not know this type'


def verify_error(net: dongfeng.Net) -> str:
    """In this process only the class was imported, before the page teaches the interpreter."""
    with pytest.raises(UnsupportedLayer) as caught:
        verify(net, dongfeng.to_onnx(net))
    return str(caught.value).partition(": ")[2].partition(";")[0]


def test_an_own_type_takes_no_other_parameters(tmp_path: Path) -> None:
    declare_params("mine_param", alpha="float")

    @base.register("Mine")
    class Mine(base.type_class("ReLU")):
        params_field = "mine_param"

    text = data(1, 2, 3, 3) + layer("m", "Mine", "data", "m", "relu_param { negative_slope: 1 }")
    with pytest.raises(UnsupportedLayer, match="has relu_param, which is no parameter of its type"):
        read_text(tmp_path, text)


# ---- declaring ---------------------------------------------------------------------------------------------------

TEXT = """\
layer {
  name: "a"
  type: "Mine"
  mine_param {
    alpha: 2.5
    sizes: 1
    sizes: 2
    mode: LINEAR
    on: true
    filler {
      type: "xavier"
    }
    more {
      depth: -3
    }
  }
}
"""


def declare_mine() -> None:
    declare_params("more_param", depth="required int32")
    declare_params(
        "mine_param",
        alpha=("float", 1.1),
        sizes="repeated int32",
        mode=["NEAREST", "LINEAR"],
        on="bool",
        name=("string", "none"),
        filler="FillerParameter",
        more="more_param",
    )


def test_a_declared_message_is_read_and_written_like_caffes_own() -> None:
    net = parse('layer { name: "old" type: "Mine" }')
    with pytest.raises(PrototxtError, match='LayerParameter has no field "mine_param"'):
        parse(TEXT)
    declare_mine()
    declare_mine()  # saying the same again changes nothing
    parsed = parse(TEXT).layer[0]
    param = parsed.mine_param
    assert (param.alpha, param.sizes, param.mode, param.on, param.name) == (2.5, (1, 2), "LINEAR", True, "none")
    assert (param.filler.type, param.more.depth, param.line("mode")) == ("xavier", -3, 8)
    assert format_text(parse(TEXT)) == TEXT
    assert message("LayerParameter", name="a", type="Mine", mine_param=dict(param.items())) == parsed
    # Defaults, also in messages that are older than the declaration.
    unset = net.layer[0].mine_param
    assert (unset.sizes, unset.mode, unset.on, unset.more.depth) == ((), "NEAREST", False, 0)
    assert unset.alpha == np.float32(1.1)
    assert not net.layer[0].has("mine_param")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mine_param { alpah: 1 }", 'layer "a": mine_param has no field "alpah", did you mean "alpha"?'),
        ("mine_param { alpha: 1 alpha: 2 }", "alpha is given twice"),
        ("mine_param { sizes: 1.5 }", "expected an integer for sizes, got 1.5"),
        ("mine_param { mode: CUBIC }", "expected NEAREST or LINEAR for mode, got CUBIC"),
        ("mine_param { more { } }", "more: depth has to be given"),
    ],
)
def test_what_does_not_fit_a_declared_message_is_refused(text: str, message: str) -> None:
    declare_mine()
    with pytest.raises(PrototxtError, match=re.escape(message)):
        parse(f'layer {{ name: "a" type: "Mine" {text} }}')


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("pooling_param", {"x": "float"}, '"pooling_param" is taken: it is Caffe\'s own field of LayerParameter'),
        ("name", {}, '"name" is taken'),
        ("NetParameter", {}, '"NetParameter" is no name of a message; write it as "my_param"'),
        ("mine_param", {"alpha": "float"}, '"mine_param" is declared already, with other fields: alpha (float), sizes'),
        ("x_param", {"replace": "float"}, "x_param.replace: no name for a field"),
        ("x_param", {"_x": "float"}, "x_param._x: no name for a field"),
        ("x_param", {"x": "flaot"}, 'x_param.x: expected a kind such as "float" or "repeated int32", got \'flaot\''),
        ("x_param", {"x": "many float"}, "x_param.x: expected a kind"),
        ("x_param", {"x": ("float", "one")}, "x_param.x: expected a number, got 'one'"),
        ("x_param", {"x": ("uint32", -1)}, "x_param.x: expected an integer from 0 to"),
        ("x_param", {"x": ("repeated int32", 1)}, "x_param.x: only a plain field has a default"),
        ("x_param", {"x": ("FillerParameter", 1)}, "x_param.x: only a plain field has a default"),
        ("x_param", {"x": []}, "x_param.x: an enum is a list of names, got []"),
    ],
)
def test_what_cannot_be_declared_is_refused_and_leaves_nothing(name: str, fields: dict, message: str) -> None:
    declare_mine()
    before = dict(schema.message_type("LayerParameter").fields)
    with pytest.raises(ValueError, match=re.escape(message)):
        declare_params(name, **fields)
    assert schema.message_type("LayerParameter").fields == before


def test_declared_messages_survive_a_round_trip_through_files(tmp_path: Path) -> None:
    declare_mine()

    @base.register("Mine")
    class Mine(base.type_class("ReLU")):
        params_field = "mine_param"

    text = data(1, 2, 3, 3) + layer("m", "Mine", "data", "m", "mine_param { alpha: 3 sizes: 7 }")
    net = read_text(tmp_path, text)
    dongfeng.write_caffe(net, tmp_path / "again.prototxt")
    assert dongfeng.read_caffe(tmp_path / "again.prototxt").layers[0].params.mine_param.sizes == (7,)
