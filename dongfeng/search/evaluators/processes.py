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

from dongfeng.errors import SearchError
from dongfeng.search.evaluators.parallel import ParallelEvaluator
from dongfeng.search.outcome import Evaluate, Outcome, evaluated
from dongfeng.search.space import Encoding


class ProcessEvaluator(ParallelEvaluator):
    """Evaluates candidates in worker processes, several at once.

    A candidate whose process was killed is evaluated again by another. Processes end with their parent, however that
    ends.

    A script that uses it needs `if __name__ == "__main__":`, as the workers import it.

    Args:
        evaluate: Callable that returns the accuracy of an encoding; must be picklable, so a function has to be at the
            top of a module.
        workers: Number of processes; `batch` of the search should be at least as large.
        retries: Losses of workers in a row, without one finished candidate between them, after which to go on.

    Raises:
        SearchError: `evaluate` cannot be pickled.
    """

    def __init__(self, evaluate: Evaluate, workers: int, *, retries: int = 3) -> None:
        if workers < 1:
            raise SearchError(f"workers: expected a whole number of at least 1, got {workers}")
        super().__init__(evaluate)
        self._workers, self._retries = workers, retries
        try:
            pickle.dumps(evaluate)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise SearchError(
                f"evaluate cannot be sent to another process ({error}); define it at the top of a module"
            ) from error
        self._pool: ProcessPoolExecutor | None = None
        self._lifeline: Connection | None = None

    def outcomes(self, encodings: Sequence[Encoding]) -> Iterator[tuple[int, Outcome]]:
        """See `OutcomeEvaluator.outcomes`.

        Raises:
            SearchError: workers die again and again; exceptions of the evaluator come through.
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
        except BaseException:  # Ctrl-C, or an error of the evaluator or of the consumer of the outcomes
            self.close()
            raise

    def _attempt(self, waiting: dict[int, Encoding]) -> Iterator[tuple[int, Outcome]]:
        """Yield outcomes until all are there or the pool breaks."""
        futures: dict[Future[Outcome], int] = {}
        try:
            for index, encoding in list(waiting.items()):
                futures[self._started().submit(_evaluated, encoding)] = index
        except BrokenProcessPool:
            pass  # candidates submitted before may be done
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
        """Stop the processes at once."""
        if self._lifeline is not None:
            self._lifeline.close()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._lifeline = None

    def __enter__(self) -> ProcessEvaluator:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


_worker: dict[str, Evaluate] = {}  # the evaluator of this worker process


def _begin(lifeline: Connection, evaluate: Evaluate) -> None:
    """Make this process a worker, which leaves Ctrl-C to its parent and ends with it."""
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
