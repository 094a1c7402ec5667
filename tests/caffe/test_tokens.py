from __future__ import annotations

import time

import pytest

from dongfeng.caffe.tokens import parse_float, parse_integer, scan, unescape
from dongfeng.errors import PrototxtError


def test_tokens_with_their_places():
    tokens = scan("a: 'b c' # d\n<-1.5e3>", "x")
    assert tokens.kinds == ["name", ":", "string", "<", "-", "number", ">", "end"]
    assert tokens.texts == ["a", ":", "'b c'", "<", "-", "1.5e3", ">", ""]
    assert [tokens.line(index) for index in range(8)] == [1, 1, 1, 2, 2, 2, 2, 2]
    error = tokens.error(5, "no")
    assert str(error) == "x:2:3: no"


@pytest.mark.parametrize("text", ["", " \n\t", "# only", "#\n#"])
def test_nothing_is_an_end(text):
    assert scan(text, "x").kinds == ["end"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("10", 10), ("010", 8), ("0x1F", 31), ("0XfF", 255), ("08", None), ("1.0", None), ("1e3", None),
     ("1f", None), ("9" * 5000, int("9" * 30)), ("1." + "0" * 5000, None)],
)  # fmt: skip
def test_integers(text, value):
    assert parse_integer(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0.0), ("1.5f", 1.5), (".5", 0.5), ("1e3F", 1000.0), ("0.1", 0.1), ("01", None), ("0x1", None)],
)
def test_floats(text, value):
    assert parse_float(text) == value


def test_unescape():
    assert unescape(r"""'\a\b\f\n\r\t\v\\\?\'\"\0\101\x41\u00e9é'""") == b"\a\b\f\n\r\t\v\\?'\"\0AA\xc3\xa9\xc3\xa9"
    with pytest.raises(ValueError, match="q is no escape"):
        unescape(r"'\q'")


def test_hostile_white_space_takes_linear_time():
    start = time.thread_time()
    with pytest.raises(PrototxtError, match="unexpected character"):
        scan(" " * 200_000 + "#\n" * 200_000 + "$", "x")
    assert time.thread_time() - start < 2  # a scanner that goes back needs hours
