"""Latency of a net on a device: the sum over its units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

from dongfeng.devices.profile import DeviceProfile, load_profile
from dongfeng.devices.published import PublishedPoint
from dongfeng.devices.table import Basis
from dongfeng.devices.unit import Unit
from dongfeng.devices.units import placed_units
from dongfeng.net.graph import Net

Device = str | PathLike[str] | DeviceProfile


@dataclass(frozen=True)
class UnitLatency:
    """One line of an estimate.

    Attributes:
        name: The layers it stands for, joined with " + ".
        unit: What they are to the device.
        ms: Milliseconds, the gap to the next unit included.
        error_ms: Error bar to either side; None where it is not known.
        basis: "looked up", "interpolated" or "modelled".
    """

    name: str
    unit: Unit
    ms: float
    error_ms: float | None
    basis: Basis


@dataclass(frozen=True)
class LatencyEstimate:
    """Predicted latency of a net at batch 1: the sum of per-unit times, without copies to and from the device.

    Attributes:
        device: Name of the profile.
        layers: The units in order.
        sum_error: Relative error of the device's sums that is not that of their parts.
    """

    device: str
    layers: tuple[UnitLatency, ...]
    sum_error: float = 0.0

    @property
    def total_ms(self) -> float:
        """Milliseconds of all units."""
        return math.fsum(line.ms for line in self.layers)

    @property
    def error_ms(self) -> float | None:
        """Error bar of `total_ms` to either side; None where that of some unit is not known.

        Measurements err independently, so theirs are added as squares; what is interpolated or modelled may err the
        same way everywhere, so those are added as they are, and so is `sum_error`.
        """
        errors = [(line.error_ms, line.basis) for line in self.layers]
        if any(error is None for error, _ in errors):
            return None
        measured = math.fsum((error or 0.0) ** 2 for error, basis in errors if basis == "looked up")
        others = math.fsum(error or 0.0 for error, basis in errors if basis != "looked up")
        return math.sqrt(measured) + others + self.sum_error * self.total_ms

    @property
    def fps(self) -> float:
        """Nets per second, one after the other."""
        return 1000 / self.total_ms

    def share_ms(self, basis: Basis) -> float:
        """Milliseconds of the total that come from lookups, interpolation or the model."""
        return math.fsum(line.ms for line in self.layers if line.basis == basis)


def predict(net: Net, device: Device) -> LatencyEstimate:
    """Predict the latency of a net on a device.

    Args:
        net: A net whose input size is known; weights do not matter. BatchNorm and Scale are folded first.
        device: A name of `list_devices()`, the path of a profile, or a profile.

    Returns:
        Latency per unit and in total, batch 1. A net's softmax and label layers count, though published figures are of
        nets that end in their scores (`timed_net`).

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
    for name, unit in placed_units(net, profile.fusion):
        estimate = profile.table(unit)
        error_ms = None if estimate.error is None else estimate.error * estimate.ms
        lines.append(UnitLatency(name, unit, estimate.ms + _gap_ms(profile), error_ms, estimate.basis))
    return LatencyEstimate(profile.name, tuple(lines), profile.sum_error)


def unit_latency_ms(profile: DeviceProfile, unit: Unit) -> float:
    """Milliseconds of one unit, the gap to the next one included; asked again, it costs a look into a dictionary.

    The latency of an architecture is the sum over its units (`units_of`).
    """
    return profile.table(unit).ms + _gap_ms(profile)


def units_latency_ms(profile: DeviceProfile, units: Sequence[Unit]) -> float:
    """Milliseconds of units that run one after the other."""
    return math.fsum(unit_latency_ms(profile, unit) for unit in units)


def published_points(device: Device) -> tuple[PublishedPoint, ...]:
    """Every published latency of a device, at its published size.

    Raises:
        DeviceError: there is no such device, or its profile is damaged.
    """
    return (device if isinstance(device, DeviceProfile) else load_profile(device)).published


def _gap_ms(profile: DeviceProfile) -> float:
    return profile.gap_us * 1e-3
