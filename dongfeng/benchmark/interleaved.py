"""Timing of several calls: each warms up until its times are steady, then all are timed in interleaved slices.

Interleaving lets a drift of the machine's speed fall on all of them alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter, sleep

Call = Callable[[], object]
Clock = Callable[[], float]  # seconds since some moment
OnProgress = Callable[[float], object]  # called with the share that is done, 0..1

_WARM_UP_SHARE = 0.2  # of the progress
_FEWEST = 2  # samples of a slice


@dataclass(frozen=True, kw_only=True)
class TimingRules:
    """Durations of the parts of a measurement.

    Attributes:
        seconds: Time for the samples of each timer.
        least_samples: Number of samples that each timer takes at least.
        warm_up_s: Time that each timer warms up for at least.
        warm_up_runs: Runs that each timer warms up for at least.
        most_warm_up_s: Time after which a warm-up ends, steady or not.
        steady_fraction: Times are steady when the medians of two successive windows differ by less.
        window: Runs in such a window.
        slice_s: Time that a timer runs before the next one does.
        pause_s: Pause before each slice, in which the spinning threads of the one before go to sleep.
    """

    seconds: float = 3.0
    least_samples: int = 20
    warm_up_s: float = 0.3
    warm_up_runs: int = 6
    most_warm_up_s: float = 10.0
    steady_fraction: float = 0.02
    window: int = 3
    slice_s: float = 0.1
    pause_s: float = 0.1


@dataclass(frozen=True)
class WarmUp:
    """Number of runs and seconds of a warm-up, and whether the times became steady."""

    runs: int
    seconds: float
    is_steady: bool


def warm_up(call: Call, rules: TimingRules, clock: Clock = perf_counter) -> WarmUp:
    """Make a call again and again until its times are steady, or for long enough."""
    start = clock()
    times: list[float] = []
    while True:
        times.append(_seconds(call, clock))
        spent = clock() - start
        if len(times) >= rules.warm_up_runs and spent >= rules.warm_up_s and _is_steady(times, rules):
            return WarmUp(len(times), spent, True)
        if spent >= rules.most_warm_up_s:
            return WarmUp(len(times), spent, False)


def _is_steady(times: Sequence[float], rules: TimingRules) -> bool:
    window = rules.window
    if len(times) < 2 * window:
        return False
    before, now = (statistics.median(part) for part in (times[-2 * window : -window], times[-window:]))
    return abs(now - before) <= rules.steady_fraction * before


def time_interleaved(
    calls: Sequence[Call],
    rules: TimingRules,
    *,
    clock: Clock = perf_counter,
    pause: Callable[[float], object] = sleep,
    on_progress: OnProgress | None = None,
) -> list[Timed]:
    """Time several calls, a slice of each in every round.

    A slice lasts `slice_s` and two runs at least. It begins with a run that does not count, because the caches hold
    another call's data. Rounds go on until each call has been timed for `seconds` and has `least_samples`; those that
    are done sooner are left out of later rounds.

    Args:
        calls: Each run of a call is one sample.
        rules: Durations.
        clock: Returns the time in seconds.
        pause: Waits for a number of seconds.
        on_progress: Called after every warm-up and every slice.
    """
    tell = on_progress or (lambda _: None)
    timers = []
    for index, call in enumerate(calls, 1):
        timers.append(Timed(call, rules, clock))
        tell(_WARM_UP_SHARE * index / len(calls))
    while any(timer.share < 1 for timer in timers):
        for timer in timers:
            if timer.share < 1:
                pause(rules.pause_s)
                timer.run_slice()
                share = statistics.fmean(each.share for each in timers)
                tell(_WARM_UP_SHARE + (1 - _WARM_UP_SHARE) * share)
    return timers


class Timed:
    """A call that has warmed up, and its samples so far.

    Attributes:
        warm_up: The warm-up.
        samples_ms: The samples in order.
    """

    def __init__(self, call: Call, rules: TimingRules, clock: Clock) -> None:
        self._call, self._rules, self._clock = call, rules, clock
        self._spent_s = 0.0
        self.samples_ms: list[float] = []
        self.warm_up = warm_up(call, rules, clock)

    @property
    def share(self) -> float:
        """Share of the measurement that is done, 0..1."""
        return min(self._spent_s / self._rules.seconds, len(self.samples_ms) / self._rules.least_samples, 1.0)

    def run_slice(self) -> None:
        """Time the call for one slice, whose first run does not count."""
        start = self._clock()
        times: list[float] = []
        while len(times) <= _FEWEST or self._clock() - start < self._rules.slice_s:
            times.append(_seconds(self._call, self._clock))
        self.samples_ms += [1e3 * time for time in times[1:]]
        self._spent_s += sum(times[1:])


def _seconds(call: Call, clock: Clock) -> float:
    before = clock()
    call()
    return clock() - before
