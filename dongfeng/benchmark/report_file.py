"""Files of reports: written whole or not at all, read strictly."""

from __future__ import annotations

import json
from os import PathLike

from dongfeng.benchmark.report import FORMAT, BenchReport
from dongfeng.errors import DeviceError
from dongfeng.support.files import write_whole
from dongfeng.support.json_dataclass import read_as
from dongfeng.support.json_layout import json_text
from dongfeng.support.strict_json import JsonFormat

_ADVICE = "give a file that df-bench -o has written"
_JSON = JsonFormat(DeviceError, _ADVICE, max_bytes=256 << 20)


def write_report(report: BenchReport, path: str | PathLike[str]) -> None:
    """Write a report, whole or not at all.

    Raises:
        OSError: the folder is missing or cannot be written.
        ValueError: a number is NaN or infinite.
    """
    write_whole(path, json_text(report.to_json()) + "\n")


def read_report(path: str | PathLike[str]) -> BenchReport:
    """Read a report.

    Raises:
        DeviceError: the file cannot be read or is no report; the message names the place.
    """
    try:
        node = _JSON.read(path)
    except FileNotFoundError as error:
        raise DeviceError(f"{path}: {error.strerror}; {_ADVICE}") from error
    found = node.value.get("format") if isinstance(node.value, dict) else None
    if found != FORMAT:
        what = "no report of df-bench" if found is None else f"format {json.dumps(found)[:60]}"
        node.fail(f'{what}; expected "{FORMAT}"')
    report = read_as(BenchReport, node)
    seen = set()
    for row in report.rows:
        if row.key in seen:
            node.fail(f"holds {row} twice")
        seen.add(row.key)
    return report
