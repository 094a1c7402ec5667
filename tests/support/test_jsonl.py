"""Durable logs: whole lines survive a kill, a torn one is cut off, a damaged one is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dongfeng.errors import DongfengError, SearchError
from dongfeng.support import jsonl
from dongfeng.support.strict_json import JsonFormat

FORMAT = JsonFormat(SearchError, "delete the line")
WRITER = """
import itertools, sys
from pathlib import Path
from dongfeng.support import jsonl
for index in itertools.count():
    jsonl.append(Path(sys.argv[1]), {"index": index, "text": "x" * 5000})
    print(index, flush=True)
"""


def indices(path: Path) -> list[int]:
    return [row.members()["index"].count() for row in jsonl.read(path, FORMAT)]


def test_every_line_that_a_killed_writer_said_is_there(tmp_path: Path, subprocess_env: dict[str, str]) -> None:
    path = tmp_path / "log.jsonl"
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, env=subprocess_env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(5)]
        process.kill()
        said += [int(line) for line in process.stdout]
    found = indices(path)
    assert found == list(range(len(found)))
    assert len(found) >= len(said) == said[-1] + 1


def test_a_torn_line_is_not_read_and_the_next_one_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    jsonl.append(path, {"index": 0})
    whole = path.read_bytes()
    for torn in (b'{"index": 1, "te', b"\xff\xfe", b'{"index": 1}'):
        path.write_bytes(whole + torn)
        assert indices(path) == [0]
        jsonl.cut_torn_line(path)
        assert path.read_bytes() == whole
    jsonl.append(path, {"index": 1})
    assert indices(path) == [0, 1]
    path.write_bytes(b'{"ind')
    jsonl.cut_torn_line(path)
    assert path.read_bytes() == b""
    assert indices(path) == []


def test_no_file_is_an_empty_log(tmp_path: Path) -> None:
    assert jsonl.read(tmp_path / "none", FORMAT) == []
    jsonl.cut_torn_line(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_a_rewritten_log_goes_on_as_if_nothing_else_had_been_written(tmp_path: Path) -> None:
    path, other = tmp_path / "log.jsonl", tmp_path / "other.jsonl"
    rows = [{"step": step, "loss": step / 7} for step in range(4)]
    for row in rows:
        jsonl.append(path, row)
    jsonl.rewrite(path, rows[:2])
    jsonl.append(path, rows[3])
    for row in (rows[0], rows[1], rows[3]):
        jsonl.append(other, row)
    assert path.read_bytes() == other.read_bytes()
    assert [line.value for line in jsonl.read(path, FORMAT)] == [rows[0], rows[1], rows[3]]


def test_a_log_that_cannot_be_rewritten_stays(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    jsonl.append(path, {"step": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        jsonl.rewrite(path, [{"loss": float("nan")}])
    assert path.read_text() == '{"step": 1}\n'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"hello", "log.jsonl:2: not JSON: Expecting value; delete the line"),
        (b"", "log.jsonl:2: not JSON: Expecting value; delete the line"),
        (b"\xff", "log.jsonl:2: not UTF-8 at byte 0; delete the line"),
        (b'{"a": 1, "a": 2}', 'log.jsonl:2: key "a" stands twice in one object; delete the line'),
        (b"[" * 100_000, "log.jsonl:2: nested too deeply; delete the line"),
        (b"[1]", "log.jsonl:2: expected an object, got [1]; delete the line"),
        (b'{"index": -1}', "log.jsonl:2: index: expected a whole number of at least 0, got -1; delete the line"),
    ],
    ids=["text", "empty", "bytes", "twice", "deep", "list", "value"],
)
def test_a_damaged_line_is_named(line: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"index": 0}\n' + line + b"\n")
    with pytest.raises(SearchError) as caught:
        indices(path)
    assert str(caught.value) == f"{tmp_path}/{message}"


def test_a_folder_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="Is a directory; delete the line"):
        jsonl.read(tmp_path, FORMAT)
    with pytest.raises(ValueError, match="not JSON compliant"):
        jsonl.append(tmp_path / "log", {"loss": float("inf")})


@pytest.mark.parametrize("text", ["-1", "1.0", "true", '"1"', "null"])
def test_a_count_is_a_whole_number_of_at_least_0(text: str) -> None:
    assert FORMAT.parse("0", source="here").count() == 0
    with pytest.raises(DongfengError, match="here: expected a whole number of at least 0, got"):
        FORMAT.parse(text, source="here").count()


def test_a_number_may_be_null() -> None:
    assert FORMAT.parse("null", source="here").number_or_none() is None
    assert FORMAT.parse("0.5", source="here").number_or_none() == 0.5
