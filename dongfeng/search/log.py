"""The log of a search as its loop uses it: outcomes that are recalled, outcomes that are kept."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone

from dongfeng.errors import SearchError
from dongfeng.search.algorithm import Search
from dongfeng.search.config import SearchConfig
from dongfeng.search.encoding_text import encoding_text
from dongfeng.search.folder import SearchFolder
from dongfeng.search.outcome import Outcome, outcomes, seed_of
from dongfeng.search.records import EvaluationRecord, PruningProgress
from dongfeng.search.result import Result
from dongfeng.search.space import Encoding
from dongfeng.support import jsonl

_SECONDS_PER_STATE = 1.0  # between two writings of the files that follow from the log


class EvaluationLog:
    """Keeps every outcome in a folder, on the disk before the search goes on.

    Args:
        folder: The folder, which this process holds.
        config: The configuration of the search.

    Attributes:
        recalled: The candidates that were in the log before, by their places in the order of the draws, from 1.

    Raises:
        SearchError: the folder holds another run.
    """

    def __init__(self, folder: SearchFolder, config: SearchConfig) -> None:
        self._folder, self._evaluate = folder, config.evaluate
        self.recalled = {record.number: record for record in folder.open(config)}
        self._progress: list[PruningProgress] = []
        self._result = Result((), 0, 0)
        self._written_s = time.monotonic()

    def outcomes(self, run: Search, drawn: Sequence[Encoding]) -> Iterator[tuple[int, Outcome]]:
        """Yield the position and outcome of each encoding of a batch: those of the log, then the others as they end.

        Raises:
            SearchError: the log has another candidate in one of their places.
        """
        before = len(self._progress)  # candidates of earlier batches, all of them accounted for
        missing = []
        for index, encoding in enumerate(drawn):
            record = self.recalled.get(before + index + 1)
            if record is None:
                missing.append(index)
            elif record.encoding == encoding:
                yield index, record.outcome
            else:
                raise SearchError(
                    f"{self._folder.log_file}: candidate {record.number} is {encoding_text(record.encoding)}, but this "
                    f"search draws {encoding_text(encoding)}: latencies or versions differ; choose another folder"
                )
        if missing:  # otherwise no worker need be started
            for place, outcome in outcomes(self._evaluate, [drawn[index] for index in missing]):
                index = missing[place]
                self._add(before + index + 1, drawn[index], run.latency_ms(drawn[index]), outcome)
                yield index, outcome

    def _add(self, number: int, encoding: Encoding, latency_ms: float, outcome: Outcome) -> None:
        """Put the outcome of the candidate drawn as the `number`-th, from 1, on the disk."""
        record = EvaluationRecord(
            number=number,
            encoding=encoding,
            latency_ms=latency_ms,
            accuracy=outcome.accuracy,
            seconds=outcome.seconds,
            seed=seed_of(self._evaluate, encoding),
            worker=outcome.worker,
            ended=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )
        jsonl.append(self._folder.log_file, record.to_json())

    def account(self, progress: PruningProgress, result: Result) -> None:
        """Keep where the search stands after one more candidate, and write it once a second at most."""
        self._progress.append(progress)
        self._result = result
        if time.monotonic() - self._written_s > _SECONDS_PER_STATE:
            self.write_state()

    def write_state(self) -> None:
        """Write the boundary and the course of pruning."""
        self._folder.write_state(self._result.front, self._progress)
        self._written_s = time.monotonic()
