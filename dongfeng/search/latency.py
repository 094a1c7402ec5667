"""Latency of every encoding of a space, as a sum over steps.

A step is a block together with the block before it: that pair decides the shapes of the block's layers, and so their
cost. The head is a step too, after the last block. So a handful of numbers gives the latency of any encoding, and
adding arrays of them that of all encodings.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from dongfeng.devices import DeviceProfile, kernels_latency_ms, kernels_of, load_profile
from dongfeng.devices.predict import Device
from dongfeng.errors import SearchError
from dongfeng.search.space import Encoding, Space
from dongfeng.support.pareto import Floats

LatencyModel = Mapping["Step", float] | Callable[[Encoding], float]
LatencySource = Device | LatencyModel

_PROBES = 200  # random encodings, in case the covering ones lack a step
_CHECKS = 24  # encodings that are not solved for, whose whole nets check the sums over steps
_EXACT = 1e-9  # relative error of such a sum


class Step(NamedTuple):
    """A block and the one before it, or the head and the last block.

    Attributes:
        stage: Number of the stage, from 0; the number of stages for the head.
        before: Width of the block before, 0 in front of the first.
        width: Width of the block, 0 for the head.
        opens: Whether the block is the first of its stage.
    """

    stage: int
    before: int
    width: int
    opens: bool


def steps_of(encoding: Encoding) -> list[Step]:
    """Return the steps of an encoding, the head's included.

    Example:
        >>> [tuple(step) for step in steps_of(((64,), (64, 128), (128,)))][1:3]
        [(1, 64, 64, True), (1, 64, 128, False)]
    """
    steps, before = [], 0
    for stage, widths in enumerate(encoding):
        for index, width in enumerate(widths):
            steps.append(Step(stage, before, width, index == 0))
            before = width
    return [*steps, Step(len(encoding), before, 0, True)]


def latency_model(space: Space, source: LatencySource) -> LatencyModel:
    """Return the latencies of a space's encodings, as a mapping of steps or a callable.

    Args:
        space: The space.
        source: A device name, a profile or its path, which is solved for steps; a mapping of steps to milliseconds or
            a callable of an encoding, which is returned as it is.

    Raises:
        SearchError: latencies of the space's nets are not sums over steps.
        DeviceError: there is no such device, or its profile is damaged.
        UnsupportedLayer: the nets have layers whose latency is not modelled.
    """
    if isinstance(source, Mapping) or (callable(source) and not isinstance(source, DeviceProfile)):
        return source
    return step_latencies_ms(space, source if isinstance(source, DeviceProfile) else load_profile(source))


def step_latencies_ms(space: Space, profile: DeviceProfile) -> dict[Step, float]:
    """Return the milliseconds of every step of a space on a device.

    Whole nets are costed, enough of them that every other encoding's steps are a linear combination of theirs, and
    the equations solved. This takes no knowledge of blocks, fusion or heads: a space is costed as soon as its nets
    can be built. Single steps are not unique (a cost between two blocks may be counted with either), but sums over
    encodings are; some encodings that were not used are costed as whole nets to make sure.

    Raises:
        SearchError: they are not sums over steps.
    """

    def net_ms(encoding: Encoding) -> float:
        return kernels_latency_ms(profile, kernels_of(space.timed(encoding), profile.fusion))

    encodings = list(dict.fromkeys([*covering(space), *_random_encodings(space, _PROBES)]))
    numbers = [Counter(steps_of(encoding)) for encoding in encodings]
    steps = sorted(set().union(*numbers))
    counts = np.array([[number[step] for step in steps] for number in numbers], dtype=np.float64)
    chosen = _independent(counts)
    measured = np.array([net_ms(encodings[index]) for index in chosen])
    solved = np.linalg.lstsq(counts[chosen], measured, rcond=None)[0]
    unused = sorted(set(range(len(encodings))) - set(chosen))
    for index in unused[-_CHECKS:]:
        whole, total = net_ms(encodings[index]), float(counts[index] @ solved)
        if not math.isclose(whole, total, rel_tol=_EXACT):
            raise SearchError(
                f"latency of {encodings[index]} on {profile.name} is {whole:.6g} ms, but its blocks add up to "
                f"{total:.6g} ms: a block's cost depends on more than the block before; give latency as a callable"
            )
    return dict(zip(steps, solved.tolist(), strict=True))


def covering(space: Space) -> Iterator[Encoding]:
    """Yield encodings in which any two widths meet in each place where they may, shallow ones first."""
    widths = sorted({width for stage in space.widths for width in stage})
    pairs = itertools.combinations_with_replacement(widths, 2)
    for extra, stage, (narrow, wide) in itertools.product((0, 1, 2), range(len(space.depths)), pairs):
        depth = space.depths[stage][0] + extra
        before = [(narrow,) * least for least, _ in space.depths[:stage]]
        after = [(wide,) * least for least, _ in space.depths[stage + 1 :]]
        for change, begin in itertools.product(range(depth + 1), (before, space.example[:stage])):
            encoding = (*begin, (narrow,) * change + (wide,) * (depth - change), *after)
            if encoding in space:
                yield encoding


def _random_encodings(space: Space, count: int) -> list[Encoding]:
    rng = np.random.default_rng(0)
    found: list[Encoding] = []
    while len(found) < count:
        encoding: list[tuple[int, ...]] = []
        for table in space.stages:
            lowest = np.searchsorted(table.first, encoding[-1][-1]) if encoding else 0
            if lowest == len(table):
                break
            encoding.append(table.tuple_of(int(rng.integers(lowest, len(table)))))
        else:
            found.append(tuple(encoding))
    return found


def _independent(counts: Floats) -> list[int]:
    """Return the first rows of which all others are linear combinations."""
    basis = np.zeros((0, counts.shape[1]))
    chosen = []
    for index, row in enumerate(counts):
        rest = row - (row @ basis.T) @ basis
        rest -= (rest @ basis.T) @ basis  # once more, against rounding
        norm = float(np.linalg.norm(rest))
        if norm > 1e-6:
            basis = np.vstack([basis, rest / norm])
            chosen.append(index)
    return chosen
