"""What pruning promises, on spaces small enough to know everything."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dongfeng.search import Encoding, Search, Space, frontier, precedes, search
from dongfeng.search.candidates import candidates

LARGEST_MS = 1e9


class World:
    """A space with its order as a matrix, in which accuracies and latencies are drawn."""

    def __init__(self, *stages: tuple[tuple[int, ...], tuple[int, int]]) -> None:
        widths, depths = zip(*stages, strict=True)
        self.space = Space(widths, depths, lambda encoding: pytest.fail("never built"))
        found = candidates(self.space, lambda encoding: 1.0, (0, 2))
        self.encodings = [found.encoding(number) for number in range(len(found))]
        self.number = {encoding: number for number, encoding in enumerate(self.encodings)}
        self.le = np.array([[precedes(x, y) for y in self.encodings] for x in self.encodings])

    def growing(self, rng: np.random.Generator, levels: int) -> np.ndarray:
        """Accuracies that obey the order: the greatest of random numbers at or below each encoding; many ties."""
        drawn = rng.integers(0, levels, len(self.encodings)).astype(float)
        if rng.random() < 0.5:  # few high ones, so that not everything above is as good
            drawn[rng.random(len(drawn)) < 0.8] = 0
        return np.where(self.le, drawn[:, None], -1).max(axis=0) + rng.integers(0, 2) * self.le.sum(axis=0) / 10

    def latencies(self, rng: np.random.Generator) -> np.ndarray:
        """Any latencies, whole numbers with ties or not: the order does not matter for them."""
        size = len(self.encodings)
        return rng.integers(1, 9, size).astype(float) if rng.random() < 0.5 else rng.uniform(1, 9, size)

    def table(self, values: np.ndarray) -> Callable[[Encoding], float]:
        return lambda encoding: float(values[self.number[encoding]])


WORLDS = (
    World(((1, 2, 3), (1, 3)), ((1, 2, 3), (1, 2))),
    World(((1, 2), (1, 2)), ((1, 2), (1, 2)), ((1, 2), (1, 3))),
    World(((1, 2, 4, 8), (1, 3))),
    World(((1, 2, 3, 4), (1, 1)), ((2, 3, 4, 5), (1, 1)), ((2, 5), (1, 1))),  # a decoder
)


def points(ms: np.ndarray, accuracy: np.ndarray, chosen: np.ndarray) -> list[tuple[float, float]]:
    return [(float(ms[i]), float(accuracy[i])) for i in chosen]


def true_frontier(ms: np.ndarray, accuracy: np.ndarray) -> list[tuple[float, float]]:
    """By its definition: the points that no other dominates."""
    pairs = sorted(set(zip(ms.tolist(), accuracy.tolist(), strict=True)))
    return [(m, a) for m, a in pairs if not any((n <= m and b >= a) and (n, b) != (m, a) for n, b in pairs)]


def run_and_check(
    world: World, rng: np.random.Generator, levels: int, sampler: str, batch: int, **window: float
) -> int:
    accuracy, ms = world.growing(rng, levels), world.latencies(rng)
    least, most = window.get("least", 0), window.get("most", LARGEST_MS)
    inside = np.flatnonzero((ms >= least) & (ms <= most))
    if not len(inside):
        return 0
    found = search(
        world.space,
        latency=world.table(ms),
        evaluate=world.table(accuracy),
        window_ms=(least, most),
        seed=int(rng.integers(1000)),
        batch=batch,
        sampler=sampler,
    )
    front = [(c.latency_ms, c.accuracy) for c in found.front]
    assert front == true_frontier(ms[inside], accuracy[inside])
    assert found.remaining == 0
    assert len(found.evaluated) + found.pruned == len(inside)
    evaluated = np.array([world.number[c.encoding] for c in found.evaluated])
    assert len(set(evaluated)) == len(evaluated)
    pruned = np.setdiff1d(inside, evaluated)  # none of them would have added a point to the frontier
    beaten = (ms[evaluated][:, None] <= ms[pruned]) & (accuracy[evaluated][:, None] >= accuracy[pruned])
    assert beaten.any(axis=0).all()
    return found.pruned


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("batch", [1, 4])
def test_uniform_search_to_the_end_finds_the_true_frontier(world: World, batch: int) -> None:
    rng = np.random.default_rng(batch)
    pruned = [run_and_check(world, rng, int(rng.integers(2, 40)), "uniform", batch) for _ in range(500)]
    assert np.mean(pruned) > 0.1 * len(world.encodings)


@pytest.mark.parametrize("batch", [1, 5])
def test_so_does_the_surrogate(batch: int) -> None:
    rng = np.random.default_rng(batch)
    for world in WORLDS:
        for _ in range(5):
            run_and_check(world, rng, int(rng.integers(2, 40)), "surrogate", batch)


def test_so_does_a_sampler_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    for _ in range(100):
        run_and_check(WORLDS[0], rng, 20, lambda left, known, count, rng: np.arange(count), 2)  # type: ignore[arg-type]


def test_the_frontier_is_that_of_the_window() -> None:
    rng = np.random.default_rng(4)
    for _ in range(200):
        run_and_check(WORLDS[0], rng, 20, "uniform", 1, least=3.0, most=6.0)


@pytest.mark.parametrize("margin_over_bound", [0.0, 0.5, 1.0])
def test_noise_and_broken_order_cost_no_more_than_stated(margin_over_bound: float) -> None:
    rng = np.random.default_rng(5)
    noise, violation = 1.5, 1.0  # e and d
    margin = margin_over_bound * (2 * noise + violation)
    losses, pruned = [], 0
    for _ in range(400):
        world = WORLDS[int(rng.integers(len(WORLDS)))]
        ms = world.latencies(rng)
        true = world.growing(rng, 12) + rng.choice([0, violation], len(ms))
        measured = true + rng.choice([-noise, 0, noise], len(ms))
        found = search(
            world.space,
            latency=world.table(ms),
            evaluate=world.table(measured),
            window_ms=(0, LARGEST_MS),
            seed=int(rng.integers(1000)),
            margin=margin,
        )
        pruned += found.pruned
        evaluated = np.array([world.number[c.encoding] for c in found.evaluated])
        front = np.array([world.number[c.encoding] for c in found.front])
        for kept, extra in ((evaluated, 0.0), (front, 2 * noise)):
            best = np.where(ms[kept][:, None] <= ms, true[kept][:, None], -np.inf).max(axis=0)
            loss = float((true - best).max())
            assert loss <= max(0.0, 2 * noise + violation - margin) + extra + 1e-12
            losses.append(loss if kept is evaluated else 0.0)
    assert pruned > 0
    assert (max(losses) > 0) == (margin_over_bound < 1)  # the bound is not idle: without the margin something is lost


def test_what_failed_tells_nothing() -> None:
    world = WORLDS[0]
    rng = np.random.default_rng(6)
    for _ in range(50):
        ms, accuracy = world.latencies(rng), world.growing(rng, 20)
        failed = rng.random(len(ms)) < 0.3
        seen = np.where(failed, rng.choice([np.nan, np.inf, -np.inf]), accuracy)
        found = search(
            world.space,
            latency=world.table(ms),
            evaluate=world.table(seen),
            window_ms=(0, LARGEST_MS),
            sampler="uniform",
        )
        told = [c for c in found.evaluated if not np.isnan(c.accuracy)]
        assert [c for c in found.evaluated if failed[world.number[c.encoding]]] == [
            c for c in found.evaluated if c not in told
        ]
        # The frontier of those that work: pruned ones among them are beaten by others that work.
        works = np.flatnonzero(~failed)
        assert [(c.latency_ms, c.accuracy) for c in found.front] == true_frontier(ms[works], accuracy[works])


def test_only_predecessors_are_pruned() -> None:
    world = World(((1, 2, 3), (1, 2)))
    ms = {((1,),): 3.0, ((2,),): 4.0, ((3,),): 5.0, ((1, 1),): 4.0, ((1, 2),): 4.5}
    latency = lambda encoding: ms.get(encoding, 6.0)  # noqa: E731
    run = Search(
        world.space, latency=latency, window_ms=(0, 10), sampler=lambda left, known, count, rng: np.array([at(left)])
    )
    order = iter([((1, 2),), ((1, 1),)])

    def at(left: object) -> int:
        wanted = next(order)
        return [run.candidates.encoding(n) for n in left.numbers].index(wanted)  # type: ignore[attr-defined]

    assert run.ask() == [((1, 2),)]
    run.tell(((1, 2),), 50.0)
    assert run.result().pruned == 0  # its predecessors are all faster than it
    assert run.ask() == [((1, 1),)]
    run.tell(((1, 1),), 50.0)
    # (1, 1) at 4 ms is as good as (1, 2): of what precedes (1, 2), only (2,) is no faster than 4 ms. (1,) stays.
    assert run.result().pruned == 1


def test_frontier_against_its_definition() -> None:
    rng = np.random.default_rng(7)
    for _ in range(300):
        ms, accuracy = rng.integers(1, 8, 12).astype(float), rng.integers(1, 8, 12).astype(float)
        assert points(ms, accuracy, frontier(ms, accuracy)) == true_frontier(ms, accuracy)
