"""Latency of a net on a device: profiles (JSON), prediction, measuring a profile of this machine.

`load_profile` reads what is known of a device; `predict` adds up what its kernels take there; `kernels_of` and
`kernel_latency_ms` do so in pieces, for a search. `python -m dongfeng.devices` makes the profiles that ship.
"""

from __future__ import annotations

from dongfeng.devices.backbone_kernels import BackboneKernels
from dongfeng.devices.catalogue import list_devices, load_profile
from dongfeng.devices.fusion import kernels_of, named_kernels
from dongfeng.devices.kernel import Kernel, conv_kernel
from dongfeng.devices.measure import measure_profile
from dongfeng.devices.predict import (
    KernelLatency,
    LatencyEstimate,
    kernel_latency_ms,
    kernels_latency_ms,
    predict,
    published_points,
)
from dongfeng.devices.profile import DeviceProfile, MeasuredKernel
from dongfeng.devices.profile_json import read_profile, write_profile
from dongfeng.devices.published import PublishedPoint, timed_net
from dongfeng.devices.roofline import Roofline
from dongfeng.devices.trtexec import profile_from_trtexec

__all__ = [
    "DeviceProfile",
    "LatencyEstimate",
    "MeasuredKernel",
    "PublishedPoint",
    "Roofline",
    "BackboneKernels",
    "Kernel",
    "KernelLatency",
    "conv_kernel",
    "list_devices",
    "load_profile",
    "measure_profile",
    "named_kernels",
    "predict",
    "profile_from_trtexec",
    "published_points",
    "read_profile",
    "timed_net",
    "kernel_latency_ms",
    "kernels_latency_ms",
    "kernels_of",
    "write_profile",
]
