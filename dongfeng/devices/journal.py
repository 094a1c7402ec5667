"""Measurements as JSON lines, each on the disk before the next is taken: nothing is measured twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from dongfeng.errors import DeviceError
from dongfeng.support import jsonl
from dongfeng.support.strict_json import JsonFormat, Node

FORMAT = "dongfeng.measurements/1"
BUSY = 1.1  # times a quiet yardstick: from here on the machine is doing something else
_JSON = JsonFormat(DeviceError, "give another file, or delete the line")


class Sample(NamedTuple):
    """A measurement: milliseconds, and those of the yardstick, a net that is always the same, in the same rounds."""

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
            jsonl.append(self._path, header)

    def has(self, key: str, round_: int) -> bool:
        """Tell whether a measurement was taken already."""
        return (key, round_) in self._samples

    def add(self, key: str, round_: int, sample: Sample) -> None:
        """Keep a measurement."""
        self._samples[key, round_] = sample
        jsonl.append(self._path, {"key": key, "round": round_, **sample._asdict()})

    @property
    def usual_yardstick_ms(self) -> float:
        """Lower quartile of all samples' yardsticks; 1 where there are none."""
        yardsticks = sorted(sample.yardstick_ms for sample in self._samples.values())
        return yardsticks[len(yardsticks) // 4] if yardsticks else 1.0

    def usual_ms(self, key: str) -> list[float]:
        """Milliseconds of a key's samples, scaled to a yardstick at its lower quartile.

        Other work slows the yardstick much as it slows what is measured beside it, but not quite. So samples from busy
        times count only where a key has no others, and then the quietest alone.
        """
        usual = self.usual_yardstick_ms
        of_key = [sample for (found, _), sample in sorted(self._samples.items()) if found == key]
        quiet = [sample for sample in of_key if sample.yardstick_ms <= BUSY * usual]
        quiet = quiet or sorted(of_key, key=lambda sample: sample.yardstick_ms)[:1]
        return [sample.ms * usual / sample.yardstick_ms for sample in quiet]

    def _read(self, header: Mapping[str, Any]) -> None:
        first, *rest = jsonl.read(self._path, _JSON) or [Node({}, str(self._path), _JSON)]
        found = {key: node.value for key, node in first.members().items()}
        if found.get("format") != FORMAT:
            raise DeviceError(f"{self._path}: not a journal of measurements; give another file")
        for key, value in header.items():
            if found.get(key) != value:
                was, now = json.dumps(found.get(key)), json.dumps(value)
                raise DeviceError(f"{self._path}: measured with {key} {was}, not {now}; give another file")
        for line in rest:
            key, round_, sample = _measurement(line)
            self._samples[key, round_] = sample
        jsonl.cut_torn_line(self._path)


def _measurement(line: Node) -> tuple[str, int, Sample]:
    """Read key, round and sample of a line."""
    try:
        fields = line.fields(("key", "round", "ms", "yardstick_ms"))
        sample = Sample(fields["ms"].milliseconds(), fields["yardstick_ms"].milliseconds())
        if not sample.yardstick_ms:
            line.fail("no time")
        return fields["key"].text(), fields["round"].count(), sample
    except DeviceError as error:
        raise DeviceError(f"{line.path} not a measurement; delete the line") from error
