"""Device profiles from a board's own measurements: `trtexec --exportProfile`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING

from dongfeng.devices.fusion import NamedKernel, named_kernels
from dongfeng.devices.profile import BYTES_PER_VALUE, DeviceProfile, averaged, fitted_roofline
from dongfeng.errors import DeviceError
from dongfeng.net.graph import Net

if TYPE_CHECKING:
    from dongfeng.backends.tensorrt.trtexec.profile import TrtexecLayer

_BETWEEN_NAMES = re.compile(r"[\s+|,(){}\[\]]+")  # "Conv_0 + PWN(Clip_3)", "a || b"


def profile_from_trtexec(
    path: str | PathLike[str],
    net: Net,
    *,
    name: str = "board",
    device: str = "a board",
    precision: str = "fp16",
    runtime_version: str | None = None,
) -> DeviceProfile:
    """Make a device profile from a board's own profile of one of our nets.

    TensorRT's names tell which layers it fused, but not their sizes: those are the net's. What it fused across several
    of our kernels is shared out by their work; what copies and reformats data goes to the kernel it is for, and what
    names no layer is spread over all as `gap_us`.

    Args:
        path: The file.
        net: The net that was profiled, at that size, as its ONNX was written: with the layer names of `to_onnx`.
        name: Name of the profile.
        device: The board in words.
        precision: The precision of the engine: "fp32", "fp16" or "int8".
        runtime_version: TensorRT's version.

    Raises:
        DeviceError: the file is no such profile, or not of this net.
        ShapeError: the net's input size is dynamic.
    """
    from dongfeng.backends.tensorrt.trtexec.profile import read_trtexec

    if precision not in BYTES_PER_VALUE:
        raise DeviceError(f'precision "{precision}": expected one of {", ".join(BYTES_PER_VALUE)}')
    layers = read_trtexec(path)
    kernels = named_kernels(net)
    times_ms, unnamed_ms = _shared_out(layers, kernels)
    missing = [each.name for each, ms in zip(kernels, times_ms, strict=True) if each.kernel.macs and ms is None]
    if missing:
        raise DeviceError(
            f'{path}: no line names layer "{missing[0]}" ({len(missing)} of {len(kernels)} have none); '
            "give the net and size that was profiled, with its ONNX written by dongfeng"
        )
    measured = averaged((each.kernel, ms or 0.0) for each, ms in zip(kernels, times_ms, strict=True))
    return DeviceProfile(
        name=name,
        device=device,
        runtime="TensorRT",
        runtime_version=runtime_version,
        precision=precision,
        fusion="fused",
        source=f"trtexec --exportProfile of {net.name}",
        roofline=fitted_roofline(measured, precision, profile=name),
        gap_us=round(1e3 * unnamed_ms / len(kernels), 3),
        kernels=measured,
    )


def _shared_out(layers: Sequence[TrtexecLayer], kernels: Sequence[NamedKernel]) -> tuple[list[float | None], float]:
    """Share the milliseconds of lines out among kernels by their work.

    Returns:
        Milliseconds of each kernel, None where no line names it; and those of lines that name none.
    """
    index_of = {layer: index for index, kernel in enumerate(kernels) for layer in _layers_of(kernel)}
    times_ms: list[float | None] = [None] * len(kernels)
    unnamed_ms = 0.0
    for line in layers:
        owners = sorted({index_of[layer] for layer in _named(line.name, index_of)})
        work = [max(kernels[i].kernel.macs, kernels[i].kernel.values_written) for i in owners]
        if not owners:
            unnamed_ms += line.ms
        for index, share in zip(owners, work, strict=True):
            times_ms[index] = (times_ms[index] or 0.0) + line.ms * share / sum(work)
    return times_ms, unnamed_ms


def _layers_of(named: NamedKernel) -> list[str]:
    """Return the names of a kernel's layers; a copy is none of the copied layer."""
    return [] if named.kernel.operation == "copy" else named.name.split(" + ")


def _named(text: str, layers: Mapping[str, int]) -> list[str]:
    """Find the layers that TensorRT's name mentions; `to_onnx` calls the nodes of a layer LAYER/Conv_node."""
    found = []
    for word in _BETWEEN_NAMES.split(text):
        layer = word if word in layers else word.rpartition("/")[0]
        if layer in layers:
            found.append(layer)
    return found
