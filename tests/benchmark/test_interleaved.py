"""Warming up and interleaving, by a clock that only the things timed move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, cycle, repeat

import pytest

from dongfeng.benchmark.interleaved import TimingRules, time_interleaved, warm_up


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = self.paused_s = 0.0
        self.runs: list[str] = []

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.paused_s += seconds

    def thing(self, name: str, seconds: Iterator[float]) -> Callable[[], None]:
        """Something that takes so long, run after run."""

        def run() -> None:
            self.runs.append(name)
            self.now += next(seconds)

        return run


RULES = TimingRules(seconds=1.0, least_samples=5, warm_up_s=0.0, warm_up_runs=6, most_warm_up_s=10.0, slice_s=0.1)


def test_it_warms_up_until_times_are_steady() -> None:
    clock = Clock()
    falling = [1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2]
    found = warm_up(clock.thing("a", chain(falling, repeat(0.1))), RULES, clock)
    assert found.is_steady
    assert found.runs == len(falling) + 5  # a median of three is steady once two of them are
    assert found.seconds == pytest.approx(clock.now)


def test_it_warms_up_for_a_time_and_a_number_of_runs_at_least() -> None:
    clock = Clock()
    slow_start = TimingRules(warm_up_s=2.0, warm_up_runs=8, most_warm_up_s=10.0)
    assert warm_up(clock.thing("a", repeat(0.1)), slow_start, clock).seconds == pytest.approx(2.0)
    assert warm_up(clock.thing("a", repeat(0.5)), slow_start, clock).runs == 8


def test_what_never_becomes_steady_is_said_so() -> None:
    clock = Clock()
    growing = (0.1 * 1.05**index for index in range(1000))
    found = warm_up(clock.thing("a", growing), RULES, clock)
    assert not found.is_steady
    assert 10.0 <= found.seconds < 12.0


def test_a_run_longer_than_the_warm_up_ends_it() -> None:
    clock = Clock()
    found = warm_up(clock.thing("a", repeat(30.0)), RULES, clock)
    assert (found.runs, found.is_steady) == (1, False)


def test_slices_alternate_and_drift_falls_on_all_alike() -> None:
    clock = Clock()

    def drifting(base: float) -> Iterator[float]:
        return (base * (1 + 0.02 * clock.now) for _ in repeat(None))

    things = [clock.thing("a", drifting(0.2)), clock.thing("b", drifting(0.1))]
    a, b = time_interleaved(things, RULES, clock=clock, pause=clock.pause)
    timed = clock.runs[a.warm_up.runs + b.warm_up.runs :]
    assert timed[:12] == ["a", "a", "a", "b", "b", "b"] * 2
    assert clock.paused_s == pytest.approx(RULES.pause_s * len(timed) / 3)
    ratio = sum(a.samples_ms[:4]) / sum(b.samples_ms[:4])
    assert ratio == pytest.approx(2, rel=0.03)


def test_the_first_run_of_a_slice_does_not_count() -> None:
    """It finds another's data in the caches."""
    clock = Clock()
    cold_first = cycle([0.05, 0.03, 0.03])  # 0.11 s: a slice
    short, long = time_interleaved(
        [
            clock.thing("short", chain(repeat(0.03, 6), cold_first)),
            clock.thing("long", chain(repeat(0.4, 6), cycle([0.5, 0.4, 0.4]))),
        ],
        RULES,
        clock=clock,
        pause=clock.pause,
    )
    assert set(map(round, short.samples_ms)) == {30}
    assert len(short.samples_ms) == pytest.approx(1.0 / 0.03, abs=2)
    assert set(map(round, long.samples_ms)) == {400}
    assert len(long.samples_ms) == 6  # at least as many as asked for, two in a slice, though 3 would fill the time


def test_progress_grows_to_one() -> None:
    clock = Clock()
    shares: list[float] = []
    time_interleaved(
        [clock.thing("a", repeat(0.1)), clock.thing("b", repeat(0.3))],
        RULES,
        clock=clock,
        pause=clock.pause,
        on_progress=shares.append,
    )
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
