from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dongfeng.caffe.message import message
from dongfeng.caffe.prototxt import format_text, parse, read
from dongfeng.caffe.schema import message_class
from dongfeng.caffe.tokens import scan
from dongfeng.errors import DongfengWarning, PrototxtError
from tests.caffe.oracle import protobuf_fields, protobuf_text, random_fields, set_fields
from tests.conftest import require_shared

SHARED = require_shared()
FILES = sorted(SHARED.glob("golden/*/*/net.prototxt")) + sorted(SHARED.glob("release/prototxt/*")) if SHARED else []


def error_of(text: str, **options: object) -> PrototxtError:
    with pytest.raises(PrototxtError) as caught:
        parse(text, filename="net.prototxt", **options)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_reads_what_protobuf_reads(path: Path, shared):
    text = path.read_text()
    try:
        expected = protobuf_text(text)
    except text_format.ParseError:
        assert path.parent.name == "unknown_field"
        with pytest.raises(PrototxtError, match='LayerParameter has no field "foo_param"'):
            read(path)
        return
    net = read(path)
    assert set_fields(net) == protobuf_fields(expected)
    assert protobuf_fields(protobuf_text(format_text(net))) == protobuf_fields(expected)
    assert parse(format_text(net)) == net


@settings(max_examples=150, deadline=None)
@given(random_fields("NetParameter"))
def test_protobuf_reads_what_is_written(fields):
    net = message("NetParameter", **fields)
    text = format_text(net)
    assert protobuf_fields(protobuf_text(text)) == set_fields(net)
    assert set_fields(parse(text)) == set_fields(net)


@settings(max_examples=150, deadline=None)
@given(random_fields("NetParameter"), st.fixed_dictionaries({}, optional=dict.fromkeys(
    ("as_utf8", "as_one_line", "use_short_repeated_primitives", "pointy_brackets", "use_index_order"), st.booleans()
)))  # fmt: skip
def test_reads_what_protobuf_writes(fields, style):
    expected = protobuf_text(format_text(message("NetParameter", **fields)))
    assert set_fields(parse(text_format.MessageToString(expected, **style))) == protobuf_fields(expected)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_text_gives_a_message_or_an_error(data):
    text = 'layer { name: "a\\n" type: "P" pooling_param { pool: MAX pad: 0x1 } bottom: [\'b\', "c"] } # end\n'
    at = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 4))
    insert = data.draw(st.text("{}<>[]:,;-\"'\\#0x.eE \n\ta", max_size=4))
    problem = None
    try:
        parse(text[:at] + insert + text[at + length :])
    except PrototxtError as error:
        problem = error
    assert problem is None or (problem.line is not None and "\n" not in str(problem))


LITERALS = {
    "input_dim": (
        "0 1 -1 -0 007 010 0x1F -0x1 2147483647 -2147483648 [1,2] [1,-2], [] 5; "
        "08 1.0 1. 1e3 1f 0xg 2147483648 -2147483649 99999999999999999999999 1a + -- t '1' [1,] [1 {} [,]"
    ),
    "input_shape{dim": "0 -9223372036854775808 9223372036854775807 9223372036854775808 0777 1e2",
    "force_backward": "t f true false True False 0 1 TRUE T yes 2 -1 1.0 'true' [true]",
    "name": "'' 'a' \"b\" 'a'\"b\" '\\n\\t\\\"\\\\\\a\\r' '\\101\\x41' '\\u00e9' 'é' 'a \"unclosed '\\351' '\\xg' abc 1",
    "layer{pooling_param{pool": "MAX AVE 0 1 0x2 3 -1 max 'MAX' AVG 1.0",
    "layer{pooling_param{pad": "0 4294967295 4294967296 -1 1.5",
    "layer{relu_param{negative_slope": (
        "0 1 1. .5 -.5 1e3 1E+3 1e-3 1f 1.5f -2f 1e40 -1e40 1e-50 inf -inf Inf infinity inff nan -nan "
        "0x1 1.2.3 .e5 e5 - one '1' true [1]"
    ),
    "layer{loss_weight": "[] [1,.5] [inf, -1] 1, [1;2]",
    "layer{propagate_down": "[true,f,1]",
    "layer{relu_param": "{} <> {negative_slope:1,} {negative_slope:1;} <negative_slope:1> {negative_slope:1> {;} [{}] 1",
    "layer": "{} [{},{name:'x'}] [] [{},] [{name:'y'}] <name:'z';> {",
}


@pytest.mark.parametrize(
    ("field", "literal"), [(f, literal) for f, all_ in LITERALS.items() for literal in all_.split()]
)
def test_values_mean_what_they_mean_to_protobuf(field, literal):
    text = f"{field}: {literal}\n{'}' * field.count('{')}"
    try:
        expected = protobuf_fields(protobuf_text(text))
    except text_format.ParseError:
        expected = None
    if field.endswith("pad") and literal == "-0":
        expected = None  # protobuf for C++, which is Caffe's, refuses the sign
    if expected is None:
        error_of(text)
    else:
        assert repr(set_fields(parse(text))) == repr(expected)  # as text: NaN equals NaN, -0.0 is not 0.0


def test_everything_the_format_allows_in_one_file():
    net = parse(
        'name: "a" \'b\'  # a comment\n  "c";'
        "layer: < name: 'x' loss_weight: [1f, 0.5], bottom: ['p', \"q\"] propagate_down: t >\n"
        "layer [ { pooling_param { pool: 1 pad: 0x10 stride: 011 } }, { phase: TEST } ]"
    )
    assert net.name == "abc"
    assert net.layer[0].loss_weight == (1.0, 0.5)
    assert net.layer[0].bottom == ("p", "q")
    pooling = net.layer[1].pooling_param
    assert (pooling.pool, pooling.pad, pooling.stride) == ("AVE", 16, 9)
    assert [layer.line() for layer in net.layer] == [2, 3, 3]


def test_lines_of_fields_and_of_messages():
    net = parse('\n\nlayer {\n  name: "a"\n  bottom: "x"\n  bottom: "y"\n}\r\n\r\nlayer {\n}')
    assert [layer.line() for layer in net.layer] == [3, 9]
    assert (net.layer[0].line("name"), net.layer[0].line("bottom"), net.layer[0].line("top")) == (4, 5, None)
    assert net.line("layer") == 3


def test_all_unknown_fields_are_reported_at_once_with_line_and_layer():
    text = (
        'layer { foo: 1 name: "one" pooling_param { kernel_sise: 3 } }\n'
        "bar { a { b: [1, 2] } }\n"
        "layer {\n  baz: [{ x: 1 }, <>]\n  quux: - inf\n  many: 'a' \"b\"\n}\n"
    )
    error = error_of(text)
    assert (error.file, error.line, error.column) == ("net.prototxt", 1, 9)
    for part in (
        "6 unknown fields",
        'line 1: layer "one": LayerParameter has no field "foo"',
        'line 1: layer "one": PoolingParameter has no field "kernel_sise", did you mean "kernel_size"?',
        'line 2: NetParameter has no field "bar"',
        'line 4: LayerParameter has no field "baz"',
        'line 5: LayerParameter has no field "quux"',
        'line 6: LayerParameter has no field "many"',
    ):
        assert part in str(error)


def test_an_unknown_field_of_a_nested_layer_names_that_layer():
    assert 'layer "in": V0LayerParameter has no field "foo"' in str(error_of('layers { layer { name: "in" foo: 1 } }'))


def test_not_strict_warns_once_and_skips_unknown_fields():
    text = 'layer { foo: [1, 2] name: "a" bar < b { } > x: -1; y: "s", z { } }\nsolver: GPU'
    with pytest.warns(DongfengWarning, match="6 unknown fields") as caught:
        net = parse(text, strict=False)
    assert len(caught) == 1
    assert set_fields(net) == {"layer": [{"name": "a"}]}


def test_the_unknown_field_of_the_corpus(shared):
    with pytest.raises(
        PrototxtError, match=r'net.prototxt:2:58: layer "r": LayerParameter has no field "foo_param"; strict'
    ):
        read(shared / "golden/rejects/unknown_field/net.prototxt")


def test_a_solver_file_is_recognized():
    assert "a solver file" in str(error_of('net: "x.prototxt"\nbase_lr: 0.1\n'))


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("layer {\n pooling_param {\n pad: 1\n", (4, 1), 'ends inside pooling_param of line 2: a "}" is missing'),
        ("layer {\n name: 'x'\n", (3, 1), 'ends inside layer of line 1: a "}" is missing'),
        ("layer {\n foo {\n", (3, 1), 'expected "}": line 2 opened it'),
        ("layer { foo { ] }", (1, 15), '"]" closes nothing'),
        ("layer { name: 'x' }\n}", (2, 1), "expected a field name, got }"),
        ("layer { name 'x' }", (1, 14), "expected \":\" after name, got the string 'x'"),
        ("layer { relu_param: 3 }", (1, 21), 'expected "{" after relu_param, got 3'),
        ("layer { type: Convolution }", (1, 15), "expected a quoted string for type, got Convolution"),
        ("layers { type: 'Convolution' }", (1, 16), "expected a V1LayerParameter.LayerType such as CONVOLUTION"),
        ("layer { pooling_param { pool: AVG } }", (1, 31), "expected MAX or AVE or STOCHASTIC for pool, got AVG"),
        ("layer { pooling_param { pad: -1 } }", (1, 30), "expected an integer without sign for pad, got -"),
        ("input_dim: 2147483648", (1, 12), "input_dim: 2147483648 is outside -2147483648 to 2147483647"),
        ("input_dim: 1.5", (1, 12), "expected an integer for input_dim, got 1.5"),
        ("name: 'a'\nname: 'b'", (2, 1), "name is given twice, first in line 1"),
        ("state {}\n\nstate {}", (3, 1), "state is given twice, first in line 1"),
        ("name: 'a\n'", (1, 7), "the string that begins here is not closed on its line"),
        ("name: '\\xzz'", (1, 7), "is no escape sequence"),
        ("name: '\\ud800'", (1, 7), "is no escape sequence"),
        ("name: '\\377'", (1, 7), "name: not UTF-8 text"),
        ("input_dim: 12abc", (1, 12), "12abc is not a number"),
        ("name: $", (1, 7), "unexpected character '$'"),
        ("input_dim: [1, 2", (1, 17), 'expected "," or "]" in the list of input_dim, got the end of the file'),
        ("layer {\n clip_param { min: 0 }\n}", (2, 2), "clip_param: max has to be given"),
        ("foo 3", (1, 5), 'expected ":" or "{" after foo, got 3'),
        ("foo: }", (1, 6), "expected a value, got }"),
        ("layer { type: 'x' name:", (1, 24), "expected a quoted string for name, got the end of the file"),
    ],
)
def test_errors_say_where_and_what(text, place, problem):
    error = error_of(text)
    assert (error.line, error.column) == place
    assert problem in str(error)
    assert str(error).startswith(f"net.prototxt:{place[0]}:{place[1]}: ")


@pytest.mark.parametrize("text", ["layers { layer { " * 60, "foo { " * 50_000, "layer { foo [" + "[" * 50_000])
def test_deep_nesting_is_an_error_and_not_a_crash(text):
    error_of(text + "}" * text.count("{"))


@settings(max_examples=100, deadline=None)
@given(st.floats(width=32))
@example(0.10490011423826218)  # needs all nine digits
def test_floats_are_written_as_short_as_float32_allows(value):
    text = format_text(message("ReLUParameter", negative_slope=value)).split()[1]
    again = parse(f"layer {{ relu_param {{ negative_slope: {text} }} }}").layer[0].relu_param.negative_slope
    assert again == value or math.isnan(value)
    theirs = text_format.MessageToString(message_class("ReLUParameter")(negative_slope=value)).split()[1]
    assert significant_digits(text) <= significant_digits(theirs)


def significant_digits(text: str) -> int:
    """Digits that tell the number: 7 in 1.690198e+07 and in 16901980.0."""
    return len(text.lower().partition("e")[0].replace(".", "").lstrip("-0").rstrip("0"))


def test_format_text_is_what_people_write():
    net = message(
        "NetParameter",
        layer={
            "bottom": ["a", "b"],
            "type": "Pooling",
            "name": 'x"\n',
            "pooling_param": {"pool": "AVE", "global_pooling": True},
            "batch_norm_param": {"eps": 1e-4},
        },
    )
    assert format_text(net) == (
        'layer {\n  name: "x\\"\\n"\n  type: "Pooling"\n  bottom: "a"\n  bottom: "b"\n'
        "  pooling_param {\n    pool: AVE\n    global_pooling: true\n  }\n"
        "  batch_norm_param {\n    eps: 0.0001\n  }\n}\n"
    )
    assert format_text(message("NetParameter")) == ""


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the file is empty"),
        (b" \r\n# nothing but this\n", "a network without layers"),
        (b"name: 'x'\n", "a network without layers"),
        (b"\x0a\x01w\xa2\x06\x05\x0a\x03abc", "not UTF-8 text; is this a caffemodel?"),
        (b"\x0a\x01w\x00\x00", "binary data, not text; is this a caffemodel?"),
        ("name: 'x'".encode("utf-16"), "not UTF-8 text"),
        (b"\n<!DOCTYPE html><html>", "a web page, not a prototxt"),
        (b"\xef\xbb\xbf<html lang='en'>", "a web page, not a prototxt"),
        (b"\x89PNG\r\n\x1a\n", "not UTF-8 text"),
    ],
)
def test_files_that_are_no_prototxt(tmp_path, data, problem):
    path = tmp_path / "net.prototxt"
    path.write_bytes(data)
    with pytest.raises(PrototxtError) as caught:
        read(path)
    assert problem in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_byte_order_mark_and_windows_line_ends_are_fine(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_bytes(b"\xef\xbb\xbfname: 'x'\r\nlayer {\r\n  name: 'a'  # b\r\n}\r\n")
    assert read(path).layer[0].line("name") == 3


def test_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "net.prototxt")


def test_parsing_costs_a_few_calls_a_token(shared):
    """The largest released file; a count, for a clock shows the machine's other work too."""
    text = (shared / "release/prototxt/df2a.prototxt").read_text()
    parse(text)
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        parse(text)
    finally:
        sys.setprofile(None)
    assert calls < 12 * len(scan(text, "df2a.prototxt").texts)
