from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from dongfeng.errors import SearchError
from dongfeng.search import Candidate, Encoding, Search, Space, frontier, hypervolume, search
from dongfeng.search.pruning import OpenCandidates
from dongfeng.search.samplers import Known, Sampler

SPACE = Space.backbone(widths=(64, 128, 256), depths=((1, 2), (1, 4), (1, 3)))
WINDOW_MS = (1.0, 3.0)


def accuracy(encoding: Encoding) -> float:
    return 80 - 60 * float(np.prod([sum(width**0.7 for width in stage) for stage in encoding])) ** -0.15


def run(**options: Any) -> Any:
    return search(SPACE, **{"latency": "tx2", "evaluate": accuracy, "window_ms": WINDOW_MS, "budget": 25, **options})


@pytest.mark.parametrize("sampler", ["uniform", "surrogate"])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_search_is_decided_by_its_seed(sampler: str, batch: int) -> None:
    first = run(sampler=sampler, batch=batch, seed=3)
    assert first == run(sampler=sampler, batch=batch, seed=3)
    assert first.evaluated != run(sampler=sampler, batch=batch, seed=4).evaluated
    assert len(first.evaluated) == 25
    assert all(WINDOW_MS[0] <= c.latency_ms <= WINDOW_MS[1] for c in first.evaluated)
    assert all(c.accuracy == accuracy(c.encoding) for c in first.evaluated)


@pytest.mark.parametrize("sampler", ["uniform", "surrogate"])
def test_told_again_a_new_search_comes_to_the_same_state(sampler: str) -> None:
    def fresh() -> Search:
        return Search(SPACE, latency="tx2", window_ms=WINDOW_MS, seed=1, sampler=sampler)

    one = fresh()
    log = []
    for _ in range(6):
        drawn = one.ask(3)
        for encoding in reversed(drawn):  # as they come in
            log.append((encoding, one.tell(encoding, accuracy(encoding)).accuracy))
    other = fresh()
    for start in range(0, len(log), 3):
        assert set(other.ask(3)) == {encoding for encoding, _ in log[start : start + 3]}
        for encoding, value in log[start : start + 3]:
            other.tell(encoding, value)
    assert other.result() == one.result()
    assert other.ask(2) == one.ask(2)


@pytest.mark.parametrize("sampler", ["uniform", "surrogate"])
def test_candidates_that_wait_are_not_drawn_again(sampler: str) -> None:
    ongoing = Search(SPACE, latency="tx2", window_ms=WINDOW_MS, sampler=sampler)
    for encoding in ongoing.ask(8):
        ongoing.tell(encoding, accuracy(encoding))
    waiting = [encoding for _ in range(5) for encoding in ongoing.ask(2)]
    assert len(set(waiting)) == 10
    assert ongoing.result().remaining + ongoing.result().pruned + 8 == len(ongoing.candidates)


@pytest.mark.parametrize("sampler", ["uniform", "surrogate"])
def test_more_is_asked_for_than_there_is(sampler: str) -> None:
    few = Search(SPACE, latency="tx2", window_ms=(1.0, 1.05), sampler=sampler)
    assert 0 < len(few.candidates) < 200
    drawn = few.ask(10_000)
    assert len(set(drawn)) == len(few.candidates)
    assert few.ask() == []
    assert few.ask(0) == []


def test_an_evaluator_gets_whole_batches() -> None:
    class Batches:
        sizes: list[int]

        def evaluate(self, encodings: Sequence[Encoding]) -> Iterator[float]:
            self.sizes.append(len(encodings))
            return map(accuracy, encodings)

    evaluator = Batches()
    evaluator.sizes = []
    assert run(evaluate=evaluator, batch=10).evaluated == run(batch=10).evaluated
    assert evaluator.sizes == [10, 10, 5]


def test_the_surrogate_finds_the_frontier_in_a_fraction_of_the_evaluations() -> None:
    everything = Search(SPACE, latency="tx2", window_ms=WINDOW_MS).candidates
    ms = everything.latency_ms
    truth = np.array([accuracy(everything.encoding(number)) for number in range(len(everything))])
    reference = (WINDOW_MS[1], float(truth.min()))
    whole = hypervolume(ms, truth, reference)

    def share(sampler: str, seed: int, budget: int) -> float:
        found = run(sampler=sampler, seed=seed, budget=budget)
        return hypervolume(*zip(*((c.latency_ms, c.accuracy) for c in found.evaluated), strict=True), reference) / whole

    surrogates = [share("surrogate", seed, 30) for seed in range(3)]
    uniforms = [share("uniform", seed, 60) for seed in range(3)]
    assert min(surrogates) > 0.98
    assert np.median(surrogates) > np.median(uniforms)


def test_the_surrogate_looks_at_the_whole_window_of_a_large_space() -> None:
    space = Space.backbone(depths=((1, 3), (1, 7), (1, 5)))
    seen: list[int] = []

    def counting(left: OpenCandidates, known: Known, count: int, rng: np.random.Generator) -> Any:
        from dongfeng.search.surrogate import surrogate

        seen.append(len(left))
        return surrogate(left, known, count, rng)

    found = search(space, latency="tx2", evaluate=accuracy, window_ms=(2, 7), budget=25, sampler=counting)
    assert seen[0] > 30_000
    latencies = [c.latency_ms for c in found.evaluated]
    assert min(latencies) < 3
    assert max(latencies) > 6


def test_a_surrogate_copes_with_equal_accuracies_and_failures() -> None:
    assert len(run(sampler="surrogate", evaluate=lambda encoding: float("nan")).evaluated) == 25
    assert len(run(sampler="surrogate", evaluate=lambda encoding: 1.0, margin=0.5).evaluated) == 25
    spike = run(sampler="surrogate", evaluate=lambda encoding: float(len(encoding[1]) > 3), margin=2.0)
    assert len(spike.evaluated) == 25


def test_the_front_is_sorted_and_undominated() -> None:
    front = run(budget=60).front
    assert len(front) > 3
    assert all(a.latency_ms < b.latency_ms and a.accuracy < b.accuracy for a, b in zip(front, front[1:], strict=False))
    assert all(isinstance(candidate, Candidate) for candidate in front)
    assert run(evaluate=lambda encoding: float("nan")).front == ()


def test_hypervolume_against_a_count_of_cells() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        ms, found = rng.integers(0, 12, 9), rng.integers(0, 12, 9)
        cells = [(x, y) for x in range(10) for y in range(2, 12) if any((ms <= x) & (found > y))]
        assert hypervolume(ms, found, (10, 2)) == len(cells)
    assert hypervolume([], [], (10, 2)) == 0
    assert frontier([1.0, 2.0], [float("nan"), 1.0]).tolist() == [1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 0}, "budget: expected a whole number of at least 1, got 0"),
        ({"batch": 0}, "batch: expected a whole number"),
        ({"batch": 1.5}, "batch: expected a whole number"),
        ({"batch": None}, "batch: expected a whole number"),
        ({"seed": -1}, "seed: expected"),
        ({"seed": "one"}, "seed: expected"),
        ({"margin": -0.1}, "margin: expected"),
        ({"margin": float("nan")}, "margin: expected"),
        ({"sampler": "best"}, "sampler: expected uniform, surrogate or a callable"),
        ({"window_ms": (3, 2)}, "window_ms: expected"),
        ({"window_ms": 3}, "window_ms: expected"),
        ({"window_ms": (float("nan"), 2)}, "window_ms: expected"),
        ({"window_ms": (100, 200)}, "no architecture of the space takes 100 to 200 ms"),
        ({"evaluate": 3}, "evaluate: expected"),
        ({"evaluate": lambda encoding: None}, "accuracy of .* expected a number"),
    ],
)
def test_wrong_arguments_are_errors_of_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SearchError, match=message) as caught:
        run(**options)
    assert "\n" not in str(caught.value)


def test_only_what_waits_can_be_told() -> None:
    ongoing = Search(SPACE, latency="tx2", window_ms=WINDOW_MS)
    (encoding,) = ongoing.ask()
    ongoing.tell(encoding, 1.0)
    for other in (encoding, ((64,), (64,), (64,)), ((1,),)):
        with pytest.raises(SearchError, match="not waiting"):
            ongoing.tell(other, 1.0)


def test_a_sampler_is_any_callable_of_the_protocol() -> None:
    def slowest(left: OpenCandidates, known: Known, count: int, rng: np.random.Generator) -> Any:
        return np.argsort(-left.latency_ms)[:count]

    sampler: Sampler = slowest
    found = run(sampler=sampler, budget=5, margin=100.0)
    latencies = [candidate.latency_ms for candidate in found.evaluated]
    assert latencies == sorted(latencies, reverse=True)
