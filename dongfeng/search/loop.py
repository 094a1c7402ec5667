"""`search` and `run_search`: draw a batch, evaluate it, account for it in the order drawn; with or without a folder."""

from __future__ import annotations

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
from dongfeng.search.space import Space


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
    done, budget = 0, len(run.candidates) if config.budget is None else config.budget
    while done < budget and (drawn := run.ask(config.batch)[: budget - done]):
        found = outcomes(config.evaluate, drawn) if log is None else log.outcomes(run, drawn)
        for index, outcome in enumerate(in_order(found)):
            candidate = run.tell(drawn[index], outcome.accuracy)
            result = run.result()
            progress = PruningProgress(len(result.evaluated), result.pruned, result.remaining)
            if log is not None:
                log.account(progress, result)
            if listener is not None:
                is_recalled = log is not None and progress.evaluated in log.recalled
                listener.evaluated(EvaluationEvent(candidate, outcome, progress, is_recalled))
        done += len(drawn)
    return run.result()
