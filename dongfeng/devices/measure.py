"""Measuring a device profile of this machine."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from importlib import metadata
from os import PathLike

from dongfeng.backends.registry import auto_backend
from dongfeng.devices.backbone_kernels import BackboneKernels
from dongfeng.devices.fusion import kernels_of
from dongfeng.devices.journal import Journal, Sample
from dongfeng.devices.kernel import Kernel
from dongfeng.devices.predict import kernels_latency_ms
from dongfeng.devices.probe_nets import can_probe
from dongfeng.devices.profile import DeviceProfile, averaged, fitted_roofline
from dongfeng.devices.stopwatch import Stopwatch, machine
from dongfeng.errors import DeviceError
from dongfeng.net.graph import Net

OnProgress = Callable[[int, int], object]  # the number of measurements so far, and of all


def measure_profile(
    journal: str | PathLike[str],
    *,
    kernels: Iterable[Kernel] | None = None,
    calibration: Iterable[Net] | None = None,
    name: str = "this-machine",
    backend: str = "auto",
    precision: str = "fp32",
    threads: int | None = None,
    rounds: int = 3,
    repeats: int = 9,
    on_progress: OnProgress | None = None,
) -> DeviceProfile:
    """Measure a profile of this machine and a backend on its CPU.

    Every kernel is timed as the difference between small nets that hold it more and less often (`probe_nets`): the
    median of `repeats` runs, in `rounds` that go through all kernels before any is measured again. A yardstick runs
    beside them, and all times are scaled to its lower quartile: on a machine that is busy now and then, early and late
    measurements still add up. Small whole nets give what nets take beyond their kernels (`gap_us`).

    Args:
        journal: File that keeps the measurements as they are taken; a later call goes on where it ends.
        kernels: What to measure (default: `BackboneKernels()`, the backbone search space at 224x224); those that cannot
            be probed alone are left to the roofline.
        calibration: Whole nets that give the gap (default: those of `BackboneKernels()`). Not those to be predicted.
        name: Name of the profile.
        backend: "onnxruntime", "openvino", "ncnn" or "auto".
        precision: "fp32" or "bf16".
        threads: Threads of the CPU; None: the backend's own choice.
        rounds: Number of measurements of each kernel.
        repeats: Runs of each measurement.
        on_progress: Called after every measurement with their number so far and in all.

    Raises:
        BackendUnavailable: the backend cannot compute so here.
        DeviceError: the journal is of another machine, backend or setting, or there is nothing to measure.
        OSError: the journal cannot be written.
    """
    wanted = [kernel for kernel in (BackboneKernels().kernels() if kernels is None else kernels) if can_probe(kernel)]
    if not wanted:
        raise DeviceError("measure_profile: none of these kernels can be probed; give convolutions of a net, or none")
    nets = list(BackboneKernels().calibration_nets() if calibration is None else calibration)
    backend = auto_backend(precision) if backend == "auto" else backend
    stopwatch = Stopwatch(backend, precision, threads)
    kept = Journal(journal, stopwatch.about())
    jobs: dict[str, Callable[[], Sample]] = {
        _key(shape): partial(stopwatch.kernel, shape, repeats) for shape in map(_shape_of, wanted)
    }
    jobs.update({_net_key(net): partial(stopwatch.net, net, repeats) for net in nets})
    for done, (round_, key) in enumerate(itertools.product(range(rounds), jobs), 1):
        if not kept.has(key, round_):
            kept.add(key, round_, jobs[key]())
        if on_progress is not None:
            on_progress(done, rounds * len(jobs))
    return _profile(name, stopwatch, kept, wanted, nets)


def _shape_of(kernel: Kernel) -> Kernel:
    """Return the kernel that is measured for all that fuse something into the same convolution."""
    return kernel._replace(operation=kernel.main_operation)


def _key(kernel: Kernel) -> str:
    return f"{kernel} -> {kernel.out_hw[0]}x{kernel.out_hw[1]}"


def _net_key(net: Net) -> str:
    """Return a key by the kernels of a net; its weights do not matter."""
    return "net: " + "; ".join(map(_key, kernels_of(net)))


def _profile(name: str, stopwatch: Stopwatch, kept: Journal, kernels: list[Kernel], nets: list[Net]) -> DeviceProfile:
    measured = averaged((kernel, ms) for kernel in kernels for ms in kept.usual_ms(_key(_shape_of(kernel))))
    profile = DeviceProfile(
        name=name,
        device=machine(),
        runtime=stopwatch.backend,
        runtime_version=metadata.version(stopwatch.backend),
        precision=stopwatch.precision,
        fusion="fused",
        source="measured here by dongfeng",
        roofline=fitted_roofline(measured, stopwatch.precision, profile=name),
        kernels=measured,
        threads=stopwatch.threads,
    )
    return _with_gap(profile, {net: kept.usual_ms(_net_key(net)) for net in nets})


def _with_gap(profile: DeviceProfile, whole_ms: Mapping[Net, list[float]]) -> DeviceProfile:
    """Add the gap that whole nets show, and the error that their sums have nevertheless."""
    if not whole_ms:
        return profile
    found = [(kernels_of(net), statistics.median(values)) for net, values in whole_ms.items()]
    gap_ms = statistics.median((ms - kernels_latency_ms(profile, kernels)) / len(kernels) for kernels, ms in found)
    profile = replace(profile, gap_us=round(max(1e3 * gap_ms, 0.0), 3))
    off = [kernels_latency_ms(profile, kernels) / ms - 1 for kernels, ms in found]
    return replace(profile, sum_error=round(math.sqrt(statistics.fmean(each**2 for each in off)), 4))
