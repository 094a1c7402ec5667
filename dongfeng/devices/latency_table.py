"""`LatencyTable`: latencies of measured kernels, and of all others by comparison with their nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from dongfeng.devices.kernel import Kernel
from dongfeng.devices.roofline import Roofline, Vector

Basis = Literal["looked up", "interpolated", "modelled"]

# Number of neighbours, and power of the distance that weighs them: of 1 to 5 or all neighbours and powers 2 to 6, the
# pair with the smallest mean error over the DF1 logs of the GTX 1080 Ti when each kernel is left out in turn.
_NEIGHBOURS = 5
_POWER = 4
_TOUCHING = 1e-3  # octaves nearer than which nothing counts


class KernelEstimate(NamedTuple):
    """Latency of one kernel.

    Attributes:
        ms: Milliseconds.
        error: Relative error, 0.1 for 10 %; None where it is not known.
        basis: Where the figure comes from.
    """

    ms: float
    error: float | None
    basis: Basis


class LatencyTable:
    """Latency of any kernel: its own row, else the roofline scaled by what its nearest neighbours took beside theirs.

    Distance is counted in octaves (factors of two) of channels, sizes, window and groups, within one operation (with
    groups or without); operations without any row are left to the roofline.
    """

    def __init__(self, rows: Mapping[Kernel, tuple[float, float]], roofline: Roofline) -> None:
        """Take milliseconds and their relative spread by kernel."""
        self._rows = dict(rows)
        self._roofline = roofline
        self._known: dict[Kernel, KernelEstimate] = {}
        families: dict[tuple[str, bool], list[Kernel]] = {}
        for kernel, (ms, _) in rows.items():
            if ms > 0:
                families.setdefault(_family(kernel), []).append(kernel)
        self._neighbours = {family: self._neighbourhood(kernels) for family, kernels in families.items()}

    def __call__(self, kernel: Kernel) -> KernelEstimate:
        """Return the latency of a kernel; the second call is a dictionary look-up."""
        found = self._known.get(kernel)
        if found is None:
            found = self._known[kernel] = self._estimate(kernel)
        return found

    def _estimate(self, kernel: Kernel) -> KernelEstimate:
        if kernel in self._rows:
            ms, spread = self._rows[kernel]
            return KernelEstimate(ms, max(spread, self._usual_spread), "looked up")
        modelled = float(self._roofline.ms([kernel])[0])
        neighbours = self._neighbours.get(_family(kernel))
        if neighbours is None:
            return KernelEstimate(modelled, self._roofline.error, "modelled")
        ratio, distance = _interpolate(_position(kernel), *neighbours)
        typical, usual_distance = self._interpolation_error
        error = typical * max(1.0, distance / usual_distance)
        if self._roofline.error is not None:
            error = min(error, max(self._roofline.error, typical))
        return KernelEstimate(modelled * ratio, error, "interpolated")

    def _neighbourhood(self, kernels: list[Kernel]) -> tuple[Vector, Vector]:
        """Return positions of kernels, and logarithms of measured to modelled milliseconds."""
        positions = np.array([_position(kernel) for kernel in kernels])
        measured = np.array([self._rows[kernel][0] for kernel in kernels])
        return positions, np.log(measured / self._roofline.ms(kernels))

    @cached_property
    def _usual_spread(self) -> float:
        """Median spread of repeated measurements, which stands in for that of a single one."""
        spreads = [spread for _, spread in self._rows.values() if spread > 0]
        return float(np.median(spreads)) if spreads else 0.0

    @cached_property
    def _interpolation_error(self) -> tuple[float, float]:
        """Mean error of the kernels when each is left to its neighbours, and the median distance to the nearest."""
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


def _family(kernel: Kernel) -> tuple[str, bool]:
    """Return what kernels that may stand in for each other share: dense and depthwise convolutions may not."""
    return kernel.main_operation, kernel.groups > 1


def _position(kernel: Kernel) -> Vector:
    """Return a kernel's position among those of its operation; a distance of 1 is a factor of two in one property."""
    in_area, out_area = (height * width for height, width in (kernel.in_hw, kernel.out_hw))
    octaves = np.log2(
        [
            kernel.c_in / kernel.groups,
            kernel.c_out / kernel.groups,
            kernel.groups,
            out_area,
            in_area / out_area,
            (kernel.window_hw[0] * kernel.window_hw[1]) ** 2,  # windows of other sizes run other programs
        ]
    )
    fused = [1.0 * ("+add" in kernel.operation), 0.25 * ("+relu" in kernel.operation)]
    return np.concatenate([octaves, fused])


def _interpolate(position: Vector, positions: Vector, logs: Vector) -> tuple[float, float]:
    """Return the factor on the roofline by inverse distance, and the distance to the nearest neighbour."""
    distances = np.sqrt(((positions - position) ** 2).sum(axis=1)) + _TOUCHING
    nearest = np.argsort(distances, kind="stable")[:_NEIGHBOURS]
    weights = distances[nearest] ** -float(_POWER)
    return float(np.exp(weights @ logs[nearest] / weights.sum())), float(distances[nearest[0]])
