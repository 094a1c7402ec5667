"""Evaluators, which give architectures their accuracies, and the outcome of one evaluation."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from dongfeng.errors import SearchError
from dongfeng.search.encoding_text import encoding_text
from dongfeng.search.space import Encoding

T = TypeVar("T")
Evaluate = Callable[[Encoding], float]


@dataclass(frozen=True)
class Outcome:
    """Outcome of one evaluation.

    Attributes:
        accuracy: NaN where the evaluation failed.
        seconds: Duration of the evaluation.
        worker: Host and process that evaluated.
    """

    accuracy: float
    seconds: float
    worker: str


@runtime_checkable
class Evaluator(Protocol):
    """Evaluates architectures, perhaps several at once."""

    def evaluate(self, encodings: Sequence[Encoding]) -> Iterable[float]:
        """Yield the accuracy of each encoding, in order; NaN for an evaluation that failed."""
        ...


@runtime_checkable
class OutcomeEvaluator(Protocol):
    """Evaluates architectures in parallel, and hands over each outcome as soon as it is known."""

    def outcomes(self, encodings: Sequence[Encoding]) -> Iterator[tuple[int, Outcome]]:
        """Yield the position in `encodings` and the outcome of each evaluation, in the order in which they end."""
        ...


AnyEvaluator = Evaluate | Evaluator | OutcomeEvaluator


def outcomes(evaluate: AnyEvaluator, encodings: Sequence[Encoding]) -> Iterator[tuple[int, Outcome]]:
    """Yield the position and outcome of each encoding, in the order in which the evaluations end.

    Args:
        evaluate: An `OutcomeEvaluator`; an `Evaluator`, which yields accuracies in order; or a callable of an encoding,
            which is called here, one encoding after the other.
        encodings: Encodings to evaluate.

    Raises:
        SearchError: an accuracy is not a number.
    """
    if isinstance(evaluate, OutcomeEvaluator):
        yield from evaluate.outcomes(encodings)
    elif isinstance(evaluate, Evaluator):
        since = time.perf_counter()
        for index, accuracy in enumerate(evaluate.evaluate(encodings)):
            now = time.perf_counter()
            yield index, Outcome(accuracy_number(accuracy, encodings[index]), now - since, worker_name())
            since = now
    else:
        for index, encoding in enumerate(encodings):
            yield index, evaluated(evaluate, encoding)


def in_order(found: Iterable[tuple[int, T]]) -> Iterator[T]:
    """Yield numbered values in the order of their numbers 0, 1, ..., each as soon as those before it are there.

    Example:
        >>> list(in_order([(1, "b"), (0, "a"), (2, "c")]))
        ['a', 'b', 'c']
    """
    waiting: dict[int, T] = {}
    following = 0
    for index, value in found:
        waiting[index] = value
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def evaluated(evaluate: Evaluate, encoding: Encoding) -> Outcome:
    """Evaluate one encoding in this process.

    Raises:
        SearchError: the accuracy is not a number.
    """
    begin = time.perf_counter()
    accuracy = accuracy_number(evaluate(encoding), encoding)
    return Outcome(accuracy, time.perf_counter() - begin, worker_name())


def candidate_seed(seed: int, encoding: Encoding) -> int:
    """Return the seed of a candidate, 31 bits: a function of the run's seed and the encoding alone.

    Example:
        >>> candidate_seed(0, ((64,), (128,), (256,))) == candidate_seed(0, ((64,), (128,), (512,)))
        False
    """
    digest = hashlib.sha256(f"{seed} {encoding_text(encoding)}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def seed_of(evaluate: object, encoding: Encoding) -> int | None:
    """Return the seed that an evaluator uses for a candidate; None for an evaluator without a method `seed_of`."""
    own = getattr(evaluate, "seed_of", None)
    return own(encoding) if callable(own) else None


def worker_name() -> str:
    """Return the host's name and the process's id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def accuracy_number(accuracy: object, encoding: Encoding) -> float:
    """Return an accuracy as a float.

    Raises:
        SearchError: it is not a number.
    """
    try:
        return float(accuracy)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        text = encoding_text(encoding)
        raise SearchError(f"accuracy of {text}: expected a number, got {accuracy!r}") from None
