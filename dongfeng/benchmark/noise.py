"""Whether another run could well give other medians, and why."""

from __future__ import annotations

from collections.abc import Sequence

from dongfeng.benchmark.host import Busyness
from dongfeng.benchmark.report import BenchRow, Noise
from dongfeng.benchmark.statistics import MOST_DRIFT

MOST_OTHERS = 0.05
MOST_STOLEN = 0.01


def noise_of(rows: Sequence[BenchRow], busyness: Busyness) -> Noise:
    """Judge the noise of a run.

    Args:
        rows: The rows of the run, with their timers.
        busyness: Shares of the CPUs' time that others had meanwhile.
    """
    reasons = []
    others, stolen = busyness
    if others is not None and others > MOST_OTHERS:
        reasons.append(f"other programs used {100 * others:.0f} % of the CPUs; end them")
    if stolen is not None and stolen > MOST_STOLEN:
        reasons.append(f"other virtual machines took {100 * stolen:.0f} % of the CPUs")
    timers = [(f"{row}, {name}", timer) for row in rows if row.timers for name, timer in row.timers.measured().items()]
    drifting = [(timer.drift_fraction, what) for what, timer in timers if timer.is_drifting]
    if drifting:
        worst, what = max(drifting)
        reasons.append(
            f"medians of {len(drifting)} of {len(timers)} timers differed by more than {100 * MOST_DRIFT:.0f} % within "
            f"the run (worst: {what}, {100 * worst:.0f} %)"
        )
    unsteady = [what for what, timer in timers if not timer.is_steady]
    if unsteady:
        reasons.append(f"{len(unsteady)} of {len(timers)} timers never settled while warming up ({unsteady[0]})")
    return Noise(is_noisy=bool(reasons), others_fraction=others, stolen_fraction=stolen, reasons=tuple(reasons))
