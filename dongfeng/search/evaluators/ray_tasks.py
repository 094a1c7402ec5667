"""Evaluation by the machines of a Ray cluster, or by this one alone (extra `ray`)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dongfeng.errors import BackendUnavailable, SearchError
from dongfeng.search.encoding_text import encoding_text
from dongfeng.search.evaluators.parallel import ParallelEvaluator
from dongfeng.search.outcome import Evaluate, Outcome, evaluated
from dongfeng.search.space import Encoding
from dongfeng.support.exceptions import first_line


class RayEvaluator(ParallelEvaluator):
    """Evaluates each candidate as a Ray task, several at once.

    Where Ray was not initialised yet, the cluster that `address` or `RAY_ADDRESS` names or that runs on this machine is
    joined; where there is none, one is started on this machine alone.

    Args:
        evaluate: Callable that returns the accuracy of an encoding. Workers must be able to import its modules.
        num_cpus: CPUs that a candidate takes.
        num_gpus: GPUs that a candidate takes; may be a fraction.
        resources: Other resources of the cluster that it takes, name -> amount.
        retries: Number of times that Ray gives a candidate to another worker when one is lost; -1: no limit.
        address: Address of the cluster, as `ray.init` takes it.
    """

    def __init__(
        self,
        evaluate: Evaluate,
        *,
        num_cpus: float = 1,
        num_gpus: float = 0,
        resources: Mapping[str, float] | None = None,
        retries: int = 3,
        address: str | None = None,
    ) -> None:
        super().__init__(evaluate)
        self._address = address
        self._options = {
            "num_cpus": num_cpus,
            "num_gpus": num_gpus,
            "resources": dict(resources or {}),
            "max_retries": retries,
        }
        self._sent: Any = None  # the evaluator in Ray's object store

    def outcomes(self, encodings: Sequence[Encoding]) -> Iterator[tuple[int, Outcome]]:
        """See `OutcomeEvaluator.outcomes`.

        Raises:
            BackendUnavailable: Ray is not installed, or the cluster cannot be reached.
            SearchError: a candidate's workers are lost again and again; exceptions of the evaluator come through.
        """
        ray = _started(self._address)
        if self._sent is None:
            self._sent = ray.put(self._evaluate)
        task = ray.remote(evaluated).options(**self._options)
        waiting = {task.remote(self._sent, encoding): index for index, encoding in enumerate(encodings)}
        try:
            while waiting:
                (done, *_), _ = ray.wait(list(waiting))
                index = waiting.pop(done)
                yield index, _outcome(ray, done, encodings[index])
        finally:
            for reference in waiting:
                ray.cancel(reference, force=True)


def _started(address: str | None) -> Any:
    """Return the module `ray`, initialised.

    Raises:
        BackendUnavailable: Ray is not installed, or the cluster cannot be reached.
    """
    try:
        import ray
    except ImportError as error:
        raise BackendUnavailable(
            'evaluation on a cluster needs ray, which is not installed; run: pip install "dongfeng[ray]"'
        ) from error
    if not ray.is_initialized():
        try:
            ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, TimeoutError, ValueError) as error:
            problem = f"ray cannot be started, or its cluster not be reached: {first_line(error)}"
            raise BackendUnavailable(problem) from error
    return ray


def _outcome(ray: Any, reference: Any, encoding: Encoding) -> Outcome:
    try:
        found: Outcome = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        problem = f"its workers were lost again and again ({first_line(error)})"
        raise SearchError(f"{encoding_text(encoding)}: {problem}") from error
    return found
