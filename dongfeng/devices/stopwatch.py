"""`Stopwatch`: times nets on one backend, each run with cold caches, beside a yardstick."""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from dongfeng.backends.base import Execution
from dongfeng.backends.registry import backend_type
from dongfeng.devices.journal import BUSY, Sample
from dongfeng.devices.kernel import Kernel, conv_kernel
from dongfeng.devices.probe_nets import probe
from dongfeng.formats.onnx import to_onnx
from dongfeng.net.fold import fold
from dongfeng.net.graph import Net
from dongfeng.net.random_weights import random_weights

_WARM_UP = 2  # runs of each net that do not count
_TRIES = 4
_CACHE_BYTES = 96 << 20  # more than the caches of a CPU hold


class Stopwatch:
    """Times nets on one backend."""

    def __init__(self, backend: str, precision: str, threads: int | None) -> None:
        self.backend, self.precision, self.threads = backend, precision, threads
        self._type = backend_type(backend)
        self._quietest_ms = math.inf

    def about(self) -> dict[str, Any]:
        """Return what measurements depend on."""
        return {
            "machine": machine(),
            "backend": self.backend,
            "version": metadata.version(self.backend),
            "precision": self.precision,
            "threads": self.threads,
        }

    def kernel(self, kernel: Kernel, repeats: int) -> Sample:
        """Time one more copy of a kernel."""
        nets = probe(kernel)
        less, more = self.nets([nets.less, nets.more], repeats)
        return Sample(max(more.ms - less.ms, 0.0) / nets.copies, more.yardstick_ms)

    def net(self, net: Net, repeats: int) -> Sample:
        """Time one whole net; see `nets`."""
        return self.nets([net], repeats)[0]

    def nets(self, nets: Sequence[Net], repeats: int) -> list[Sample]:
        """Time whole nets, folded, on random weights: medians over interleaved runs with cold caches.

        While the machine does something else, which the yardstick shows, they are measured again, a few times at most.
        """
        runs = [self._yardstick, *map(self._run_of, nets)]
        tries = []
        for _ in range(_TRIES):
            rounds = [[_cold_ms(run) for run in runs] for _ in range(repeats + _WARM_UP)]
            tries.append([statistics.median(column) for column in zip(*rounds[_WARM_UP:], strict=True)])
            self._quietest_ms = min(self._quietest_ms, tries[-1][0])
            if tries[-1][0] <= BUSY * self._quietest_ms:
                break
        yardstick_ms, *medians_ms = min(tries)
        return [Sample(ms, yardstick_ms) for ms in medians_ms]

    @cached_property
    def _yardstick(self) -> Callable[[], object]:
        """A few milliseconds of 3x3 convolutions, the most of a backbone's work."""
        return self._run_of(probe(conv_kernel(128, 128, 3, (28, 28))).more)

    def _run_of(self, net: Net) -> Callable[[], object]:
        model = to_onnx(random_weights(fold(net))).SerializeToString()
        running = self._type(model, Execution(precision=self.precision, device="cpu", threads=self.threads))
        output, shape = next(iter(running.outputs)), next(iter(net.inputs.values()))
        image = np.random.default_rng(0).standard_normal([dim or 1 for dim in shape]).astype(np.float32)
        return lambda: running.run(image, output)


def machine() -> str:
    """Describe the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f"{model}, {os.cpu_count()} cores"


def _cold_ms(run: Callable[[], object]) -> float:
    _other_memory().sum()
    start = perf_counter()
    run()
    return 1e3 * (perf_counter() - start)


@cache
def _other_memory() -> npt.NDArray[np.float64]:
    """Return memory whose reading drives everything else out of the caches."""
    return np.ones(_CACHE_BYTES // 8)
