"""`DeviceProfile`: what is known of a device's speed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, NamedTuple

from dongfeng.devices.fusion import Fusion
from dongfeng.devices.kernel import Kernel
from dongfeng.devices.latency_table import LatencyTable
from dongfeng.devices.profile_values import AtLeastZero, Count
from dongfeng.devices.published import PublishedPoint
from dongfeng.devices.roofline import Roofline
from dongfeng.devices.roofline_fit import fit_to_kernels
from dongfeng.errors import DeviceError
from dongfeng.support.json_dataclass import Text
from dongfeng.support.strict_json import Node

BYTES_PER_VALUE = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}


class MeasuredKernel(NamedTuple):
    """A row of a profile's table.

    Attributes:
        kernel: What was measured.
        ms: Its latency in milliseconds.
        samples: Number of measurements that `ms` is the mean of.
        spread: Their relative standard deviation; 0 for a single one.
    """

    kernel: Kernel
    ms: float
    samples: int = 1
    spread: float = 0.0


def read_precision(node: Node) -> str:
    """Read a precision of a profile."""
    return node.choice(BYTES_PER_VALUE)


@dataclass(frozen=True, eq=False)
class DeviceProfile:
    """Latencies of one device, runtime and precision at batch 1.

    Attributes:
        name: The name that `load_profile` finds it by.
        device: The device in words.
        runtime: "TensorRT", "Caffe", "onnxruntime", ...
        runtime_version: Its version, where known.
        precision: "fp32", "fp16", "bf16" or "int8".
        fusion: How the runtime cuts a net into kernels; see `dongfeng.devices.fusion`.
        source: Where the figures come from.
        gap_us: Time between two kernels that no kernel's own time holds, in microseconds.
        sum_error: Relative error of sums over kernels, gaps included, beyond that of the kernels.
        roofline: Model of the kernels that are not in the table.
        kernels: Measured kernels.
        published: Published latencies of whole networks.
        threads: Threads of the CPU it was measured with; None where that means nothing.
    """

    name: Text
    device: Text
    runtime: Text
    runtime_version: Text | None
    precision: Annotated[str, read_precision]
    fusion: Fusion
    source: Text
    roofline: Roofline
    gap_us: AtLeastZero = 0.0
    sum_error: AtLeastZero = 0.0
    kernels: tuple[MeasuredKernel, ...] = ()
    published: tuple[PublishedPoint, ...] = ()
    threads: Count | None = None

    @cached_property
    def table(self) -> LatencyTable:
        """The measured kernels as a table that answers for all others too."""
        rows = {row.kernel: (row.ms, row.spread) for row in self.kernels}
        return LatencyTable(rows, self.roofline)


def averaged(samples: Iterable[tuple[Kernel, float]]) -> tuple[MeasuredKernel, ...]:
    """Average samples in milliseconds: one row per distinct kernel, in order of appearance."""
    by_kernel: dict[Kernel, list[float]] = {}
    for kernel, ms in samples:
        by_kernel.setdefault(kernel, []).append(ms)
    return tuple(_row(kernel, values) for kernel, values in by_kernel.items())


def _row(kernel: Kernel, values: list[float]) -> MeasuredKernel:
    mean = sum(values) / len(values)
    if len(values) == 1 or mean == 0:
        return MeasuredKernel(kernel, round(mean, 7), len(values))
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return MeasuredKernel(kernel, round(mean, 7), len(values), round(variance**0.5 / mean, 4))


def fitted_roofline(kernels: Sequence[MeasuredKernel], precision: str, *, profile: str) -> Roofline:
    """Fit a roofline to measured kernels.

    Args:
        kernels: The table of a profile.
        precision: What was computed in.
        profile: Name of the profile, for the message.

    Raises:
        DeviceError: the table has no kernel that takes any time.
    """
    rows = [row for row in kernels if row.ms > 0]
    if not rows:
        raise DeviceError(f"profile {profile}: no measured kernel takes any time; measure again")
    width = BYTES_PER_VALUE[precision]
    return fit_to_kernels([row.kernel for row in rows], [row.ms for row in rows], bytes_per_value=width)
