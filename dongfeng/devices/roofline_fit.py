"""Fitting a `Roofline` to measured kernels, or to latencies of whole networks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dongfeng.devices.kernel import Kernel
from dongfeng.devices.roofline import Roofline, Vector, work_of

FREE = ("tflops", "gb_per_s", "kernel_us", "deconv_traffic")  # the parameters of a fit

# Bounds and starts of fits when nothing is known of a device: from a microcontroller to a rack.
_WIDEST = {"tflops": (1e-4, 1e4), "gb_per_s": (1e-2, 1e5), "kernel_us": (1e-2, 1e4), "deconv_traffic": (1.0, 1e3)}
_STARTS = {
    "tflops": (0.1, 1.0, 10.0),
    "gb_per_s": (20.0, 200.0),
    "kernel_us": (5.0, 50.0),
    "deconv_traffic": (4.0, 20.0),
}
_OUTLIER = 0.2  # log error of a kernel beyond which it pulls no harder
_SIGNIFICANT = 4


def fit_to_kernels(kernels: Sequence[Kernel], ms: Sequence[float], *, bytes_per_value: int = 4) -> Roofline:
    """Fit the roofline nearest to measured kernels, in the ratio; a few odd ones do not bend it.

    Args:
        kernels: At least one.
        ms: Milliseconds of each, positive.
        bytes_per_value: 4 for fp32, 2 for fp16.
    """
    work, measured = work_of(kernels), np.asarray(ms, np.float64)
    free = FREE if work[2].any() else FREE[:3]
    base = Roofline(1.0, 1.0, bytes_per_value=bytes_per_value, fitted_to="kernels")
    found = _RooflineFit(base, free, work, np.arange(len(kernels)), measured, outlier=_OUTLIER).run()
    off = np.abs(np.log(found.ms_of_work(work) / measured))
    return replace(found, error=rounded(float(np.median(off))))


def fit_to_networks(
    networks: Sequence[Sequence[Kernel]],
    ms: Sequence[float],
    *,
    bytes_per_value: int = 4,
    at_most: Mapping[str, float] | None = None,
) -> Roofline:
    """Fit the roofline whose sums are nearest, in the ratio, to the latencies of whole networks; its error stays None.

    Args:
        networks: The kernels of each.
        ms: Milliseconds of each.
        bytes_per_value: 4 for fp32, 2 for fp16.
        at_most: Upper bounds, such as a device's peak rates: {"tflops": 1.33}.
    """
    base = Roofline(1.0, 1.0, bytes_per_value=bytes_per_value, fitted_to="networks")
    starts = np.cumsum([0, *map(len, networks)])[:-1]
    work = work_of(list(itertools.chain(*networks)))
    return _RooflineFit(base, FREE, work, starts, np.asarray(ms), at_most=at_most or {}).run()


def rounded(value: float) -> float:
    """Round to as many digits as a fit is worth."""
    return float(f"{value:.{_SIGNIFICANT}g}")


@dataclass(frozen=True)
class _RooflineFit:
    """Least squares over the logarithms of the free parameters.

    Attributes:
        base: The roofline with its other parameters.
        free: Names of the free parameters.
        work: Of all kernels; see `work_of`.
        starts: The index of the first kernel of each sum that was measured.
        measured_ms: Milliseconds of each sum.
        at_most: Upper bounds of parameters.
        outlier: Log error of a sum beyond which it pulls no harder.
    """

    base: Roofline
    free: Sequence[str]
    work: Vector
    starts: npt.NDArray[np.intp]
    measured_ms: Vector
    at_most: Mapping[str, float] = field(default_factory=dict)
    outlier: float = np.inf

    def run(self) -> Roofline:
        """Descend from several starts; return the best end, rounded."""
        starts = itertools.product(*(_STARTS[name] for name in self.free))
        best, _ = min((self._descend(np.log(start)) for start in starts), key=lambda end: end[1])
        values = self._at(best).items()
        bounded: dict[str, Any] = {name: min(rounded(value), self.at_most.get(name, np.inf)) for name, value in values}
        return replace(self.base, **bounded)

    def _at(self, point: Vector) -> dict[str, Any]:
        """Return the free parameters from their logarithms."""
        return dict(zip(self.free, np.exp(point).tolist(), strict=True))

    def _residuals(self, point: Vector) -> Vector:
        """Return the log error of each sum, those of outliers flattened."""
        kernels_ms = replace(self.base, **self._at(point)).ms_of_work(self.work)
        error = np.log(np.add.reduceat(kernels_ms, self.starts) / self.measured_ms)
        return np.asarray(error / np.sqrt(1 + np.abs(error) / self.outlier))

    def _descend(self, start: Vector) -> tuple[Vector, float]:
        """Run Levenberg and Marquardt's descent between bounds; return its last point and the sum of squares there.

        A maximum of two lines has kinks, which no derivative sees; the damping grows until a step helps nevertheless.
        """
        low = np.log([_WIDEST[name][0] for name in self.free])
        high = np.log([min(_WIDEST[name][1], self.at_most.get(name, np.inf)) for name in self.free])
        point = np.clip(start, low, high)
        error = self._residuals(point)
        cost, damping = float(error @ error), 1e-2
        for _ in range(100):
            step = 1e-5
            slopes = np.stack(
                [(self._residuals(point + step * axis) - error) / step for axis in np.eye(len(point))], axis=1
            )
            gradient, curvature = slopes.T @ error, slopes.T @ slopes
            blocked = ((point <= low) & (gradient > 0)) | ((point >= high) & (gradient < 0))
            curvature[blocked, :] = curvature[:, blocked] = 0.0
            move = np.linalg.solve(curvature + damping * np.eye(len(point)), np.where(blocked, 0.0, -gradient))
            trial = np.clip(point + move, low, high)
            trial_error = self._residuals(trial)
            trial_cost = float(trial_error @ trial_error)
            if trial_cost < cost:
                is_done = cost - trial_cost < 1e-12 * cost
                point, error, cost, damping = trial, trial_error, trial_cost, max(damping / 5, 1e-9)
                if is_done:
                    break
            elif damping > 1e6:
                break
            else:
                damping *= 4
        return point, cost
