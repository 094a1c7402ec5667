"""How long a net takes on a device: profiles (JSON), latency prediction, measuring a profile on this machine.

`load_profile` reads what is known of a device; `predict` adds up what its units take there; `units_of` and
`unit_latency_ms` do so in pieces, for a search. `python -m dongfeng.devices` makes the profiles that ship.
"""

from __future__ import annotations

from dongfeng.devices.measure import measure_profile
from dongfeng.devices.predict import (
    LatencyEstimate,
    UnitLatency,
    predict,
    published_points,
    unit_latency_ms,
    units_latency_ms,
)
from dongfeng.devices.profile import DeviceProfile, MeasuredUnit, list_devices, load_profile
from dongfeng.devices.profile_json import read_profile, write_profile
from dongfeng.devices.published import PublishedPoint, timed_net
from dongfeng.devices.roofline import Roofline
from dongfeng.devices.space import UnitSpace
from dongfeng.devices.trtexec import profile_from_trtexec
from dongfeng.devices.unit import Unit, conv_unit
from dongfeng.devices.units import placed_units, units_of

__all__ = [
    "DeviceProfile",
    "LatencyEstimate",
    "MeasuredUnit",
    "PublishedPoint",
    "Roofline",
    "UnitSpace",
    "Unit",
    "UnitLatency",
    "conv_unit",
    "list_devices",
    "load_profile",
    "measure_profile",
    "placed_units",
    "predict",
    "profile_from_trtexec",
    "published_points",
    "read_profile",
    "timed_net",
    "unit_latency_ms",
    "units_latency_ms",
    "units_of",
    "write_profile",
]
