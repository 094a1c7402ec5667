"""One evaluation: the accuracy of a candidate, and what it took."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from dongfeng.errors import SearchError
from dongfeng.search.algorithm import Evaluator
from dongfeng.search.encoding_text import encoding_text
from dongfeng.search.space import Encoding

Evaluate = Callable[[Encoding], float]


@dataclass(frozen=True)
class Outcome:
    """What became of a candidate.

    Attributes:
        accuracy: NaN where the evaluation failed.
        seconds: How long it took.
        worker: Host and process that evaluated.
    """

    accuracy: float
    seconds: float
    worker: str


@runtime_checkable
class OutcomeEvaluator(Protocol):
    """Evaluates architectures in parallel, and hands each outcome over as soon as it is there."""

    def outcomes(self, encodings: Sequence[Encoding]) -> Iterator[tuple[int, Outcome]]:
        """Position in `encodings` and outcome, in the order in which they become known."""
        ...


def outcomes(
    evaluate: Evaluate | Evaluator | OutcomeEvaluator, encodings: Sequence[Encoding]
) -> Iterator[tuple[int, Outcome]]:
    """Position and outcome of each encoding, as they become known.

    Args:
        evaluate: An `OutcomeEvaluator`; an `Evaluator`, which tells accuracies in order; or a callable of an encoding,
            which is called here, one after the other.
        encodings: What to evaluate.
    """
    if isinstance(evaluate, OutcomeEvaluator):
        yield from evaluate.outcomes(encodings)
    elif isinstance(evaluate, Evaluator):
        since = time.perf_counter()
        for index, accuracy in enumerate(evaluate.evaluate(encodings)):
            now = time.perf_counter()
            yield index, Outcome(_number(accuracy, encodings[index]), now - since, worker_name())
            since = now
    else:
        for index, encoding in enumerate(encodings):
            yield index, evaluated(evaluate, encoding)


def in_order(found: Iterator[tuple[int, Outcome]]) -> Iterator[float]:
    """Accuracies in the order of the encodings, each as soon as those before it are there."""
    waiting: dict[int, float] = {}
    following = 0
    for index, outcome in found:
        waiting[index] = outcome.accuracy
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def evaluated(evaluate: Evaluate, encoding: Encoding) -> Outcome:
    """Evaluate one encoding.

    Raises:
        SearchError: the accuracy is no number.
    """
    begun = time.perf_counter()
    accuracy = _number(evaluate(encoding), encoding)
    return Outcome(accuracy, time.perf_counter() - begun, worker_name())


def candidate_seed(seed: int, encoding: Encoding) -> int:
    """The seed of a candidate, which is the same whoever evaluates it, and when; 31 bits.

    Example:
        >>> candidate_seed(0, ((64,), (128,), (256,))) == candidate_seed(0, ((64,), (128,), (512,)))
        False
    """
    digest = hashlib.sha256(f"{seed} {encoding_text(encoding)}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def worker_name() -> str:
    """Host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _number(accuracy: object, encoding: Encoding) -> float:
    try:
        return float(accuracy)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        text = encoding_text(encoding)
        raise SearchError(f"accuracy of {text}: expected a number, the evaluator gave {accuracy!r}") from None
