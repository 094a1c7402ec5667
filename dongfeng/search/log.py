"""The log of a search as its loop uses it: outcomes that are recalled, outcomes that are kept."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from dongfeng.errors import SearchError
from dongfeng.search.encoding_text import encoding_text
from dongfeng.search.folder import SearchFolder
from dongfeng.search.outcome import Outcome, seed_of
from dongfeng.search.records import EvaluationRecord, PruningProgress, now
from dongfeng.search.result import Result
from dongfeng.search.space import Encoding

_SECONDS_PER_STATE = 1.0  # between two writings of the files that follow from the log


class Log:
    """Keeps nothing: the log of a search without a folder."""

    def recall(self, drawn: Sequence[Encoding], before: int) -> Mapping[int, Outcome]:
        """Return the outcomes of a batch that are in the log, by their position in it.

        Args:
            drawn: The batch.
            before: Number of candidates drawn before it.
        """
        return {}

    def add(self, number: int, encoding: Encoding, latency_ms: float, outcome: Outcome) -> None:
        """Keep the outcome of the candidate drawn as the `number`-th, from 1."""

    def account(self, progress: PruningProgress, result: Result) -> None:
        """Keep where the search stands after one more candidate is accounted for."""


class FolderLog(Log):
    """Keeps every outcome in a folder, on the disk before the search goes on.

    Args:
        folder: The folder, which this process holds.
        records: The candidates that are in its log.
        evaluate: The evaluator, whose seeds are logged.
    """

    def __init__(self, folder: SearchFolder, records: Sequence[EvaluationRecord], evaluate: object) -> None:
        self._folder, self._evaluate = folder, evaluate
        self._records = {record.number: record for record in records}
        self._progress: list[PruningProgress] = []
        self._result = Result((), 0, 0)
        self._written_s = time.monotonic()

    def recall(self, drawn: Sequence[Encoding], before: int) -> Mapping[int, Outcome]:
        """Return the outcomes of a batch that are in the log, by their position in it.

        Raises:
            SearchError: the log has another candidate in one of these places.
        """
        found = {}
        for index, encoding in enumerate(drawn):
            record = self._records.get(before + index + 1)
            if record is None:
                continue
            if record.encoding != encoding:
                raise SearchError(
                    f"{self._folder.log_file}: candidate {record.number} is {encoding_text(record.encoding)}, but this "
                    f"search draws {encoding_text(encoding)}: latencies or versions differ; choose another folder"
                )
            found[index] = record.outcome
        return found

    def add(self, number: int, encoding: Encoding, latency_ms: float, outcome: Outcome) -> None:
        """Put an outcome on the disk."""
        record = EvaluationRecord(
            number=number,
            encoding=encoding,
            latency_ms=latency_ms,
            accuracy=outcome.accuracy,
            seconds=outcome.seconds,
            seed=seed_of(self._evaluate, encoding),
            worker=outcome.worker,
            ended=now(),
        )
        self._folder.append(record)

    def account(self, progress: PruningProgress, result: Result) -> None:
        """Write the boundary and the course of pruning, once a second at most."""
        self._progress.append(progress)
        self._result = result
        if time.monotonic() - self._written_s > _SECONDS_PER_STATE:
            self.write_state()

    def write_state(self) -> None:
        """Write the boundary and the course of pruning."""
        self._folder.write_state(self._result.front, self._progress)
        self._written_s = time.monotonic()
