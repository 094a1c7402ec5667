"""`Roofline`: a model of latency from arithmetic and memory traffic alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt

from dongfeng.devices.kernel import Kernel
from dongfeng.devices.profile_values import AtLeastZero, Count, Positive
from dongfeng.support.strict_json import Node

Vector = npt.NDArray[np.float64]


def _fitted_to(node: Node) -> str:
    return "kernels" if node.choice(("units", "networks")) == "units" else "networks"


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

    tflops: Positive
    gb_per_s: Positive
    kernel_us: AtLeastZero = field(default=0.0, metadata={"key": "unit_us"})
    deconv_traffic: Positive = 1.0
    bytes_per_value: Count = 4
    fitted_to: Annotated[Literal["kernels", "networks"], _fitted_to] = "kernels"
    error: AtLeastZero | None = None

    def ms(self, kernels: Sequence[Kernel]) -> Vector:
        """Return the milliseconds of each kernel."""
        return self.ms_of_work(work_of(kernels))

    def ms_of_work(self, work: Vector) -> Vector:
        """Return the milliseconds of kernels from their work, (3, number of kernels); see `work_of`."""
        operations, values, is_deconv = work
        traffic = values * self.bytes_per_value * np.where(is_deconv > 0, self.deconv_traffic, 1.0)
        slower = np.maximum(operations / (self.tflops * 1e9), traffic / (self.gb_per_s * 1e6))
        return np.asarray(slower + self.kernel_us * 1e-3, np.float64)


def work_of(kernels: Sequence[Kernel]) -> Vector:
    """Return operations, values moved, and 1 for deconvolutions: (3, number of kernels) float64."""
    rows = [(2 * k.macs, k.values_read + k.values_written, k.main_operation.endswith("deconv")) for k in kernels]
    return np.array(rows, np.float64).reshape(-1, 3).T
