from __future__ import annotations

from pathlib import Path

import pytest

from dongfeng.errors import DongfengError
from dongfeng.support import jsonl
from dongfeng.support.strict_json import JsonFormat

FORMAT = JsonFormat(DongfengError, "try again")


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


@pytest.mark.parametrize("text", ["-1", "1.0", "true", '"1"', "null"])
def test_a_count_is_a_whole_number_of_at_least_0(text: str) -> None:
    assert FORMAT.parse("0", source="here").count() == 0
    with pytest.raises(DongfengError, match="here: expected a whole number of at least 0, got"):
        FORMAT.parse(text, source="here").count()


def test_a_number_may_be_null() -> None:
    assert FORMAT.parse("null", source="here").number_or_none() is None
    assert FORMAT.parse("0.5", source="here").number_or_none() == 0.5
