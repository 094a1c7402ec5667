"""Facts about this machine, as its system tells them: CPU, clocks, governor, power mode, and what others do on it."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from dongfeng.devices.pinning import core_leaders

_ROOT = Path("/")
_PACKAGES = ("numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "ncnn", "tensorrt", "tensorrt-rtx")
_BOOST = {"devices/system/cpu/cpufreq/boost": "1", "devices/system/cpu/intel_pstate/no_turbo": "0"}
_TICKS_BUSY = (0, 1, 2, 5, 6)  # user, nice, system, irq, softirq in /proc/stat
_TICKS_STOLEN = 7
_CPU_MHZ = re.compile(r"^cpu MHz\s*:\s*([0-9.]+)$", re.MULTILINE)


def versions() -> dict[str, str]:
    """Return the versions of what may change a measurement; packages that are not installed are left out."""
    from dongfeng._version import __version__

    found = {"dongfeng": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """A machine; None stands for what its system does not tell.

    Attributes:
        cpu: The CPU's name.
        governor: The CPUs' frequency governors, deduplicated, as are the `scaling_driver`s.
        cpu_mhz: Present clock of each CPU.
        is_boost_on: Whether clocks may exceed the nominal one.
        power_mode: A Jetson's nvpmodel by number, else the platform profile by name.
    """

    machine: str | None = None
    cpu: str | None = None
    logical_cpus: int | None = None
    physical_cores: int | None = None
    memory_bytes: int | None = None
    system: str | None = None
    is_virtual: bool | None = None
    governor: str | None = None
    scaling_driver: str | None = None
    cpu_mhz: tuple[float, ...] | None = None
    cpu_min_mhz: float | None = None
    cpu_max_mhz: float | None = None
    is_boost_on: bool | None = None
    power_mode: str | None = None
    is_on_battery: bool | None = None
    load_average_1min: float | None = None


def host_facts(root: Path = _ROOT) -> HostFacts:
    """Return the facts about this machine.

    Args:
        root: Folder that holds `proc`, `sys` and `var`.
    """
    sys = root / "sys"
    cpuinfo = _text(root / "proc/cpuinfo") or ""
    cpus = _frequency_folders(sys)
    return HostFacts(
        machine=platform.machine(),
        cpu=_field(cpuinfo, "model name") or platform.processor() or None,
        logical_cpus=os.cpu_count(),
        physical_cores=len(core_leaders(range(os.cpu_count() or 1), root)),
        memory_bytes=_memory_bytes(root),
        system=f"{platform.system()} {platform.release()}",
        is_virtual=(" hypervisor" in (_field(cpuinfo, "flags") or "")) if cpuinfo else None,
        governor=_deduplicated(_text(folder / "scaling_governor") for folder in cpus),
        scaling_driver=_deduplicated(_text(folder / "scaling_driver") for folder in cpus),
        cpu_mhz=_mhz(cpus, "scaling_cur_freq") or tuple(map(float, _CPU_MHZ.findall(cpuinfo))) or None,
        cpu_min_mhz=min(_mhz(cpus, "scaling_min_freq"), default=None),
        cpu_max_mhz=max(_mhz(cpus, "scaling_max_freq"), default=None),
        is_boost_on=_is_boost_on(sys),
        power_mode=_power_mode(root),
        is_on_battery=_is_on_battery(sys),
        load_average_1min=_load_average(root),
    )


class Busyness(NamedTuple):
    """Shares of the CPUs' time that others had while a block ran; None where the system does not tell.

    Attributes:
        others_fraction: Time of other programs.
        stolen_fraction: Time that the host of a virtual machine gave to other machines.
    """

    others_fraction: float | None
    stolen_fraction: float | None


class BusyMeter:
    """Measures, from its creation on, which share of some CPUs others had."""

    def __init__(self, cpus: Iterable[int], root: Path = _ROOT) -> None:
        self._cpus, self._root = sorted(cpus), root
        self._start = self._now()

    def read(self) -> Busyness:
        """Return the shares since the meter was created."""
        seconds, ours, busy, stolen = (now - then for now, then in zip(self._now(), self._start, strict=True))
        available = seconds * len(self._cpus)
        if not self._ticks() or available <= 0:
            return Busyness(None, None)
        return Busyness(max(busy - ours, 0.0) / available, max(stolen, 0.0) / available)

    def _now(self) -> tuple[float, float, float, float]:
        """Return seconds: on the clock, of this process, of all programs on the CPUs, stolen."""
        busy = stolen = 0.0
        for ticks in self._ticks():
            busy += sum(ticks[at] for at in _TICKS_BUSY)
            stolen += ticks[_TICKS_STOLEN]
        own = os.times()
        per_second = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
        return perf_counter(), own.user + own.system, busy / per_second, stolen / per_second

    def _ticks(self) -> list[list[int]]:
        lines = (_text(self._root / "proc/stat") or "").splitlines()
        wanted = {f"cpu{cpu}" for cpu in self._cpus}
        rows = [line.split() for line in lines if line.partition(" ")[0] in wanted]
        return [[int(word) for word in row[1:]] for row in rows if len(row) > _TICKS_STOLEN + 1]


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def _field(cpuinfo: str, name: str) -> str | None:
    found = re.search(rf"^{name}\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else None


def _deduplicated(values: Iterable[str | None]) -> str | None:
    """Return the distinct values in order, joined with commas; None where there are none."""
    return ", ".join(dict.fromkeys(value for value in values if value)) or None


def _frequency_folders(sys: Path) -> list[Path]:
    folders = (sys / "devices/system/cpu").glob("cpu[0-9]*/cpufreq")
    return sorted(folders, key=lambda path: int(path.parent.name[3:]))


def _mhz(cpus: list[Path], name: str) -> tuple[float, ...]:
    texts = (_text(folder / name) for folder in cpus)
    return tuple(int(text) / 1000 for text in texts if text and text.isdigit())


def _memory_bytes(root: Path) -> int | None:
    found = _field(_text(root / "proc/meminfo") or "", "MemTotal")
    return int(found.split()[0]) * 1024 if found else None


def _is_boost_on(sys: Path) -> bool | None:
    values = ((_text(sys / name), on) for name, on in _BOOST.items())
    return next((value == on for value, on in values if value is not None), None)


def _power_mode(root: Path) -> str | None:
    jetson = _text(root / "var/lib/nvpmodel/status")  # "pmode:0000"
    if jetson:
        return f"nvpmodel {jetson.partition(':')[2] or jetson}"
    return _text(root / "sys/firmware/acpi/platform_profile")


def _is_on_battery(sys: Path) -> bool | None:
    types = {folder: _text(folder / "type") for folder in (sys / "class/power_supply").glob("*")}
    if "Battery" not in types.values():
        return None
    mains = [_text(folder / "online") for folder, type_ in types.items() if type_ == "Mains"]
    return bool(mains) and "1" not in mains


def _load_average(root: Path) -> float | None:
    found = _text(root / "proc/loadavg")
    return float(found.split()[0]) if found else None
