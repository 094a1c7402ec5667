"""Evaluation by processes of this machine."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from dongfeng.errors import SearchError
from dongfeng.search.describe import describe
from dongfeng.search.outcome import Evaluate, Outcome, evaluated, in_order
from dongfeng.search.space import Encoding


class ProcessEvaluator:
    """Evaluates candidates in worker processes, several at once.

    Accuracies are told in the order asked, so that a search does not depend on who is done first. What a process was
    at when it was killed is evaluated again by another. Processes end with their parent, however that ends.

    A script that uses it needs `if __name__ == "__main__":`, as the workers import it.

    Args:
        evaluate: Accuracy of an encoding; must be picklable, so a function has to be at the top of a module.
        workers: Number of processes; `batch` of the search should be at least as large.
        retries: How often in a row workers may be lost before anything is done.

    Raises:
        SearchError: `evaluate` cannot be pickled.
    """

    def __init__(self, evaluate: Evaluate, workers: int, *, retries: int = 3) -> None:
        if workers < 1:
            raise SearchError(f"workers: expected a whole number of at least 1, got {workers}")
        self._evaluate, self._workers, self._retries = evaluate, workers, retries
        try:
            pickle.dumps(evaluate)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise SearchError(
                f"evaluate cannot be sent to another process ({error}); define it at the top of a module"
            ) from error
        self._pool: ProcessPoolExecutor | None = None
        self._lifeline: Connection | None = None

    def evaluate(self, encodings: Sequence[Encoding]) -> Iterator[float]:
        """Accuracy of each, in order."""
        return in_order(self.outcomes(encodings))

    def outcomes(self, encodings: Sequence[Encoding]) -> Iterator[tuple[int, Outcome]]:
        """Position and outcome of each, as they become known.

        Raises:
            SearchError: workers die again and again; what the evaluator raises comes through.
        """
        waiting = dict(enumerate(encodings))
        lost = 0
        try:
            while waiting:
                before = len(waiting)
                for index, outcome in self._attempt(waiting):
                    del waiting[index]
                    yield index, outcome
                if waiting:
                    self.close()
                    lost = lost + 1 if len(waiting) == before else 0
                    if lost > self._retries:
                        raise SearchError(
                            f"worker processes died {lost} times in a row before one had finished a candidate; "
                            "is memory too small for so many, or does the script lack if __name__ == '__main__'?"
                        )
        except BaseException:  # Ctrl-C, or an error of the evaluator or of who takes the outcomes
            self.close()
            raise

    def _attempt(self, waiting: dict[int, Encoding]) -> Iterator[tuple[int, Outcome]]:
        """Outcomes until all are there or the pool has broken."""
        futures: dict[Future[Outcome], int] = {}
        try:
            for index, encoding in list(waiting.items()):
                futures[self._started().submit(_evaluated, encoding)] = index
        except BrokenProcessPool:
            pass  # what was submitted before may be done
        for future in as_completed(futures):
            if not isinstance(future.exception(), BrokenProcessPool):
                yield futures[future], future.result()

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = get_context("spawn")
            theirs, self._lifeline = context.Pipe(duplex=False)
            self._pool = ProcessPoolExecutor(self._workers, context, _begin, (theirs, self._evaluate))
        return self._pool

    def close(self) -> None:
        """End the processes, at once."""
        if self._lifeline is not None:
            self._lifeline.close()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._lifeline = None

    def describe(self) -> dict[str, Any]:
        """What decides the accuracies: how many evaluate does not."""
        return describe(self._evaluate)

    def seed_of(self, encoding: Encoding) -> int | None:
        """The seed of a candidate, where there is one."""
        return seed_of(self._evaluate, encoding)

    def __enter__(self) -> ProcessEvaluator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def seed_of(evaluate: object, encoding: Encoding) -> int | None:
    """The seed that an evaluator has for a candidate; None where it says nothing of seeds."""
    own = getattr(evaluate, "seed_of", None)
    return own(encoding) if callable(own) else None


_worker: dict[str, Evaluate] = {}  # of a worker process: what it evaluates with


def _begin(lifeline: Connection, evaluate: Evaluate) -> None:
    """Make this process a worker: Ctrl-C is the parent's to handle, and its end is this one's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    _worker["evaluate"] = evaluate


def _end_with(lifeline: Connection) -> None:
    try:
        lifeline.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)


def _evaluated(encoding: Encoding) -> Outcome:
    return evaluated(_worker["evaluate"], encoding)
