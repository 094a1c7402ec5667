"""What is read of the machine, from drawn /proc and /sys trees."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from dongfeng.benchmark import host
from dongfeng.benchmark.host import BusyMeter, Busyness, host_facts
from dongfeng.benchmark.noise import noise_of
from dongfeng.benchmark.report import Noise, TimerResult, Timers
from tests.benchmark.reports import a_report, a_timer


def draw(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    return root


CPU = "sys/devices/system/cpu"


@pytest.fixture
def laptop(tmp_path: Path) -> Path:
    """Two cores of two threads each."""
    files = {
        "proc/cpuinfo": "model name\t: Some CPU\ncpu MHz\t\t: 800.5\nflags\t\t: fpu sse2\n",
        "proc/meminfo": "MemTotal:       2048 kB\nMemFree: 1 kB",
        "proc/loadavg": "0.25 0.5 0.7 1/300 4000",
        f"{CPU}/intel_pstate/no_turbo": "1",
        "sys/firmware/acpi/platform_profile": "balanced",
        "sys/class/power_supply/BAT0/type": "Battery",
        "sys/class/power_supply/AC/type": "Mains",
        "sys/class/power_supply/AC/online": "0",
    }
    for cpu in range(4):
        files |= {
            f"{CPU}/cpu{cpu}/cpufreq/scaling_governor": "powersave" if cpu else "performance",
            f"{CPU}/cpu{cpu}/cpufreq/scaling_driver": "intel_pstate",
            f"{CPU}/cpu{cpu}/cpufreq/scaling_cur_freq": str(1_000_000 + cpu * 100_000),
            f"{CPU}/cpu{cpu}/cpufreq/scaling_min_freq": "400000",
            f"{CPU}/cpu{cpu}/cpufreq/scaling_max_freq": "3500000",
            f"{CPU}/cpu{cpu}/topology/thread_siblings_list": f"{cpu % 2},{cpu % 2 + 2}",
        }
    return draw(tmp_path, files)


def test_clocks_governor_and_power_are_read(laptop: Path) -> None:
    facts = host_facts(laptop)
    assert facts.cpu == "Some CPU"
    assert facts.governor == "performance, powersave"
    assert facts.cpu_mhz == (1000.0, 1100.0, 1200.0, 1300.0)
    assert (facts.cpu_min_mhz, facts.cpu_max_mhz) == (400.0, 3500.0)
    assert facts.is_boost_on is False
    assert facts.power_mode == "balanced"
    assert facts.is_on_battery is True
    assert facts.is_virtual is False
    assert (facts.memory_bytes, facts.load_average_1min) == (2048 * 1024, 0.25)


def test_a_jetson_tells_its_mode_and_cpuinfo_its_clocks(tmp_path: Path) -> None:
    files = {
        "var/lib/nvpmodel/status": "pmode:0003",
        "proc/cpuinfo": "cpu MHz : 1.5\ncpu MHz : 2.5\nflags : hypervisor",
    }
    facts = host_facts(
        draw(tmp_path, {**files, "proc/cpuinfo": files["proc/cpuinfo"].replace("flags :", "flags\t: fpu")})
    )
    assert facts.power_mode == "nvpmodel 0003"
    assert facts.cpu_mhz == (1.5, 2.5)
    assert facts.is_virtual is True


def test_what_the_system_does_not_tell_is_none(tmp_path: Path) -> None:
    facts = host_facts(tmp_path)
    silent = ("governor", "scaling_driver", "cpu_mhz", "cpu_min_mhz", "cpu_max_mhz", "is_boost_on", "power_mode")
    silent += ("is_on_battery", "memory_bytes", "is_virtual", "load_average_1min")
    assert {getattr(facts, name) for name in silent} == {None}


def test_what_others_use_is_all_but_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In ten seconds two CPUs are busy for 12, 7 of them are ours; 1 is stolen; a third CPU does not count."""
    now = {"clock": 100.0, "own": 3.0}
    monkeypatch.setattr(host, "perf_counter", lambda: now["clock"])
    monkeypatch.setattr(os, "times", lambda: SimpleNamespace(user=now["own"], system=0.0))
    per_second = os.sysconf("SC_CLK_TCK")

    def write(busy: float, stolen: float) -> None:
        rows = [
            f"cpu{cpu} {int(busy * per_second / 2)} 0 0 500 9 0 0 {int(stolen * per_second / 2)} 0 0" for cpu in (0, 1)
        ]
        draw(
            tmp_path, {"proc/stat": "\n".join(["cpu 1 2 3 4 5 6 7 8 9 10", *rows, "cpu2 999999 0 0 0 0 0 0 99999 0 0"])}
        )

    write(50, 0)
    meter = BusyMeter([0, 1], tmp_path)
    now |= {"clock": 110.0, "own": 10.0}
    write(62, 1)
    assert meter.read() == pytest.approx((0.25, 0.05))
    assert BusyMeter([0], tmp_path / "nowhere").read() == (None, None)


def judged(busyness: Busyness, *timers: TimerResult) -> Noise:
    names = ("network", "with_copies", "image_to_labels")
    return noise_of(a_report(timers=Timers(**dict(zip(names, timers, strict=False)))).rows, busyness)


def test_a_machine_that_others_use_is_too_noisy() -> None:
    calm = a_timer([1.0] * 20)
    quiet = judged(Busyness(0.02, 0.0), calm)
    assert quiet == Noise(is_noisy=False, others_fraction=0.02, stolen_fraction=0.0, reasons=())
    assert judged(Busyness(None, None), calm).is_noisy is False
    assert "other programs used 30 %" in judged(Busyness(0.3, None), calm).reasons[0]
    assert "other virtual machines took 5 %" in judged(Busyness(0.0, 0.05), calm).reasons[0]
    drifting = a_timer([1.0] * 20, is_drifting=True, drift_fraction=0.2)
    (reason,) = judged(Busyness(0.0, 0.0), drifting, calm).reasons
    assert "1 of 2 timers differed by more than 3 %" in reason
    assert "df1 224x224 ncnn fp32, network, 20 %" in reason
    assert "1 of 1 timers never settled" in judged(Busyness(0.0, 0.0), a_timer([1.0], is_steady=False)).reasons[0]
