"""Taking times: warming up until they have settled, then in turns, so that a drift falls on all alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter, sleep
from typing import NamedTuple

Clock = Callable[[], float]  # seconds from anywhere
OnProgress = Callable[[float], object]  # the share that is done, 0..1

_WARM_UP_SHARE = 0.2  # of the progress that is told
_FEWEST = 2  # samples of a turn


@dataclass(frozen=True)
class Rules:
    """How long to measure.

    Attributes:
        seconds: Time for the samples of each timer.
        least_samples: As many are taken in any case.
        warm_up_s: Time that each timer warms up for at least.
        warm_up_runs: Runs that it warms up for at least.
        most_warm_up_s: Time after which it need not have settled.
        settled_fraction: It has settled when two windows of times in a row have medians that differ by less.
        window: Runs in such a window.
        turn_s: Time that a timer is given before it is another's turn.
        rest_s: Pause before each turn, in which threads of the one before, which spin for a while, go to sleep.
    """

    seconds: float = 3.0
    least_samples: int = 20
    warm_up_s: float = 0.3
    warm_up_runs: int = 6
    most_warm_up_s: float = 10.0
    settled_fraction: float = 0.02
    window: int = 3
    turn_s: float = 0.1
    rest_s: float = 0.1


class WarmUp(NamedTuple):
    """How a timer warmed up."""

    runs: int
    seconds: float
    is_steady: bool


class Timed(NamedTuple):
    """A timer's samples, in order."""

    samples_ms: tuple[float, ...]
    warm_up: WarmUp


def warm_up(run: Callable[[], object], rules: Rules, clock: Clock = perf_counter) -> WarmUp:
    """Run until times have settled, or long enough."""
    start = clock()
    times: list[float] = []
    while True:
        before = clock()
        run()
        after = clock()
        times.append(after - before)
        spent = after - start
        if len(times) >= rules.warm_up_runs and spent >= rules.warm_up_s and _has_settled(times, rules):
            return WarmUp(len(times), spent, True)
        if spent >= rules.most_warm_up_s:
            return WarmUp(len(times), spent, False)


def _has_settled(times: Sequence[float], rules: Rules) -> bool:
    window = rules.window
    if len(times) < 2 * window:
        return False
    before, now = (statistics.median(part) for part in (times[-2 * window : -window], times[-window:]))
    return abs(now - before) <= rules.settled_fraction * before


def take_turns(
    runs: Sequence[Callable[[], object]],
    rules: Rules,
    *,
    clock: Clock = perf_counter,
    rest: Callable[[float], object] = sleep,
    on_progress: OnProgress | None = None,
) -> list[Timed]:
    """Time several things, a little of each in every round.

    A turn lasts `turn_s` and two runs at least, and begins with a run that does not count: the caches are another's.
    Rounds go on until each has been timed for `seconds` and has `least_samples`; what is done early takes no more
    turns.

    Args:
        runs: What to time; each call is one sample.
        rules: How long.
        clock: Tells the time in seconds.
        rest: Waits for so many seconds.
        on_progress: Called after every warm-up and every turn.
    """

    def tell(done: float) -> None:
        if on_progress is not None:
            on_progress(done)

    warmed = []
    for index, run in enumerate(runs, 1):
        warmed.append(warm_up(run, rules, clock))
        tell(_WARM_UP_SHARE * index / len(runs))
    times: list[list[float]] = [[] for _ in runs]
    spent = [0.0] * len(runs)

    def share(index: int) -> float:
        return min(spent[index] / rules.seconds, len(times[index]) / rules.least_samples, 1.0)

    while any(share(index) < 1 for index in range(len(runs))):
        for index, run in enumerate(runs):
            if share(index) < 1:
                rest(rules.rest_s)
                taken = _turn(run, rules.turn_s, clock)
                times[index] += taken
                spent[index] += sum(taken)
                tell(_WARM_UP_SHARE + (1 - _WARM_UP_SHARE) * sum(map(share, range(len(runs)))) / len(runs))
    return [Timed(tuple(1e3 * time for time in each), how) for each, how in zip(times, warmed, strict=True)]


def _turn(run: Callable[[], object], turn_s: float, clock: Clock) -> list[float]:
    """Times of one turn but for its first run, at least two."""
    start = clock()
    times: list[float] = []
    while True:
        before = clock()
        run()
        after = clock()
        times.append(after - before)
        if after - start >= turn_s and len(times) > _FEWEST:
            return times[1:]
