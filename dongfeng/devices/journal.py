"""Measurements as JSON lines, each on the disk before the next is taken: what was measured is never measured again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from dongfeng.errors import DeviceError

FORMAT = "dongfeng.measurements/1"
BUSY = 1.1  # times a quiet yardstick: from here on the machine is doing something else
_LONGEST_MS = 1e9


class Sample(NamedTuple):
    """A measurement: milliseconds, and those of the yardstick, a net that is always the same, in the same turns."""

    ms: float
    yardstick_ms: float


class Journal:
    """A file of measurements: key -> one sample per round.

    The first line says what was measured on; a file of anything else is refused. A last line that a killed process
    left unfinished is cut off.
    """

    def __init__(self, path: str | PathLike[str], about: Mapping[str, Any]) -> None:
        """Open a file, or begin one.

        Raises:
            DeviceError: it is no journal, or one of another machine, backend or setting.
            OSError: it cannot be read or written.
        """
        self._path = Path(path)
        self._samples: dict[tuple[str, int], Sample] = {}
        header = {"format": FORMAT, **about}
        if self._path.exists() and self._path.stat().st_size:
            self._read(header)
        else:
            self._append(header)

    def has(self, key: str, round_: int) -> bool:
        """Whether it was measured already."""
        return (key, round_) in self._samples

    def add(self, key: str, round_: int, sample: Sample) -> None:
        """Keep a measurement."""
        self._samples[key, round_] = sample
        self._append({"key": key, "round": round_, **sample._asdict()})

    @property
    def usual_yardstick_ms(self) -> float:
        """Lower quartile of all samples' yardsticks; 1 where there are none."""
        yardsticks = sorted(sample.yardstick_ms for sample in self._samples.values())
        return yardsticks[len(yardsticks) // 4] if yardsticks else 1.0

    def usual_ms(self, key: str) -> list[float]:
        """Milliseconds of a key's samples as they would be were the yardstick always at its lower quartile.

        What else a machine does slows the yardstick much as it slows what is measured beside it, but not quite: so
        samples from busy times count only where a key has no others, and then the quietest alone.
        """
        usual = self.usual_yardstick_ms
        of_key = [sample for (found, _), sample in sorted(self._samples.items()) if found == key]
        quiet = [sample for sample in of_key if sample.yardstick_ms <= BUSY * usual]
        quiet = quiet or sorted(of_key, key=lambda sample: sample.yardstick_ms)[:1]
        return [sample.ms * usual / sample.yardstick_ms for sample in quiet]

    def _append(self, row: Mapping[str, Any]) -> None:
        with self._path.open("ab") as file:
            file.write(json.dumps(row).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _read(self, header: Mapping[str, Any]) -> None:
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        rows = [self._row(number, line) for number, line in enumerate(whole.splitlines(), 1)]
        if not rows or rows[0].get("format") != FORMAT:
            raise DeviceError(f"{self._path}: not a journal of measurements; give another file")
        for key, value in header.items():
            if rows[0].get(key) != value:
                was = json.dumps(rows[0].get(key))
                raise DeviceError(
                    f"{self._path}: measured with {key} {was}, not {json.dumps(value)}; give another file"
                )
        for number, row in enumerate(rows[1:], 2):
            entry, sample = _entry(row, f"{self._path}:{number}")
            self._samples[entry] = sample
        if len(whole) < len(content):
            with self._path.open("rb+") as file:
                file.truncate(len(whole))

    def _row(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DeviceError(f"{self._path}:{number}: not JSON; give another file, or delete the line") from error
        if not isinstance(row, dict):
            raise DeviceError(f"{self._path}:{number}: expected an object; give another file, or delete the line")
        return row


def _entry(row: Mapping[str, Any], where: str) -> tuple[tuple[str, int], Sample]:
    """Key and round of a measurement, and its sample."""
    key, round_ = row.get("key"), row.get("round")
    ms, yardstick_ms = (row.get(name) for name in Sample._fields)
    if not (
        isinstance(key, str) and isinstance(round_, int) and is_time(ms) and is_time(yardstick_ms) and yardstick_ms
    ):
        raise DeviceError(f"{where}: not a measurement; delete the line")
    return (key, round_), Sample(float(ms), float(yardstick_ms))


def is_time(value: object) -> TypeGuard[float]:
    """Whether a value of a JSON file can be milliseconds."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _LONGEST_MS
