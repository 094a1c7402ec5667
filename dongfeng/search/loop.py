"""`search` and `run_search`: draw a batch, evaluate it, account for it in the order drawn; with or without a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from typing import NamedTuple, Protocol

from dongfeng.search.algorithm import Search
from dongfeng.search.config import SearchConfig
from dongfeng.search.folder import SearchFolder
from dongfeng.search.latency import LatencySource
from dongfeng.search.log import EvaluationLog
from dongfeng.search.outcome import AnyEvaluator, Outcome, in_order, outcomes
from dongfeng.search.records import PruningProgress
from dongfeng.search.result import Candidate, Result
from dongfeng.search.samplers import Sampler
from dongfeng.search.space import Encoding, Space


class EvaluationEvent(NamedTuple):
    """A candidate that has just been accounted for.

    Attributes:
        candidate: The candidate.
        outcome: The outcome of its evaluation.
        progress: Counts of candidates after it.
        is_recalled: Whether the outcome is from the log of a run.
    """

    candidate: Candidate
    outcome: Outcome
    progress: PruningProgress
    is_recalled: bool


class SearchListener(Protocol):
    """Follows a search."""

    def begun(self, candidates: int) -> None:
        """Hear that a search begins, and the number of candidates inside its window."""
        ...

    def evaluated(self, event: EvaluationEvent) -> None:
        """Hear of a candidate, in the order drawn."""
        ...


def search(
    space: Space,
    *,
    latency: LatencySource,
    evaluate: AnyEvaluator,
    window_ms: tuple[float, float],
    budget: int | None = None,
    seed: int = 0,
    batch: int = 1,
    margin: float = 0.0,
    sampler: str | Sampler = "uniform",
    run_dir: str | PathLike[str] | None = None,
) -> Result:
    """Search the best trade-offs of accuracy and latency by Partial Order Pruning.

    This is `run_search` with the settings given one by one; `SearchConfig` describes them.

    Example:
        >>> space = Space.backbone(widths=(64, 128), depths=((1, 2), (1, 3), (1, 2)))
        >>> blocks = lambda encoding: float(sum(map(sum, encoding)))
        >>> found = search(space, latency="tx2", evaluate=blocks, window_ms=(0, 2), budget=20)
        >>> len(found.evaluated), len(found.evaluated) + found.pruned + found.remaining <= len(space)
        (20, True)
    """
    config = SearchConfig(
        space=space,
        latency=latency,
        evaluate=evaluate,
        window_ms=window_ms,
        budget=budget,
        seed=seed,
        batch=batch,
        margin=margin,
        sampler=sampler,
    )
    return run_search(config, run_dir)


def run_search(
    config: SearchConfig, run_dir: str | PathLike[str] | None = None, listener: SearchListener | None = None
) -> Result:
    """Search until nothing is left or the budget is spent.

    Args:
        config: The settings.
        run_dir: Folder of the run, which keeps every evaluation: a search that was killed, however that was, goes on
            with its next call, and ends as it would have. A larger budget continues one that has ended.
        listener: Follows the search.

    Returns:
        The boundary, all that was evaluated, and how much was pruned.

    Raises:
        SearchError: no architecture is inside the window; or `run_dir` holds another search, or a log that this search
            cannot have written.
        DeviceError: there is no such device.
        OSError: `run_dir` cannot be written.
    """
    run = Search.from_config(config)
    if run_dir is None:
        return _run(run, config, None, listener)
    folder = SearchFolder(run_dir)
    with folder.alone():
        log = EvaluationLog(folder, config)
        try:
            return _run(run, config, log, listener)
        finally:
            log.write_state()


def _run(run: Search, config: SearchConfig, log: EvaluationLog | None, listener: SearchListener | None) -> Result:
    """Evaluate batch by batch.

    Outcomes are logged in the order in which they become known, and accounted for in the order drawn, so a run is
    replayed from its log. Whole batches are drawn, even where the budget ends within one: so a run with a larger
    budget begins with the same candidates.
    """
    if listener is not None:
        listener.begun(len(run.candidates))
    done = 0
    while (config.budget is None or done < config.budget) and (drawn := run.ask(config.batch)):
        drawn = drawn if config.budget is None else drawn[: config.budget - done]
        recalled = log.recall(drawn, done) if log is not None else {}
        for index, outcome in enumerate(in_order(_outcomes(run, config.evaluate, log, drawn, done, recalled))):
            candidate = run.tell(drawn[index], outcome.accuracy)
            result = run.result()
            progress = PruningProgress(len(result.evaluated), result.pruned, result.remaining)
            if log is not None:
                log.account(progress, result)
            if listener is not None:
                listener.evaluated(EvaluationEvent(candidate, outcome, progress, index in recalled))
        done += len(drawn)
    return run.result()


def _outcomes(
    run: Search,
    evaluate: AnyEvaluator,
    log: EvaluationLog | None,
    drawn: Sequence[Encoding],
    before: int,
    recalled: Mapping[int, Outcome],
) -> Iterator[tuple[int, Outcome]]:
    """Yield the recalled outcomes of a batch with their positions, then the others, which are logged."""
    yield from recalled.items()
    missing = [index for index in range(len(drawn)) if index not in recalled]
    if not missing:
        return
    for place, outcome in outcomes(evaluate, [drawn[index] for index in missing]):
        index = missing[place]
        if log is not None:
            log.add(before + index + 1, drawn[index], run.latency_ms(drawn[index]), outcome)
        yield index, outcome
