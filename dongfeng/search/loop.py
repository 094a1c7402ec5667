"""The loop around a search: draw a batch, evaluate it, account for it in the order drawn, with or without a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from typing import NamedTuple

from dongfeng.errors import SearchError
from dongfeng.search.algorithm import Evaluator, Search
from dongfeng.search.describe import Facts
from dongfeng.search.encoding_text import encoding_text
from dongfeng.search.evaluators.processes import seed_of
from dongfeng.search.folder import EvaluationRecord, PruningProgress, SearchFolder, now
from dongfeng.search.outcome import Evaluate, Outcome, outcomes
from dongfeng.search.result import Candidate, Result
from dongfeng.search.space import Encoding

_SECONDS_PER_STATE = 1.0  # between two writings of what the log can make again


class EvaluationEvent(NamedTuple):
    """A candidate that was accounted for, and where the search stands with it.

    Attributes:
        candidate: It.
        outcome: Its evaluation.
        progress: How many are evaluated, pruned and left.
        is_recalled: Whether its evaluation is from a log.
    """

    candidate: Candidate
    outcome: Outcome
    progress: PruningProgress
    is_recalled: bool


OnEvaluation = Callable[[EvaluationEvent], object]


def run_loop(
    run: Search,
    evaluate: Evaluate | Evaluator,
    *,
    budget: int | None,
    batch: int,
    on_evaluation: OnEvaluation | None = None,
    log: Log | None = None,
) -> Result:
    """Search until nothing is left or the budget is spent.

    Whole batches are drawn, even where the budget ends within one: so a run with a larger budget begins with the same
    candidates.
    """
    done = 0
    while (budget is None or done < budget) and (drawn := run.ask(batch)):
        drawn = drawn if budget is None else drawn[: budget - done]
        waiting: dict[int, Outcome] = {}
        following = 0
        recalled = {} if log is None else log.recall(drawn, done)
        for index, outcome in _outcomes(evaluate, drawn, recalled):
            if log is not None and index not in recalled:
                log.add(done + index + 1, drawn[index], run.latency_ms(drawn[index]), outcome)
            waiting[index] = outcome
            while following in waiting:
                outcome = waiting.pop(following)  # noqa: PLW2901
                told = run.tell(drawn[following], outcome.accuracy)
                if on_evaluation is not None:
                    on_evaluation(EvaluationEvent(told, outcome, _progress(run), following in recalled))
                following += 1
        done += len(drawn)
    return run.result()


class Log:
    """The log of a run folder, as the loop uses it."""

    def __init__(self, files: SearchFolder, records: Sequence[EvaluationRecord], evaluate: object) -> None:
        self._files, self._evaluate = files, evaluate
        self._records = {record.number: record for record in records}

    def recall(self, drawn: Sequence[Encoding], before: int) -> Mapping[int, Outcome]:
        """Position and outcome of those of a batch that are in the log.

        Args:
            drawn: The batch.
            before: How many were drawn before it.

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
                    f"{self._files.log_file}: candidate {record.number} is {encoding_text(record.encoding)}, but this "
                    f"search draws {encoding_text(encoding)}: latencies or versions differ; choose another folder"
                )
            found[index] = Outcome(record.accuracy, record.seconds, record.worker)
        return found

    def add(self, number: int, encoding: Encoding, latency_ms: float, outcome: Outcome) -> None:
        """Put an outcome on the disk."""
        seed = seed_of(self._evaluate, encoding)
        self._files.append(
            EvaluationRecord(
                number, encoding, latency_ms, outcome.accuracy, outcome.seconds, seed, outcome.worker, now()
            )
        )


def run_in_folder(
    run: Search,
    evaluate: Evaluate | Evaluator,
    folder: str | PathLike[str],
    config: Facts,
    *,
    budget: int | None,
    batch: int,
    on_evaluation: OnEvaluation | None = None,
) -> Result:
    """Search with a log of every candidate, and go on where the folder's log ends.

    Outcomes are logged as they become known, and the search is told of them in the order drawn. So it is replayed from
    its log: what is in there is not evaluated again, and all else follows.

    Raises:
        SearchError: the folder holds another search, or a log that this search cannot have written.
    """
    with SearchFolder(folder) as files:
        log = Log(files, files.open(config), evaluate)
        progress: list[PruningProgress] = []
        written = time.monotonic()

        def account(told: EvaluationEvent) -> None:
            nonlocal written
            progress.append(told.progress)
            if time.monotonic() - written > _SECONDS_PER_STATE:
                files.write_state(run.result().front, progress)
                written = time.monotonic()
            if on_evaluation is not None:
                on_evaluation(told)

        try:
            return run_loop(run, evaluate, budget=budget, batch=batch, on_evaluation=account, log=log)
        finally:
            files.write_state(run.result().front, progress)


def _outcomes(
    evaluate: Evaluate | Evaluator, drawn: Sequence[Encoding], recalled: Mapping[int, Outcome]
) -> Iterator[tuple[int, Outcome]]:
    """What is recalled, then what is evaluated."""
    yield from recalled.items()
    missing = [index for index in range(len(drawn)) if index not in recalled]
    if missing:
        for place, outcome in outcomes(evaluate, [drawn[index] for index in missing]):
            yield missing[place], outcome


def _progress(run: Search) -> PruningProgress:
    found = run.result()
    return PruningProgress(len(found.evaluated), found.pruned, found.remaining)
