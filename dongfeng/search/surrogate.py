"""The "surrogate" sampler: evaluate where the boundary is expected to rise most.

A Gaussian process learns accuracy from what the order compares: for each stage and width, the number of blocks at least
that wide. Two encodings are comparable exactly when all these counts are, so an accuracy that obeys the order is a
growing function of them. The logarithm of a count stands for it, as the tenth block adds less than the second.
Latencies are known, so an accuracy translates into area under the boundary, whose expected gain has a closed form. The
bounds of pruning count too: no candidate is credited with more than its evaluated successors have.
"""

from __future__ import annotations

import math

import numpy as np

from dongfeng.search.candidates import Candidates
from dongfeng.search.gaussian_process import GaussianProcess
from dongfeng.search.pruning import Numbers, OpenCandidates
from dongfeng.search.samplers import Known
from dongfeng.support.pareto import Floats, staircase

_FIRST = 5  # evaluations before the first fit
_POOL = 4096  # open candidates in a draw: with p = 0.98 one of the best 0.1 % is among them
_MOST_KNOWN = 256  # evaluations that are fitted, those nearest the boundary; time grows with their cube
_STRETCHES = 64  # of the window
_NEAR = 20
_GOLDEN = (math.sqrt(5) - 1) / 2
_TINY = 1e-9


def expected_gain(
    mean: Floats, deviation: Floats, upper: Floats, latency_ms: Floats, steps: tuple[Floats, Floats], slowest_ms: float
) -> Floats:
    """Return the expected growth of the area under the boundary by each of n candidates, (n,) ms times accuracy.

    The accuracy is taken as logistic about `mean`, which makes E[max(0, accuracy - a)] a softplus, and as cut at
    `upper`; `steps` are latencies and accuracies of the boundary, the first at or before every candidate.
    """
    spread = deviation * math.sqrt(3) / math.pi
    cut = spread * np.logaddexp(0, (mean - upper) / spread)
    gain = np.zeros(len(mean))
    ends = np.append(steps[0][1:], slowest_ms)
    for start, end, level in zip(steps[0], ends, steps[1], strict=True):
        length = end - np.clip(latency_ms, start, end)
        above = spread * np.logaddexp(0, (mean - level) / spread) - cut
        gain += length * np.maximum(above, 0)
    return gain


def features(candidates: Candidates, numbers: Numbers) -> Floats:
    """Return the features (n, features) of candidates: logarithms of block counts, and of the latency."""
    stages = zip(candidates.space.stages, candidates.rows[:, numbers], strict=True)
    columns = [np.log1p(stage.counts)[row] for stage, row in stages]
    return np.hstack([*columns, np.log(candidates.latency_ms[numbers])[:, None]])


def surrogate(left: OpenCandidates, known: Known, count: int, rng: np.random.Generator) -> Numbers:
    """Choose candidates of greatest expected gain; pending ones, and those of the batch so far, count as predicted."""
    everything = known.candidates
    numbers, accuracies = _worth_learning(known)
    if len(numbers) < _FIRST or np.ptp(accuracies) == 0:
        return _spread(left, len(known.numbers) + len(known.pending), count, rng)
    pool = _pool(left, count, rng)
    pool_ms, pending = left.latency_ms[pool], np.asarray(known.pending, dtype=np.intp)
    sample = np.linspace(0, len(everything) - 1, _POOL).astype(np.intp)  # of the window: what is left gets ever less
    typical = features(everything, sample)
    centre, size = typical.mean(axis=0), typical.std(axis=0)
    size[size < _TINY] = 1.0
    x, x_known, x_pending = (
        (features(everything, some) - centre) / size for some in (left.numbers[pool], numbers, pending)
    )
    average, unit = accuracies.mean(), accuracies.std()
    model = GaussianProcess.fit(x_known, (accuracies - average) / unit).believing(x_pending)
    believed_ms = everything.latency_ms[np.append(numbers, pending)]
    slowest_ms, fastest_ms = float(everything.latency_ms.max()), float(everything.latency_ms.min())
    upper = (left.upper[pool] - average) / unit
    chosen: list[int] = []
    while len(chosen) < count:
        mean, deviation = model.predict(x)
        believed = model.predict(model.x)[0]  # without the noise of the evaluations
        ms, level = staircase(believed_ms, believed, slowest_ms)
        steps = (np.append(fastest_ms, ms), np.append(min(mean.min(), believed.min()), level))
        gain = expected_gain(mean, deviation, upper, pool_ms, steps, slowest_ms)
        gain[chosen] = -1.0
        chosen.append(int(np.argmax(gain)))
        model = model.believing(x[chosen[-1:]])
        believed_ms = np.append(believed_ms, pool_ms[chosen[-1]])
    return pool[chosen]


def _worth_learning(known: Known) -> tuple[Numbers, Floats]:
    """Return numbers and accuracies of evaluated candidates: all, or those nearest below the boundary."""
    accuracies = np.asarray(known.accuracies, dtype=float)
    usable = np.flatnonzero(np.isfinite(accuracies))
    numbers, accuracies = np.asarray(known.numbers, dtype=np.intp)[usable], accuracies[usable]
    if len(numbers) > _MOST_KNOWN:
        ms = known.candidates.latency_ms[numbers]
        steps_ms, level = staircase(ms, accuracies, math.inf)
        gap = level[np.searchsorted(steps_ms, ms, side="right") - 1] - accuracies
        kept = np.sort(np.argsort(gap, kind="stable")[:_MOST_KNOWN])
        numbers, accuracies = numbers[kept], accuracies[kept]
    return numbers, accuracies


def _pool(left: OpenCandidates, count: int, rng: np.random.Generator) -> Numbers:
    """Draw positions of candidates to choose from: as many from each stretch of the window, where there are as many.

    Most architectures are slow ones, so that equal chances would hardly reach the fast end.
    """
    if len(left) <= max(_POOL, count):
        return np.arange(len(left))
    drawn = rng.choice(len(left), min(len(left), 16 * _POOL + count), replace=False)
    ms = left.latency_ms[drawn]
    stretch = ((ms - ms.min()) / max(float(np.ptp(ms)), _TINY) * _STRETCHES).astype(np.intp)
    order = np.argsort(stretch, kind="stable")
    starts = np.searchsorted(stretch[order], np.arange(_STRETCHES + 1))
    rank = np.arange(len(drawn)) - starts[stretch[order]]
    return drawn[order[np.argsort(rank, kind="stable")[: max(_POOL, count)]]]


def _spread(left: OpenCandidates, drawn: int, count: int, rng: np.random.Generator) -> Numbers:
    """Spread candidates over the latencies, each drawn from those nearest to its place; `drawn` came before."""
    order = np.argsort(left.latency_ms, kind="stable")
    ms = left.latency_ms[order]
    places = (np.arange(drawn, drawn + count) + 0.5) * _GOLDEN % 1  # evenly spread, however many are asked for
    chosen: list[int] = []
    for target in ms[0] + places * (ms[-1] - ms[0]):
        middle = int(np.searchsorted(ms, target))
        near = np.setdiff1d(np.arange(middle - _NEAR - count, middle + _NEAR + count), chosen)
        near = near[(near >= 0) & (near < len(ms))]
        chosen.append(int(rng.choice(near)))
    return order[chosen]
