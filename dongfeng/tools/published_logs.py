"""Published per-layer logs (CSV), read as samples of kernels."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from dongfeng.devices.fusion import Fusion, named_kernels
from dongfeng.devices.kernel import Kernel
from dongfeng.devices.published import timed_net
from dongfeng.errors import DeviceError, DongfengError

_MODELS: Mapping[str, str] = MappingProxyType({"df-lite_seg": "dflite_seg"})  # the zoo's names
_HEADS: Mapping[str, str] = MappingProxyType({"scoreup8": "", "score": "_d8"})
_PRINTED = 40  # characters of a name that TensorRT 3 prints
_PLUGIN = re.compile(r"BiInterpolationPSP1_(\d)")  # the logs' name for psp.pool1.interp and its like


class LogKey(NamedTuple):
    """The run of a log: the zoo's model, and height and width in pixels."""

    model: str
    size_hw: tuple[int, int]


@dataclass(frozen=True)
class PublishedLog:
    """The log of a run: kernels in order with their milliseconds, and the total that the runtime printed."""

    key: LogKey
    samples: tuple[tuple[Kernel, float], ...]
    total_ms: float

    @property
    def layers_ms(self) -> float:
        """Sum of the kernels' times."""
        return sum(ms for _, ms in self.samples)


def read_logs(folder: Path, stem: str, fusion: Fusion) -> list[PublishedLog]:
    """Read the logs of a device.

    Args:
        folder: Folder with STEM_layers.csv and STEM_totals.csv.
        stem: "trt_1080ti" or "caffe_titanx".
        fusion: How the runtime cuts a net into kernels.

    Raises:
        DeviceError: a file is missing or not of this form, or a log is not of the net it says it is of.
    """
    try:
        rows = read_csv(folder / f"{stem}_totals.csv")
        totals = {_key(row): _number(row, "reported_total_ms", "avg_forward_ms") for row in rows}
        lines: dict[LogKey, list[tuple[str, float]]] = {}
        for row in read_csv(folder / f"{stem}_layers.csv"):
            if row["layer"] != "input":
                lines.setdefault(_key(row), []).append((row["layer"], _number(row, "ms", "forward_ms")))
        return [PublishedLog(key, tuple(_matched(key, found, fusion)), totals[key]) for key, found in lines.items()]
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        if isinstance(error, DongfengError):
            raise
        raise DeviceError(f"{folder}: {stem}_*.csv: not the published tables ({error!r}); check the folder") from error


def _matched(key: LogKey, lines: list[tuple[str, float]], fusion: Fusion) -> Iterable[tuple[Kernel, float]]:
    """Pair kernels with the times of their lines; names must agree as far as they were printed."""
    placed = named_kernels(timed_net(*key), fusion)
    if len(placed) != len(lines):
        raise DeviceError(f"log of {key.model}: expected {len(placed)} layers, got {len(lines)}; check the CSV")
    for (name, kernel), (printed, ms) in zip(placed, lines, strict=True):
        if not _is_same(name, printed, fusion):
            raise DeviceError(f'log of {key.model}: expected layer "{name}", got "{printed}"; check the CSV')
        yield kernel, ms


def _is_same(name: str, printed: str, fusion: Fusion) -> bool:
    if fusion == "layers":
        return printed == name or printed.endswith("_split") and name.endswith(" split")
    printed = _PLUGIN.sub(r"psp.pool\1.interp", printed)
    return printed == name[:_PRINTED].rstrip()


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read the rows of a published table.

    Raises:
        DeviceError: the file cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise DeviceError(f"{path}: {error.strerror}; give the folder of the published tables") from error
    except ValueError as error:
        raise DeviceError(f"{path}: not text; give the folder of the published tables") from error


def _key(row: dict[str, str]) -> LogKey:
    model = _MODELS.get(row["model"], row["model"]) + _HEADS[row["variant"]]
    return LogKey(model, (int(row["height"]), int(row["width"])))


def _number(row: dict[str, str], *columns: str) -> float:
    return float(next(row[column] for column in columns if column in row))
