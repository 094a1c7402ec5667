"""Device profiles as files: measured on this machine, or taken from a board's `trtexec`; `df-bench lut` in one call."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from dongfeng import devices
from dongfeng.devices.measure import OnProgress
from dongfeng.devices.pinning import pinned
from dongfeng.errors import DeviceError
from dongfeng.runtime.export import scored_net
from dongfeng.runtime.source import find_net


def measure_profile(
    output: str | PathLike[str],
    *,
    name: str | None = None,
    backend: str = "auto",
    precision: str = "fp32",
    threads: int | None = None,
    rounds: int = 3,
    resume: bool = False,
    on_progress: OnProgress | None = None,
) -> devices.DeviceProfile:
    """Measure a profile of this machine and write it.

    What is measured is the space of backbones at 224x224 (`devices.measure_profile`). Measurements are kept in
    `OUTPUT.journal` as they are taken, until the profile is written.

    Args:
        output: The profile, a .json file in a folder that exists.
        name: Name of the profile; None: that of the file.
        backend: "onnxruntime", "openvino", "ncnn" or "auto".
        precision: "fp32" or "bf16".
        threads: Threads of the CPU, and number of CPUs to use; None: one for each physical core.
        rounds: Number of times that each block is measured.
        resume: Whether to go on where a killed run ended.
        on_progress: Called after every measurement with their number so far and in all.

    Raises:
        BackendUnavailable: the backend cannot compute so here.
        DeviceError: the path is not that of a profile, or the journal is of another machine, backend or setting.
        OSError: a file cannot be written.
    """
    path = _checked(output)
    journal = path.with_name(f"{path.name}.journal")
    if not resume:
        journal.unlink(missing_ok=True)
    with pinned(threads) as (count, _):
        profile = devices.measure_profile(
            journal,
            name=name or path.stem,
            backend=backend,
            precision=precision,
            threads=count,
            rounds=rounds,
            on_progress=on_progress,
        )
    devices.write_profile(profile, path)
    journal.unlink(missing_ok=True)
    return profile


def profile_of_board(
    output: str | PathLike[str],
    exported: str | PathLike[str],
    model: str,
    *,
    size_hw: tuple[int, int] | None = None,
    name: str | None = None,
    precision: str = "fp16",
) -> devices.DeviceProfile:
    """Write a profile of a board from what its `trtexec --exportProfile` wrote.

    Args:
        output: The profile, a .json file in a folder that exists.
        exported: The file that trtexec wrote.
        model: The zoo model that was profiled, from the ONNX file of `dongfeng export-trtexec`.
        size_hw: Its input size in pixels; None: the model's own.
        name: Name of the profile; None: that of the file.
        precision: "fp32", "fp16" or "int8".

    Raises:
        DeviceError: the path is not that of a profile, or `exported` holds no profile of this model.
        UnknownModel: there is no such model.
        OSError: the file cannot be written.
    """
    path = _checked(output)
    called = name or path.stem
    source = find_net(model)
    net = scored_net(source.structure(source.sized(size_hw)))
    profile = devices.profile_from_trtexec(exported, net, name=called, device=called, precision=precision)
    devices.write_profile(profile, path)
    return profile


def _checked(output: str | PathLike[str]) -> Path:
    path = Path(output)
    if path.suffix != ".json" or not path.parent.is_dir():
        raise DeviceError(f"{path}: expected a .json file in a folder that exists")
    return path
