"""`Candidates`: the architectures of a space inside a latency window, as arrays.

Architectures are joined stage by stage. Every join knows the least and the greatest latency of the stages to come, and
drops prefixes that cannot end inside the window at once; no more than a chunk is ever held beside what is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from dongfeng.errors import SearchError
from dongfeng.search.latency import LatencyModel, Step
from dongfeng.search.space import Encoding, Space
from dongfeng.search.stages import Ints
from dongfeng.support.pareto import Floats

_CHUNK = 2_000_000  # pairs of a join that are held at once
_MOST_CALLS = 2_000_000  # the default space takes some ten seconds
_EDGE = 1e-9  # a latency this near to the window's edge is inside: sums in another order differ by less


@dataclass(frozen=True, eq=False)
class Candidates:
    """Architectures inside a window; their numbers are positions in these arrays.

    Attributes:
        space: Their space.
        rows: (stages, n) int32, rows in the space's stage tables.
        latency_ms: (n,) float64.
    """

    space: Space
    rows: Ints
    latency_ms: Floats

    def __len__(self) -> int:
        return len(self.latency_ms)

    def encoding(self, number: int) -> Encoding:
        """Return the encoding of a candidate."""
        pairs = zip(self.space.stages, self.rows[:, number], strict=True)
        return tuple(stage.tuple_of(int(row)) for stage, row in pairs)


def candidates(space: Space, model: LatencyModel, window_ms: tuple[float, float]) -> Candidates:
    """Return every architecture of a space whose latency is inside a window, both ends included.

    Args:
        space: The space.
        model: Latencies from `latency_model`. A callable is called for every encoding, so the space must be small.
        window_ms: Least and greatest latency in milliseconds.

    Raises:
        SearchError: there is none, the space is too large for a callable, or a step is missing from a mapping.
    """
    least_ms, most_ms = window_ms[0] * (1 - _EDGE), window_ms[1] * (1 + _EDGE)
    if isinstance(model, Mapping):
        costs = _Costs(space, model)
        least_whole, most_whole = costs.rest_ms[0, :, 0]
        rows, latencies_ms = costs.join(least_ms, most_ms)
    else:
        rows, latencies_ms = _called(space, model)
        least_whole, most_whole = latencies_ms.min(), latencies_ms.max()
        inside = (latencies_ms >= least_ms) & (latencies_ms <= most_ms)
        rows, latencies_ms = rows[:, inside], latencies_ms[inside]
    if not len(latencies_ms):
        raise SearchError(
            f"no architecture of the space takes {window_ms[0]:g} to {window_ms[1]:g} ms; "
            f"they take {least_whole:.4g} to {most_whole:.4g} ms"
        )
    return Candidates(space, rows, latencies_ms)


def _called(space: Space, model: Callable[[Encoding], float]) -> tuple[Ints, Floats]:
    if len(space) > _MOST_CALLS:
        raise SearchError(
            f"latency: a callable would be asked for {len(space)} encodings, more than {_MOST_CALLS}; "
            "give a device, a profile, or a mapping of dongfeng.search.Step to milliseconds"
        )
    rows = _Costs(space, None).join(-math.inf, math.inf)[0]
    everything = Candidates(space, rows, np.zeros(rows.shape[1]))
    latencies_ms = np.array([float(model(everything.encoding(number))) for number in range(len(everything))])
    if not np.isfinite(latencies_ms).all():
        number = int(np.argmin(np.isfinite(latencies_ms)))
        raise SearchError(f"latency of {everything.encoding(number)} is {latencies_ms[number]}; expected milliseconds")
    return rows, latencies_ms


class _Costs:
    """Latencies of steps as arrays. Widths are numbered by their `code`; 0 stands for no block."""

    def __init__(self, space: Space, steps: Mapping[Step, float] | None) -> None:
        """Tabulate steps; None: nothing takes any time."""
        self._widths = sorted({0, *(width for stage in space.widths for width in stage)})
        self._code = np.zeros(self._widths[-1] + 1, dtype=np.int32)
        self._code[self._widths] = np.arange(len(self._widths))
        self._stages = space.stages
        size = (2, len(space.stages) + 1, len(self._widths), len(self._widths))
        within_ms, self._enter_ms = np.full(size, math.nan if steps else 0.0)
        for step, ms in (steps or {}).items():
            if step.before in self._widths and step.width in self._widths:
                table = self._enter_ms if step.opens else within_ms
                table[step.stage, self._code[step.before], self._code[step.width]] = ms
        within_ms[:, 0] = 0.0  # what leads to a stage's first block is in `enter`
        codes = [self._code[stage.widths] for stage in self._stages]
        pairs = zip(within_ms, codes, strict=False)
        self._inner_ms = [table[code[:, :-1], code[:, 1:]].sum(axis=1) for table, code in pairs]
        self.rest_ms = self._bounds()

    def join(self, least_ms: float, most_ms: float) -> tuple[Ints, Floats]:
        """Return rows (stages, n) and latencies (n,) of the architectures between two latencies."""
        rows, ms, last = np.zeros((0, 1), np.int32), np.zeros(1), np.zeros(1, np.int32)
        for number, stage in enumerate(self._stages):
            low, high = self.rest_ms[number + 1]
            chosen, added, sums = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)], [np.zeros(0)]
            for width in np.unique(last):
                start, step_ms, ends = self._choices(number, int(width))
                members = np.flatnonzero(last == width)
                for part in np.array_split(members, len(members) * len(ends) // _CHUNK + 1):
                    total = ms[part, None] + step_ms
                    which, choice = np.nonzero((total + low[ends] <= most_ms) & (total + high[ends] >= least_ms))
                    chosen.append(part[which])
                    added.append((choice + start).astype(np.int32))
                    sums.append(total[which, choice])
            taken, new = np.concatenate(chosen), np.concatenate(added)
            rows, ms, last = np.vstack([rows[:, taken], new]), np.concatenate(sums), stage.last[new]
        return rows, ms + self._enter_ms[-1, self._code[last], 0]

    def _choices(self, number: int, before: int) -> tuple[int, Floats, Ints]:
        """Return the first tuple of a stage that may follow a width; ms and last code (rows,) of each from there on."""
        stage = self._stages[number]
        start = int(np.searchsorted(stage.first, before))
        entered = self._enter_ms[number, self._code[before], self._code[stage.first[start:]]]
        return start, entered + self._inner_ms[number][start:], self._code[stage.last[start:]]

    def _bounds(self) -> Floats:
        """Return the least and greatest latency from each stage on, (stages + 1, 2, codes of the width before)."""
        found = np.empty((len(self._stages) + 1, 2, len(self._widths)))
        found[-1] = self._enter_ms[-1, :, 0]
        for number in reversed(range(len(self._stages))):
            low, high = found[number + 1]
            for code, before in enumerate(self._widths):
                _, step_ms, ends = self._choices(number, before)
                found[number, 0, code] = (step_ms + low[ends]).min(initial=math.inf)
                found[number, 1, code] = (step_ms + high[ends]).max(initial=-math.inf)
        if math.isnan(found[0, 0, 0]):
            raise SearchError("latency: the mapping lacks steps of the space; give it an entry for each step")
        return found
