"""`DeviceProfile`: what is known of a device's speed; `load_profile` finds one by name or path."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from dongfeng.devices.fusion import Fusion
from dongfeng.devices.kernel import Kernel
from dongfeng.devices.latency_table import LatencyTable
from dongfeng.devices.published import PublishedPoint
from dongfeng.devices.roofline import Roofline, fit_to_kernels
from dongfeng.errors import DeviceError

BYTES_PER_VALUE = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}


class MeasuredKernel(NamedTuple):
    """A row of a profile's table.

    Attributes:
        kernel: What was measured.
        ms: Its latency in milliseconds.
        samples: How many measurements `ms` is of.
        spread: Their relative standard deviation; 0 for a single one.
    """

    kernel: Kernel
    ms: float
    samples: int = 1
    spread: float = 0.0


@dataclass(frozen=True, eq=False)
class DeviceProfile:
    """Latencies of one device, runtime and precision at batch 1.

    Attributes:
        name: What `load_profile` knows it by.
        device: The device in words.
        runtime: "TensorRT", "Caffe", "onnxruntime", ...
        runtime_version: Its version, where known.
        precision: "fp32", "fp16", "bf16" or "int8".
        fusion: How the runtime cuts a net into kernels; see `dongfeng.devices.fusion`.
        source: Where the figures come from.
        gap_us: Time between two kernels that no kernel's own time holds, in microseconds.
        sum_error: Relative error of sums over kernels, gaps included, that is not that of the kernels.
        roofline: What stands in for kernels that are not in the table; None: without it, they are fitted to the table.
        kernels: Measured kernels.
        published: Published latencies of whole networks.
        threads: Threads of the CPU it was measured with; None where that means nothing.
    """

    name: str
    device: str
    runtime: str
    runtime_version: str | None
    precision: str
    fusion: Fusion
    source: str
    roofline: Roofline
    gap_us: float = 0.0
    sum_error: float = 0.0
    kernels: tuple[MeasuredKernel, ...] = ()
    published: tuple[PublishedPoint, ...] = ()
    threads: int | None = None

    @cached_property
    def table(self) -> LatencyTable:
        """The kernels as a table that answers for all others too."""
        rows = {row.kernel: (row.ms, row.spread) for row in self.kernels}
        return LatencyTable(rows, self.roofline)


def averaged(samples: Iterable[tuple[Kernel, float]]) -> tuple[MeasuredKernel, ...]:
    """One row per distinct kernel, in order of appearance: the mean of its samples in milliseconds."""
    by_unit: dict[Kernel, list[float]] = {}
    for kernel, ms in samples:
        by_unit.setdefault(kernel, []).append(ms)
    return tuple(_row(kernel, values) for kernel, values in by_unit.items())


def _row(kernel: Kernel, values: list[float]) -> MeasuredKernel:
    mean = sum(values) / len(values)
    if len(values) == 1 or mean == 0:
        return MeasuredKernel(kernel, round(mean, 7), len(values))
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return MeasuredKernel(kernel, round(mean, 7), len(values), round(variance**0.5 / mean, 4))


def with_fitted_roofline(profile: DeviceProfile) -> DeviceProfile:
    """The same profile with the roofline that fits its table."""
    rows = [row for row in profile.kernels if row.ms > 0]
    if not rows:
        raise DeviceError(f"profile {profile.name}: no measured kernel takes any time; measure again")
    width = BYTES_PER_VALUE[profile.precision]
    fitted = fit_to_kernels([row.kernel for row in rows], [row.ms for row in rows], bytes_per_value=width)
    return replace(profile, roofline=fitted)


def list_devices() -> list[str]:
    """Names of the profiles that ship, sorted.

    Example:
        >>> list_devices()
        ['gtx1080ti', 'snapdragon845', 'titanx', 'tx2']
    """
    folder = files("dongfeng.devices") / "profiles"
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


def load_profile(name_or_path: str | PathLike[str]) -> DeviceProfile:
    """A device profile.

    Args:
        name_or_path: A name of `list_devices()` (case, `-` and `_` do not matter), or a path: anything with a folder
            or the suffix .json in it.

    Raises:
        DeviceError: there is no such profile, or it is damaged; the message says where.
    """
    from dongfeng.devices.profile_json import parse_profile, read_profile

    text = str(name_or_path)
    if not isinstance(name_or_path, str) or text.endswith(".json") or Path(text).name != text:
        return read_profile(Path(name_or_path))
    known = {_canonical(name): name for name in list_devices()}
    found = known.get(_canonical(text))
    if found is None:
        close = difflib.get_close_matches(_canonical(text), known, n=1)
        hint = f', did you mean "{known[close[0]]}"?' if close else ""
        raise DeviceError(f'no device is called "{text}"{hint}; there are {", ".join(known.values())}, or give a .json')
    resource = files("dongfeng.devices") / "profiles" / f"{found}.json"
    return parse_profile(resource.read_text(encoding="utf-8"), filename=f"{found}.json")


def _canonical(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
