"""Latencies of measured units, and of all others by comparison with their nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from dongfeng.devices.roofline import Roofline, Vector
from dongfeng.devices.unit import Unit

Basis = Literal["looked up", "interpolated", "modelled"]

# Neighbours asked and how fast their say falls with distance: of 1 to 5 or all neighbours and powers 2 to 6, the pair
# with the smallest mean error over the DF1 logs of the GTX 1080 Ti when each unit is left out in turn.
_NEIGHBOURS = 5
_POWER = 4
_TOUCHING = 1e-3  # octaves nearer than which nothing counts


class UnitEstimate(NamedTuple):
    """Latency of one unit.

    Attributes:
        ms: Milliseconds.
        error: Relative error, 0.1 for 10 %; None where it is not known.
        basis: Where the figure comes from.
    """

    ms: float
    error: float | None
    basis: Basis


class Table:
    """Latency of any unit: its own row, else the roofline times what its nearest neighbours took beside theirs.

    Distance is counted in octaves (factors of two) of channels, sizes, kernel and groups, within one kind of unit (with
    groups or without); kinds without any row are left to the roofline.
    """

    def __init__(self, rows: Mapping[Unit, tuple[float, float]], roofline: Roofline) -> None:
        """`rows` holds milliseconds and their relative spread."""
        self._rows = dict(rows)
        self._roofline = roofline
        self._known: dict[Unit, UnitEstimate] = {}
        families: dict[tuple[str, bool], list[Unit]] = {}
        for unit, (ms, _) in rows.items():
            if ms > 0:
                families.setdefault(_family(unit), []).append(unit)
        self._neighbours = {family: self._neighbourhood(units) for family, units in families.items()}

    def __call__(self, unit: Unit) -> UnitEstimate:
        """The latency of a unit; asked again, it costs a look into a dictionary."""
        found = self._known.get(unit)
        if found is None:
            found = self._known[unit] = self._estimate(unit)
        return found

    def _estimate(self, unit: Unit) -> UnitEstimate:
        if unit in self._rows:
            ms, spread = self._rows[unit]
            return UnitEstimate(ms, max(spread, self._usual_spread), "looked up")
        modelled = float(self._roofline.ms([unit])[0])
        neighbours = self._neighbours.get(_family(unit))
        if neighbours is None:
            return UnitEstimate(modelled, self._roofline.error, "modelled")
        ratio, distance = _interpolate(_position(unit), *neighbours)
        typical, usual_distance = self._interpolation_error
        error = typical * max(1.0, distance / usual_distance)
        if self._roofline.error is not None:
            error = min(error, max(self._roofline.error, typical))
        return UnitEstimate(modelled * ratio, error, "interpolated")

    def _neighbourhood(self, units: list[Unit]) -> tuple[Vector, Vector]:
        """Positions of the units, and the logarithms of what they took to what the roofline says."""
        positions = np.array([_position(unit) for unit in units])
        measured = np.array([self._rows[unit][0] for unit in units])
        return positions, np.log(measured / self._roofline.ms(units))

    @cached_property
    def _usual_spread(self) -> float:
        """Median spread of repeated measurements: what a single one must be trusted with."""
        spreads = [spread for _, spread in self._rows.values() if spread > 0]
        return float(np.median(spreads)) if spreads else 0.0

    @cached_property
    def _interpolation_error(self) -> tuple[float, float]:
        """Mean error of a unit that its neighbours stand in for, and the median distance to the nearest of them."""
        errors, distances = [], []
        for positions, logs in self._neighbours.values():
            for index in range(len(logs)):
                others = np.arange(len(logs)) != index
                if others.any():
                    ratio, distance = _interpolate(positions[index], positions[others], logs[others])
                    errors.append(abs(np.log(ratio) - logs[index]))
                    distances.append(distance)
        if not errors:
            return self._roofline.error or 1.0, 1.0
        return float(np.mean(errors)), max(float(np.median(distances)), _TOUCHING)


def _family(unit: Unit) -> tuple[str, bool]:
    """Units that may stand in for each other: a dense convolution says nothing of a depthwise one."""
    return unit.kind, unit.groups > 1


def _position(unit: Unit) -> Vector:
    """Where a unit stands among those of its kind; a unit of length is a factor of two in one property."""
    in_area, out_area = (height * width for height, width in (unit.in_hw, unit.out_hw))
    octaves = np.log2(
        [
            unit.c_in / unit.groups,
            unit.c_out / unit.groups,
            unit.groups,
            out_area,
            in_area / out_area,
            (unit.kernel_hw[0] * unit.kernel_hw[1]) ** 2,  # kernels of other sizes run other programs
        ]
    )
    fused = [1.0 * ("+add" in unit.operation), 0.25 * ("+relu" in unit.operation)]
    return np.concatenate([octaves, fused])


def _interpolate(position: Vector, positions: Vector, logs: Vector) -> tuple[float, float]:
    """Factor on the roofline by inverse distance, and the distance to the nearest neighbour."""
    distances = np.sqrt(((positions - position) ** 2).sum(axis=1)) + _TOUCHING
    nearest = np.argsort(distances, kind="stable")[:_NEIGHBOURS]
    weights = distances[nearest] ** -float(_POWER)
    return float(np.exp(weights @ logs[nearest] / weights.sum())), float(distances[nearest[0]])
