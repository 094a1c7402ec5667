"""Rows of a run's files: an evaluated candidate, and the state of pruning after it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Annotated, NamedTuple

from dongfeng.errors import SearchError
from dongfeng.search.outcome import Outcome
from dongfeng.search.result import Candidate
from dongfeng.search.space import Encoding
from dongfeng.support.json_dataclass import read_as
from dongfeng.support.strict_json import JsonFormat, Node

LOG_JSON = JsonFormat(SearchError, "delete the line")


class PruningProgress(NamedTuple):
    """Counts of candidates after an evaluation, a row of progress.csv."""

    evaluated: int
    pruned: int
    remaining: int


def _accuracy(node: Node) -> float:
    return math.nan if node.is_null else node.number()


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """An evaluated candidate, a line of candidates.jsonl.

    Attributes:
        number: Place of the candidate in the order of the draws, from 1.
        encoding: Widths of its blocks.
        latency_ms: Predicted latency.
        accuracy: NaN where the evaluation failed; null in the file.
        seconds: Duration of the evaluation.
        seed: The candidate's seed, where its evaluator has one.
        worker: Host and process that evaluated.
        ended: Time at which the evaluation ended, UTC, ISO 8601.
    """

    number: int
    encoding: Encoding
    latency_ms: float
    accuracy: Annotated[float, _accuracy]
    seconds: float
    seed: int | None
    worker: str
    ended: str

    @classmethod
    def from_json(cls, line: Node) -> EvaluationRecord:
        """Read a line of the log.

        Raises:
            SearchError: it is no line of this log; the message names the line.
        """
        if not isinstance(line.value, dict) or line.value.keys() != {field.name for field in fields(cls)}:
            line.fail("is no candidate of a search")
        return read_as(cls, line)

    def to_json(self) -> dict[str, object]:
        """Return the line as a JSON object."""
        accuracy = self.accuracy if math.isfinite(self.accuracy) else None
        return {**asdict(self), "accuracy": accuracy, "seconds": round(self.seconds, 3)}

    @property
    def candidate(self) -> Candidate:
        """The candidate without the circumstances of its evaluation."""
        return Candidate(self.encoding, self.latency_ms, self.accuracy)

    @property
    def outcome(self) -> Outcome:
        """The outcome of the evaluation."""
        return Outcome(self.accuracy, self.seconds, self.worker)
