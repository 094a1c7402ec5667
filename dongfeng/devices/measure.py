"""A device profile of this machine, measured."""

from __future__ import annotations

import itertools
import math
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property, partial
from importlib import metadata
from os import PathLike
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from dongfeng.backends.base import Execution
from dongfeng.backends.registry import auto_backend, backend_type
from dongfeng.devices.backbone_kernels import BackboneKernels
from dongfeng.devices.fusion import kernels_of
from dongfeng.devices.journal import BUSY, Journal, Sample
from dongfeng.devices.kernel import Kernel, conv_kernel
from dongfeng.devices.predict import kernels_latency_ms
from dongfeng.devices.probe_nets import can_probe, probe
from dongfeng.devices.profile import DeviceProfile, averaged, with_fitted_roofline
from dongfeng.devices.roofline import Roofline
from dongfeng.errors import DeviceError
from dongfeng.formats.onnx import to_onnx
from dongfeng.net.fold import fold
from dongfeng.net.graph import Net
from dongfeng.net.random_weights import random_weights

OnProgress = Callable[[int, int], object]  # how many measurements are done, and of how many

_WARM_UP = 2  # runs of each net that do not count
_TRIES = 4
_CACHE_BYTES = 96 << 20  # more than the caches of a CPU hold


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

    Every kernel is timed as the difference between small nets that hold it more and less often (`probe`), medians of
    `repeats` turns, in `rounds` that go through all kernels before any is measured again. A yardstick runs in every
    turn, and all times are told as they would be at its lower quartile: on a machine that is busy now and then, what
    is measured early and late still adds up. What nets take
    beyond their kernels (`gap_us`) is told by small whole nets.

    Args:
        journal: File that measurements are kept in as they are taken; a later call goes on where it ends.
        kernels: What to measure (default: `BackboneKernels()`, the backbone search space at 224x224); those that cannot
            be probed by themselves are left to the roofline.
        calibration: Whole nets that tell the gap (default: those of `BackboneKernels()`). Not the ones to be predicted.
        name: Name of the profile.
        backend: "onnxruntime", "openvino", "ncnn" or "auto".
        precision: "fp32" or "bf16".
        threads: Threads of the CPU; None: the backend's own choice.
        rounds: How often each kernel is measured.
        repeats: Turns of each measurement.
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


class Stopwatch:
    """Times nets on one backend."""

    def __init__(self, backend: str, precision: str, threads: int | None) -> None:
        self.backend, self.precision, self.threads = backend, precision, threads
        self._type = backend_type(backend)
        self._quietest_ms = math.inf

    def about(self) -> dict[str, Any]:
        """What measurements depend on."""
        return {
            "machine": machine(),
            "backend": self.backend,
            "version": metadata.version(self.backend),
            "precision": self.precision,
            "threads": self.threads,
        }

    def kernel(self, kernel: Kernel, repeats: int) -> Sample:
        """What one more copy of a kernel costs."""
        made = probe(kernel)
        less, more = self.nets([made.less, made.more], repeats)
        return Sample(max(more.ms - less.ms, 0.0) / made.copies, more.yardstick_ms)

    def net(self, net: Net, repeats: int) -> Sample:
        """One whole net; see `nets`."""
        return self.nets([net], repeats)[0]

    def nets(self, nets: Sequence[Net], repeats: int) -> list[Sample]:
        """Whole nets, folded, on random weights: medians over turns; each run begins with cold caches.

        While the machine does something else, which the yardstick shows, they are measured again a few times.
        """
        runs = [self._yardstick, *map(self._run_of, nets)]
        tries = []
        for _ in range(_TRIES):
            turns = [[_cold_ms(run) for run in runs] for _ in range(repeats + _WARM_UP)]
            tries.append([statistics.median(column) for column in zip(*turns[_WARM_UP:], strict=True)])
            self._quietest_ms = min(self._quietest_ms, tries[-1][0])
            if tries[-1][0] <= BUSY * self._quietest_ms:
                break
        yardstick_ms, *medians_ms = min(tries)
        return [Sample(ms, yardstick_ms) for ms in medians_ms]

    @cached_property
    def _yardstick(self) -> Callable[[], object]:
        """A few milliseconds of what backbones mostly do."""
        return self._run_of(probe(conv_kernel(128, 128, 3, (28, 28))).more)

    def _run_of(self, net: Net) -> Callable[[], object]:
        model = to_onnx(random_weights(fold(net))).SerializeToString()
        running = self._type(model, Execution(precision=self.precision, device="cpu", threads=self.threads))
        output, shape = next(iter(running.outputs)), next(iter(net.inputs.values()))
        image = np.random.default_rng(0).standard_normal([dim or 1 for dim in shape]).astype(np.float32)
        return lambda: running.run(image, output)


def machine() -> str:
    """The CPU in words."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f"{model}, {os.cpu_count()} cores"


def _cold_ms(run: Callable[[], object]) -> float:
    _elsewhere().sum()
    start = perf_counter()
    run()
    return 1e3 * (perf_counter() - start)


@cache
def _elsewhere() -> npt.NDArray[np.float64]:
    """Memory whose reading drives everything else out of the caches."""
    return np.ones(_CACHE_BYTES // 8)


def _shape_of(kernel: Kernel) -> Kernel:
    """The kernel that is measured for all that fuse the same convolution with this or that."""
    return kernel._replace(operation=kernel.main_operation)


def _key(kernel: Kernel) -> str:
    return f"{kernel} -> {kernel.out_hw[0]}x{kernel.out_hw[1]}"


def _net_key(net: Net) -> str:
    """Equal nets have equal kernels; their weights do not matter."""
    return "net: " + "; ".join(map(_key, kernels_of(net)))


def _profile(name: str, stopwatch: Stopwatch, kept: Journal, kernels: list[Kernel], nets: list[Net]) -> DeviceProfile:
    profile = DeviceProfile(
        name=name,
        device=machine(),
        runtime=stopwatch.backend,
        runtime_version=metadata.version(stopwatch.backend),
        precision=stopwatch.precision,
        fusion="fused",
        source="measured here by dongfeng",
        roofline=Roofline(1.0, 1.0),
        kernels=averaged((kernel, ms) for kernel in kernels for ms in kept.usual_ms(_key(_shape_of(kernel)))),
        threads=stopwatch.threads,
    )
    return _with_gap(with_fitted_roofline(profile), {net: kept.usual_ms(_net_key(net)) for net in nets})


def _with_gap(profile: DeviceProfile, whole_ms: Mapping[Net, list[float]]) -> DeviceProfile:
    """The profile with the gap that whole nets tell, and what their sums are off by nevertheless."""
    if not whole_ms:
        return profile
    found = [(kernels_of(net), statistics.median(values)) for net, values in whole_ms.items()]
    gap_ms = statistics.median((ms - kernels_latency_ms(profile, kernels)) / len(kernels) for kernels, ms in found)
    profile = replace(profile, gap_us=round(max(1e3 * gap_ms, 0.0), 3))
    off = [kernels_latency_ms(profile, kernels) / ms - 1 for kernels, ms in found]
    return replace(profile, sum_error=round(math.sqrt(statistics.fmean(each**2 for each in off)), 4))
