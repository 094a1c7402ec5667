"""Latencies of a space on this machine: its blocks are measured through ONNX Runtime, each by itself."""

from __future__ import annotations

from os import PathLike

from dongfeng.devices import DeviceProfile, kernels_of, measure_profile
from dongfeng.devices.measure import OnProgress
from dongfeng.search.latency import covering
from dongfeng.search.space import Space

_CALIBRATION = 3  # whole nets that tell what a net takes beyond its blocks


def measure_space(
    space: Space,
    journal: str | PathLike[str],
    *,
    name: str = "here",
    backend: str = "onnxruntime",
    threads: int = 1,
    rounds: int = 3,
    repeats: int = 9,
    on_progress: OnProgress | None = None,
) -> DeviceProfile:
    """A profile of this machine with every block that the space is made of, at the size of its nets.

    Args:
        space: The space.
        journal: File that measurements are kept in as they are taken; a later call goes on where it ends.
        name: Name of the profile.
        backend: "onnxruntime", "openvino" or "ncnn".
        threads: Threads of the CPU.
        rounds: How often each block is measured.
        repeats: Turns of each measurement.
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
        name=name,
        backend=backend,
        threads=threads,
        rounds=rounds,
        repeats=repeats,
        on_progress=on_progress,
    )
