"""The folder of a run: its configuration, a line for each candidate, its boundary, how pruning went."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from dongfeng.errors import SearchError
from dongfeng.search.config import FORMAT, difference
from dongfeng.search.encoding_text import encoding_text
from dongfeng.search.result import Candidate
from dongfeng.search.space import Encoding
from dongfeng.support.files import alone_in, remove_leftovers, replacing
from dongfeng.support.json_layout import json_text


@dataclass(frozen=True)
class EvaluationRecord:
    """A line of the log.

    Attributes:
        number: Place of the candidate in the order of the draws, from 1.
        encoding: Widths of its blocks.
        latency_ms: Milliseconds, as predicted.
        accuracy: NaN where the evaluation failed; null in the file.
        seconds: How long the evaluation took.
        seed: The candidate's, where its evaluator has one.
        worker: Host and process that evaluated.
        ended: When, UTC.
    """

    number: int
    encoding: Encoding
    latency_ms: float
    accuracy: float
    seconds: float
    seed: int | None
    worker: str
    ended: str

    @property
    def candidate(self) -> Candidate:
        """What a result holds of it."""
        return Candidate(self.encoding, self.latency_ms, self.accuracy)


class PruningProgress(NamedTuple):
    """Where a search stood after a candidate was accounted for."""

    evaluated: int
    pruned: int
    remaining: int


class SearchFolder:
    """Files of one run.

    A line of the log is on the disk before its candidate is accounted for, and all the rest follows from the log and
    the configuration: so a run may be killed at any moment.

    Attributes:
        folder: The folder.
        config_file: `config.json`.
        log_file: `candidates.jsonl`.
        front_file: `front.csv`.
        progress_file: `progress.csv`.
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = Path(folder)
        self.config_file, self.log_file = self.folder / "config.json", self.folder / "candidates.jsonl"
        self.front_file, self.progress_file = self.folder / "front.csv", self.folder / "progress.csv"
        self._held = ExitStack()

    def __enter__(self) -> SearchFolder:
        """Make sure that this process alone writes here."""
        busy = SearchError(f"{self.folder}: another process is at this search; wait for it, or stop it")
        self._held.enter_context(alone_in(self.folder, busy))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def open(self, config: Mapping[str, Any]) -> list[EvaluationRecord]:
        """Begin a run, or go on with it.

        Returns:
            What was evaluated already.

        Raises:
            SearchError: the folder holds another run; the message names the setting.
        """
        if self.config_file.exists():
            other = difference(self.config(), config)
            if other is not None:
                raise SearchError(f"{self.folder}: holds another search: {other}; choose another folder")
        remove_leftovers([self.config_file, self.front_file, self.progress_file])
        with replacing(self.config_file) as temporary:
            temporary.write_text(json_text(config) + "\n", encoding="utf-8")
        self._cut_torn_line()
        return self.records()

    def config(self) -> dict[str, Any]:
        """The configuration.

        Raises:
            SearchError: there is none, or it is damaged.
        """
        try:
            config = json.loads(self.config_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise SearchError(f"{self.folder}: holds no search (there is no {self.config_file.name})") from None
        except (ValueError, NotADirectoryError) as error:
            raise SearchError(f"{self.config_file}: cannot be read as JSON ({error})") from error
        if not isinstance(config, dict) or config.get("format") != FORMAT:
            raise SearchError(f"{self.config_file}: is not the configuration of a search ({FORMAT})")
        return config

    def records(self) -> list[EvaluationRecord]:
        """The lines of the log that are whole.

        Raises:
            SearchError: a line is none of this log; the message names it.
        """
        if not self.log_file.exists():
            return []
        lines = self.log_file.read_bytes().split(b"\n")[:-1]
        return [_record(line, f"{self.log_file}:{number}") for number, line in enumerate(lines, 1)]

    def append(self, record: EvaluationRecord) -> None:
        """Add a line to the log; it is on the disk when this returns."""
        row = {
            "number": record.number,
            "encoding": record.encoding,
            "latency_ms": record.latency_ms,
            "accuracy": record.accuracy if math.isfinite(record.accuracy) else None,
            "seconds": round(record.seconds, 3),
            "seed": record.seed,
            "worker": record.worker,
            "ended": record.ended,
        }
        with self.log_file.open("ab") as file:
            file.write(json.dumps(row).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def write_state(self, front: Sequence[Candidate], progress: Sequence[PruningProgress]) -> None:
        """Write what can be made again from the log: the boundary, and how pruning went."""
        points = [(encoding_text(each.encoding), each.latency_ms, each.accuracy) for each in front]
        _write_csv(self.front_file, ("encoding", "latency_ms", "accuracy"), points)
        _write_csv(self.progress_file, PruningProgress._fields, progress)

    def progress(self) -> list[PruningProgress]:
        """How pruning went, as far as it was written."""
        if not self.progress_file.exists():
            return []
        rows = list(csv.reader(io.StringIO(self.progress_file.read_text(encoding="utf-8"))))
        return [PruningProgress(*map(int, row)) for row in rows[1:]]

    def _cut_torn_line(self) -> None:
        """Cut off a last line that a killed process has left unfinished."""
        if self.log_file.exists():
            content = self.log_file.read_bytes()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                with self.log_file.open("rb+") as file:
                    file.truncate(whole)


def now() -> str:
    """The time as the log has it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _record(line: bytes, where: str) -> EvaluationRecord:
    try:
        row = json.loads(line)
        accuracy = math.nan if row["accuracy"] is None else float(row["accuracy"])
        encoding = tuple(tuple(map(int, widths)) for widths in row["encoding"])
        return EvaluationRecord(**{**row, "encoding": encoding, "accuracy": accuracy})
    except (ValueError, TypeError, KeyError) as error:
        raise SearchError(f"{where}: is no candidate of a search; delete the line ({error})") from error


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
