"""The folder of a run: its configuration, a line for each candidate, its boundary, the course of pruning."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path

from dongfeng.errors import SearchError
from dongfeng.search.config import FORMAT, SearchConfig
from dongfeng.search.encoding_text import encoding_text
from dongfeng.search.records import LOG_JSON, EvaluationRecord, PruningProgress
from dongfeng.search.result import Candidate
from dongfeng.search.saved_config import CONFIG_JSON, SavedConfig
from dongfeng.support import jsonl
from dongfeng.support.files import alone_in, remove_leftovers, replacing, write_whole
from dongfeng.support.json_layout import json_text


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

    def alone(self) -> AbstractContextManager[None]:
        """Keep other processes from writing here until the block ends.

        Raises:
            SearchError: another process is at this run.
        """
        busy = SearchError(f"{self.folder}: another process is at this search; wait for it, or stop it")
        return alone_in(self.folder, busy)

    def open(self, config: SearchConfig) -> list[EvaluationRecord]:
        """Begin a run, or go on with it.

        Returns:
            The candidates that are evaluated already.

        Raises:
            SearchError: the folder holds another run; the message names the setting.
        """
        if self.config_file.exists():
            difference = self.config().difference(config)
            if difference is not None:
                raise SearchError(f"{self.folder}: holds another search: {difference}; choose another folder")
        remove_leftovers([self.config_file, self.front_file, self.progress_file])
        write_whole(self.config_file, json_text(config.to_json()) + "\n")
        jsonl.cut_torn_line(self.log_file)
        return self.records()

    def config(self) -> SavedConfig:
        """Read the configuration.

        Raises:
            SearchError: there is none, or it is damaged.
        """
        try:
            document = CONFIG_JSON.read(self.config_file)
        except FileNotFoundError:
            raise SearchError(f"{self.folder}: holds no search (there is no {self.config_file.name})") from None
        if not isinstance(document.value, dict) or document.value.get("format") != FORMAT:
            document.fail(f"is not the configuration of a search ({FORMAT})")
        return SavedConfig(document)

    def records(self) -> list[EvaluationRecord]:
        """Read the lines of the log that are whole.

        Raises:
            SearchError: a line is none of this log; the message names it.
        """
        return [EvaluationRecord.from_json(line) for line in jsonl.read(self.log_file, LOG_JSON)]

    def write_state(self, front: Sequence[Candidate], progress: Sequence[PruningProgress]) -> None:
        """Write the files that follow from the log: the boundary and the course of pruning."""
        points = [(encoding_text(each.encoding), each.latency_ms, each.accuracy) for each in front]
        _write_csv(self.front_file, ("encoding", "latency_ms", "accuracy"), points)
        _write_csv(self.progress_file, PruningProgress._fields, progress)

    def progress(self) -> list[PruningProgress]:
        """Read the course of pruning, as far as it is written.

        Raises:
            SearchError: the file is damaged.
        """
        if not self.progress_file.exists():
            return []
        rows = csv.reader(self.progress_file.read_text(encoding="utf-8").splitlines()[1:])
        try:
            return [PruningProgress(*map(int, row)) for row in rows]
        except (ValueError, TypeError):
            raise SearchError(f"{self.progress_file}: expected three counts a line; delete the file") from None


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
