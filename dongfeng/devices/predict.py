"""Prediction of a net's latency on a device: the sum over its kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

from dongfeng.devices.catalogue import load_profile
from dongfeng.devices.fusion import named_kernels
from dongfeng.devices.kernel import Kernel
from dongfeng.devices.latency_table import Basis
from dongfeng.devices.profile import DeviceProfile
from dongfeng.devices.published import PublishedPoint
from dongfeng.net.graph import Net

Device = str | PathLike[str] | DeviceProfile


@dataclass(frozen=True)
class KernelLatency:
    """Latency of one kernel in an estimate.

    Attributes:
        name: Names of the layers it executes, joined with " + ".
        kernel: The kernel.
        ms: Milliseconds, the gap to the next kernel included.
        error_ms: Error bar to either side; None where it is not known.
        basis: "looked up", "interpolated" or "modelled".
    """

    name: str
    kernel: Kernel
    ms: float
    error_ms: float | None
    basis: Basis


@dataclass(frozen=True)
class LatencyEstimate:
    """Predicted latency of a net at batch 1: the sum of per-kernel times, without copies to and from the device.

    Attributes:
        device: Name of the profile.
        kernels: The kernels in order.
        sum_error: Relative error of the device's sums beyond that of their parts.
    """

    device: str
    kernels: tuple[KernelLatency, ...]
    sum_error: float = 0.0

    @property
    def total_ms(self) -> float:
        """Milliseconds of all kernels."""
        return math.fsum(line.ms for line in self.kernels)

    @property
    def error_ms(self) -> float | None:
        """Error bar of `total_ms` to either side; None where that of some kernel is not known.

        Measurements err independently, so theirs are added as squares; what is interpolated or modelled may err the
        same way everywhere, so those are added as they are, and so is `sum_error`.
        """
        errors = [(line.error_ms, line.basis) for line in self.kernels]
        if any(error is None for error, _ in errors):
            return None
        measured = math.fsum((error or 0.0) ** 2 for error, basis in errors if basis == "looked up")
        others = math.fsum(error or 0.0 for error, basis in errors if basis != "looked up")
        return math.sqrt(measured) + others + self.sum_error * self.total_ms

    @property
    def fps(self) -> float:
        """Frames per second, one after the other."""
        return 1000 / self.total_ms

    def share_ms(self, basis: Basis) -> float:
        """Add up the milliseconds that come from lookups, from interpolation or from the model."""
        return math.fsum(line.ms for line in self.kernels if line.basis == basis)


def predict(net: Net, device: Device) -> LatencyEstimate:
    """Predict the latency of a net on a device.

    Args:
        net: A net whose input size is known; weights do not matter. BatchNorm and Scale are folded first.
        device: A name of `list_devices()`, the path of a profile, or a profile.

    Returns:
        Latency per kernel and in total, batch 1. A net's softmax and label layers count, though published figures are
        of nets that end in their scores (`timed_net`).

    Raises:
        DeviceError: there is no such device, or its profile is damaged.
        ShapeError: the input size is dynamic (use `Net.resize`).
        UnsupportedLayer: a layer whose latency is not modelled.

    Example:
        >>> from dongfeng.devices import timed_net
        >>> f"{predict(timed_net('df1', (224, 224)), 'tx2').total_ms:.1f} ms, published 2.5 ms"
        '2.5 ms, published 2.5 ms'
    """
    profile = device if isinstance(device, DeviceProfile) else load_profile(device)
    lines = []
    for name, kernel in named_kernels(net, profile.fusion):
        estimate = profile.table(kernel)
        error_ms = None if estimate.error is None else estimate.error * estimate.ms
        lines.append(KernelLatency(name, kernel, estimate.ms + _gap_ms(profile), error_ms, estimate.basis))
    return LatencyEstimate(profile.name, tuple(lines), profile.sum_error)


def kernel_latency_ms(profile: DeviceProfile, kernel: Kernel) -> float:
    """Return the milliseconds of one kernel, the gap to the next one included; the second call is a dictionary look-up.

    The latency of an architecture is the sum over its kernels (`kernels_of`).
    """
    return profile.table(kernel).ms + _gap_ms(profile)


def kernels_latency_ms(profile: DeviceProfile, kernels: Sequence[Kernel]) -> float:
    """Add up the milliseconds of kernels that run one after the other."""
    return math.fsum(kernel_latency_ms(profile, kernel) for kernel in kernels)


def published_points(device: Device) -> tuple[PublishedPoint, ...]:
    """Return every published latency of a device, at its published size.

    Raises:
        DeviceError: there is no such device, or its profile is damaged.
    """
    return (device if isinstance(device, DeviceProfile) else load_profile(device)).published


def _gap_ms(profile: DeviceProfile) -> float:
    return profile.gap_us * 1e-3
