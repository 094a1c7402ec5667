"""Reports: the JSON object that `df-bench` prints, writes and reads; docs/bench.md describes it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from dongfeng.benchmark.host import host_facts, versions
from dongfeng.errors import DeviceError, UnknownModel
from dongfeng.support.files import replacing
from dongfeng.support.json_layout import json_text

Row = dict[str, Any]
Report = dict[str, Any]

FORMAT = "dongfeng.bench/1"
THIS_MACHINE = "this-machine"
TIMERS = ("network", "with_copies", "image_to_labels")
SUM_OF_LAYERS = "published latency is the sum of per-layer times at batch 1, without copies to and from the device"

ROW_KEYS = (
    *("model", "task", "height", "width", "computed_height", "computed_width", "device", "processor", "precision"),
    *("backend", "published_ms", "published_fps", "published_source", "predicted_ms", "predicted_error_ms"),
    *("looked_up_ms", "interpolated_ms", "modelled_ms", "is_fitted", "measured_ms", "measured_timer"),
    *("measured_source", "accuracy_fraction", "accuracy_metric", "accuracy_split", "weights", "weights_sha256"),
    *("model_sha256", "timers"),
)
LAYER_KEYS = (
    *("model", "height", "width", "device", "backend", "precision", "layer", "operation", "ms", "error_ms"),
    *("share_fraction", "basis"),
)
_MOST_BYTES = 256 << 20


class RowKey(NamedTuple):
    """By what rows of two reports are known to be of the same thing."""

    model: str
    height: int
    width: int
    backend: str
    precision: str

    def __str__(self) -> str:
        return f"{self.model} {self.height}x{self.width} {self.backend} {self.precision}"


def new_report(kind: str, rows: list[Row], **more: Any) -> Report:
    """A report with every key; what is not given is None, or an empty list."""
    report: Report = {
        "format": FORMAT,
        "kind": kind,
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "versions": versions(),
        "host": host_facts(),
        "profile": None,
        "settings": None,
        "noise": None,
        "rows": rows,
        "layers": [],
        "left_out": [],
        "notes": [],
    }
    return report | more


def new_row(**values: Any) -> Row:
    """A row with every key, None where nothing is given; task and accuracy are the zoo's."""
    return dict.fromkeys(ROW_KEYS) | _of_the_zoo(values["model"]) | values


def _of_the_zoo(model: str) -> Row:
    from dongfeng.zoo.models import model_info

    try:
        info = model_info(model)
    except UnknownModel:
        return {"task": "classification"}  # the ResNets
    metric = "top1" if info.task == "classification" else "miou"
    found = info.result(metric, split="val")
    if found is None:
        return {"task": info.task}
    return {"task": info.task, "accuracy_fraction": found.value, "accuracy_metric": metric, "accuracy_split": "val"}


def key_of(row: Mapping[str, Any]) -> RowKey:
    """What a row is of."""
    return RowKey(*(row[name] for name in RowKey._fields))


def samples_ms(row: Mapping[str, Any], timer: str) -> list[float] | None:
    """The raw samples of a row's timer; None where it was not measured."""
    timers = row.get("timers") or {}
    found = timers.get(timer)
    return None if found is None else list(found["samples_ms"])


def write_report(report: Report, path: str | PathLike[str]) -> None:
    """Write a report, whole or not at all.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(json_text(report) + "\n", encoding="utf-8")


def read_report(path: str | PathLike[str]) -> Report:
    """A report from a file; what programs here rely on in it is checked.

    Raises:
        DeviceError: the file cannot be read or is no report; the message names the place.
    """
    path = Path(path)
    try:
        if path.is_file() and path.stat().st_size > _MOST_BYTES:
            raise DeviceError(f"{path}: larger than {_MOST_BYTES >> 20} MiB, so no report of df-bench; check the path")
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DeviceError(f"{path}: {error.strerror}; give a file that df-bench -o has written") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, DeviceError):
            raise
        raise DeviceError(f"{path}: not JSON, or cut short; give a file that df-bench -o has written") from error
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        found = report.get("format") if isinstance(report, dict) else None
        what = f"format {json.dumps(found)[:60]}" if found is not None else "no report of df-bench"
        raise DeviceError(f'{path}: {what}; expected "{FORMAT}", as df-bench -o writes it')
    if not isinstance(report.get("rows"), list):
        raise DeviceError(f"{path}: rows: expected a list; the file is damaged, measure again")
    for index, row in enumerate(report["rows"]):
        _check_row(row, f"{path}: rows[{index}]")
    _refuse_twins(report["rows"], path)
    return report


_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("model", "device", "precision", "backend"), (str,)),
    **dict.fromkeys(("height", "width"), (int,)),
}


def _check_row(row: object, where: str) -> None:
    if not isinstance(row, dict):
        raise _damaged(where, "expected an object")
    for key, types in _TYPES.items():
        if not isinstance(row.get(key), types) or isinstance(row.get(key), bool):
            raise _damaged(f"{where}.{key}", f"expected {types[0].__name__}, got {json.dumps(row.get(key))[:60]}")
    for key in ("published_ms", "predicted_ms", "measured_ms"):
        if row.get(key) is not None and not _is_time(row[key]):
            raise _damaged(f"{where}.{key}", f"expected milliseconds or null, got {json.dumps(row[key])[:60]}")
    timers = row.get("timers")
    if timers is None:
        return
    if not isinstance(timers, dict) or not set(timers) <= set(TIMERS):
        raise _damaged(f"{where}.timers", f"expected an object with {', '.join(TIMERS)}")
    for name, timer in timers.items():
        samples = timer.get("samples_ms") if isinstance(timer, dict) else None
        if timer is not None and (not isinstance(samples, list) or not samples or not all(map(_is_time, samples))):
            raise _damaged(f"{where}.timers.{name}.samples_ms", "expected a list of positive times")


def _is_time(value: object) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value > 0  # type: ignore[arg-type, operator]


def _damaged(where: str, what: str) -> DeviceError:
    return DeviceError(f"{where}: {what}; the file is damaged, measure again")


def _refuse_twins(rows: Iterable[Row], path: Path) -> None:
    seen = set()
    for row in rows:
        key = key_of(row)
        if key in seen:
            raise DeviceError(f"{path}: holds {key} twice; measure again")
        seen.add(key)
