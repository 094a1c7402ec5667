"""`Roofline`, a model of latency from arithmetic and memory traffic alone, and how one is fitted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from dongfeng.devices.kernel import Kernel

Vector = npt.NDArray[np.float64]
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


@dataclass(frozen=True)
class Roofline:
    """`max(2 * macs / rate, bytes / bandwidth) + overhead`, per kernel.

    Attributes:
        tflops: Arithmetic rate in 1e12 operations per second; a multiply-accumulate is two.
        gb_per_s: Memory bandwidth in 1e9 bytes per second.
        kernel_us: Overhead of every kernel in microseconds.
        deconv_traffic: How many times as much traffic a deconvolution causes as its tensors hold.
        bytes_per_value: 4 for fp32, 2 for fp16.
        fitted_to: "kernels": to measured kernels; "networks": to whole networks' latencies.
        error: Relative error (0.1: 10 %): of a kernel at the median, or of a network left out of the fit (root mean
            square); None where nothing was left to check against.
    """

    tflops: float
    gb_per_s: float
    kernel_us: float = 0.0
    deconv_traffic: float = 1.0
    bytes_per_value: int = 4
    fitted_to: Literal["kernels", "networks"] = "kernels"
    error: float | None = None

    def ms(self, kernels: Sequence[Kernel]) -> Vector:
        """Return the milliseconds of each kernel."""
        return self._ms(work_of(kernels))

    def _ms(self, work: Vector) -> Vector:
        operations, values, is_deconv = work
        traffic = values * self.bytes_per_value * np.where(is_deconv > 0, self.deconv_traffic, 1.0)
        slower = np.maximum(operations / (self.tflops * 1e9), traffic / (self.gb_per_s * 1e6))
        return np.asarray(slower + self.kernel_us * 1e-3, np.float64)


def work_of(kernels: Sequence[Kernel]) -> Vector:
    """Return operations, values moved, and 1 for deconvolutions: (3, number of kernels) float64."""
    rows = [(2 * k.macs, k.values_read + k.values_written, k.main_operation.endswith("deconv")) for k in kernels]
    return np.array(rows, np.float64).reshape(-1, 3).T


def fit_to_kernels(kernels: Sequence[Kernel], ms: Sequence[float], *, bytes_per_value: int = 4) -> Roofline:
    """Fit the roofline nearest to measured kernels, in the ratio; a few odd ones do not bend it.

    Args:
        kernels: At least one.
        ms: Milliseconds of each, positive.
        bytes_per_value: 4 for fp32, 2 for fp16.
    """
    work, measured = work_of(kernels), np.asarray(ms, np.float64)
    free = FREE if work[2].any() else FREE[:3]

    def residuals(roofline: Roofline) -> Vector:
        error = np.log(roofline._ms(work) / measured)
        return np.asarray(error / np.sqrt(1 + np.abs(error) / _OUTLIER))

    found = _fit(residuals, Roofline(1.0, 1.0, bytes_per_value=bytes_per_value), free, {})
    off = np.abs(np.log(found._ms(work) / measured))
    return replace(found, fitted_to="kernels", error=rounded(float(np.median(off))))


def fit_to_networks(
    networks: Sequence[Sequence[Kernel]],
    ms: Sequence[float],
    *,
    bytes_per_value: int = 4,
    at_most: dict[str, float] | None = None,
) -> Roofline:
    """Fit the roofline whose sums are nearest, in the ratio, to the latencies of whole networks; its error stays None.

    Args:
        networks: The kernels of each.
        ms: Milliseconds of each.
        bytes_per_value: 4 for fp32, 2 for fp16.
        at_most: Upper bounds, such as a device's peak rates: {"tflops": 1.33}.
    """
    works = [work_of(kernels) for kernels in networks]

    def residuals(roofline: Roofline) -> Vector:
        return np.array([np.log(roofline._ms(work).sum() / each) for work, each in zip(works, ms, strict=True)])

    start = Roofline(1.0, 1.0, bytes_per_value=bytes_per_value, fitted_to="networks")
    return _fit(residuals, start, FREE, at_most or {})


def rounded(value: float) -> float:
    """Round to as many digits as a fit is worth."""
    return float(f"{value:.{_SIGNIFICANT}g}")


def _fit(
    residuals: Callable[[Roofline], Vector], base: Roofline, free: Sequence[str], at_most: dict[str, float]
) -> Roofline:
    """Minimise the squares over the logarithms of the free parameters, from several starts."""
    low = np.log([_WIDEST[name][0] for name in free])
    high = np.log([min(_WIDEST[name][1], at_most.get(name, np.inf)) for name in free])

    def made(point: Vector) -> Roofline:
        return _with(base, dict(zip(free, np.exp(point).tolist(), strict=True)))

    starts = itertools.product(*(_STARTS[name] for name in free))
    ends = [_descend(lambda point: residuals(made(point)), np.log(start), low, high) for start in starts]
    best = min(ends, key=lambda end: end[1])[0]
    found = made(best)
    return _with(found, {name: min(rounded(getattr(found, name)), at_most.get(name, np.inf)) for name in free})


def _with(roofline: Roofline, values: dict[str, float]) -> Roofline:
    return replace(roofline, **values)  # type: ignore[arg-type]  # the free ones are all float


def _descend(residuals: Callable[[Vector], Vector], start: Vector, low: Vector, high: Vector) -> tuple[Vector, float]:
    """Run Levenberg and Marquardt's descent between bounds; return its last point and the sum of squares there.

    A maximum of two lines has kinks, which no derivative sees; the damping grows until a step helps nevertheless.
    """
    point = np.clip(start, low, high)
    error = residuals(point)
    cost, damping = float(error @ error), 1e-2
    for _ in range(100):
        step = 1e-5
        slopes = np.stack([(residuals(point + step * axis) - error) / step for axis in np.eye(len(point))], axis=1)
        gradient, curvature = slopes.T @ error, slopes.T @ slopes
        blocked = ((point <= low) & (gradient > 0)) | ((point >= high) & (gradient < 0))
        curvature[blocked, :] = curvature[:, blocked] = 0.0
        move = np.linalg.solve(curvature + damping * np.eye(len(point)), np.where(blocked, 0.0, -gradient))
        trial = np.clip(point + move, low, high)
        trial_error = residuals(trial)
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
