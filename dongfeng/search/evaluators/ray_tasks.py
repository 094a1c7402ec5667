"""Evaluation by the machines of a Ray cluster, or by this one alone (extra `ray`)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dongfeng.errors import BackendUnavailable, SearchError
from dongfeng.search.describe import describe
from dongfeng.search.encoding_text import encoding_text
from dongfeng.search.evaluators.processes import seed_of
from dongfeng.search.outcome import Evaluate, Outcome, evaluated, in_order
from dongfeng.search.space import Encoding


class RayEvaluator:
    """Evaluates each candidate as a Ray task, several at once.

    Accuracies are told in the order asked, so that a search does not depend on who is done first. Where Ray was not
    initialised yet, the cluster that `address` or `RAY_ADDRESS` names or that runs on this machine is joined; where
    there is none, one is started on this machine alone.

    Args:
        evaluate: Accuracy of an encoding. Workers have to be able to import what it uses.
        num_cpus: CPUs that a candidate takes.
        num_gpus: GPUs that a candidate takes; may be a fraction.
        resources: Other resources of the cluster that it takes, name -> amount.
        retries: How often Ray gives a candidate to another worker when one is lost; -1: always.
        address: Of the cluster, as `ray.init` takes it.
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
        self._evaluate, self._address = evaluate, address
        self._options = {
            "num_cpus": num_cpus,
            "num_gpus": num_gpus,
            "resources": dict(resources or {}),
            "max_retries": retries,
        }
        self._sent: Any = None  # the evaluator in Ray's object store

    def evaluate(self, encodings: Sequence[Encoding]) -> Iterator[float]:
        """Accuracy of each, in order."""
        return in_order(self.outcomes(encodings))

    def outcomes(self, encodings: Sequence[Encoding]) -> Iterator[tuple[int, Outcome]]:
        """Position and outcome of each, as they become known.

        Raises:
            BackendUnavailable: Ray is not installed, or the cluster cannot be reached.
            SearchError: a candidate's workers are lost again and again; what the evaluator raises comes through.
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

    def describe(self) -> dict[str, Any]:
        """What decides the accuracies: where they are computed does not."""
        return describe(self._evaluate)

    def seed_of(self, encoding: Encoding) -> int | None:
        """The seed of a candidate, where there is one."""
        return seed_of(self._evaluate, encoding)


def _started(address: str | None) -> Any:
    """Ray, initialised."""
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
            reason = (str(error).splitlines() or [""])[0]
            raise BackendUnavailable(f"ray cannot be started, or its cluster not be reached: {reason}") from error
    return ray


def _outcome(ray: Any, reference: Any, encoding: Encoding) -> Outcome:
    try:
        found: Outcome = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        reason = (str(error).splitlines() or [""])[0]
        raise SearchError(f"{encoding_text(encoding)}: its workers were lost again and again ({reason})") from error
    return found
