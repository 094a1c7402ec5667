"""Latencies of a space on this machine, whose blocks are measured one by one through a backend."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from dongfeng.devices import DeviceProfile, kernels_of, measure_profile, read_profile, write_profile
from dongfeng.devices.measure import OnProgress
from dongfeng.devices.pinning import pinned
from dongfeng.search.latency import covering
from dongfeng.search.space import Space

PROFILE = "device.json"  # of the folder of a run

_CALIBRATION = 3  # whole nets, from which the time between blocks is measured


def measure_once(
    space: Space,
    folder: str | PathLike[str],
    *,
    threads: int = 1,
    rounds: int = 3,
    on_progress: OnProgress | None = None,
) -> DeviceProfile:
    """Return the profile of this machine in the folder of a run, which is measured where there is none.

    Args:
        space: The space.
        folder: Folder of the run, created where it is missing; a measurement that was killed goes on.
        threads: Threads of the CPU; this process is confined to as many CPUs.
        rounds: Number of measurements of each block.
        on_progress: Called after every measurement with their number so far and in all.

    Raises:
        BackendUnavailable: ONNX Runtime cannot compute here.
        DeviceError: the folder holds measurements of another machine or setting.
        OSError: the folder cannot be written.
    """
    profile, journal = Path(folder) / PROFILE, Path(folder) / "device.journal"
    if not profile.exists():
        profile.parent.mkdir(parents=True, exist_ok=True)
        with pinned(threads) as (count, _):
            measured = measure_space(space, journal, threads=count, rounds=rounds, on_progress=on_progress)
        write_profile(measured, profile)
        journal.unlink(missing_ok=True)
    return read_profile(profile)


def measure_space(
    space: Space,
    journal: str | PathLike[str],
    *,
    threads: int = 1,
    rounds: int = 3,
    repeats: int = 9,
    on_progress: OnProgress | None = None,
) -> DeviceProfile:
    """Measure a profile of this machine with every block of a space, at the size of its nets.

    Args:
        space: The space.
        journal: File that measurements are kept in as they are taken; a later call goes on where it ends.
        threads: Threads of the CPU.
        rounds: Number of measurements of each block.
        repeats: Repetitions within a measurement.
        on_progress: Called after every measurement with their number so far and in all.

    Raises:
        BackendUnavailable: the backend cannot compute here.
        DeviceError: the journal is of another machine or setting.
        OSError: the journal cannot be written.
    """
    encodings = list(dict.fromkeys(covering(space)))
    kernels = {kernel for encoding in encodings for kernel in kernels_of(space.timed(encoding))}
    places = {round(place * (len(encodings) - 1) / (_CALIBRATION - 1)) for place in range(_CALIBRATION)}
    return measure_profile(
        journal,
        kernels=sorted(kernels, key=lambda kernel: (kernel.macs, kernel)),
        calibration=[space.timed(encodings[place]) for place in sorted(places)],
        name="here",
        backend="onnxruntime",
        threads=threads,
        rounds=rounds,
        repeats=repeats,
        on_progress=on_progress,
    )
