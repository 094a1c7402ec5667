"""A device profile from a board's own measurements: `trtexec --exportProfile`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from os import PathLike

from dongfeng.backends.tensorrt.trtexec.profile import TrtexecLayer, read_trtexec
from dongfeng.devices.fusion import NamedKernel, named_kernels
from dongfeng.devices.profile import BYTES_PER_VALUE, DeviceProfile, averaged, with_fitted_roofline
from dongfeng.devices.roofline import Roofline
from dongfeng.errors import DeviceError
from dongfeng.net.graph import Net

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
    """A device profile from a board's own profile of one of our nets.

    TensorRT's names tell which layers it fused, but not their sizes: those are the net's. What it fused across several
    of our kernels is shared out by their work; what copies and reformats data goes to the kernel it is for, and what
    names no layer is spread over all as `gap_us`.

    Args:
        path: The file.
        net: The net that was profiled, at that size, as its ONNX was written: with the layer names of `to_onnx`.
        name: Name of the profile.
        device: The board in words.
        precision: What the engine was built for: "fp32", "fp16" or "int8".
        runtime_version: TensorRT's version.

    Raises:
        DeviceError: the file is no such profile, or not of this net.
        ShapeError: the net's input size is dynamic.
    """
    if precision not in BYTES_PER_VALUE:
        raise DeviceError(f'precision "{precision}": expected one of {", ".join(BYTES_PER_VALUE)}')
    layers = read_trtexec(path)
    placed = named_kernels(net)
    times_ms, unnamed_ms = _shared_out(layers, placed)
    missing = [kernel.name for kernel, ms in zip(placed, times_ms, strict=True) if kernel.kernel.macs and ms is None]
    if missing:
        raise DeviceError(
            f'{path}: no line names layer "{missing[0]}" ({len(missing)} of {len(placed)} have none); '
            "give the net and size that was profiled, with its ONNX written by dongfeng"
        )
    profile = DeviceProfile(
        name=name,
        device=device,
        runtime="TensorRT",
        runtime_version=runtime_version,
        precision=precision,
        fusion="fused",
        source=f"trtexec --exportProfile of {net.name}",
        roofline=Roofline(1.0, 1.0),
        gap_us=round(1e3 * unnamed_ms / len(placed), 3),
        kernels=averaged((kernel.kernel, ms or 0.0) for kernel, ms in zip(placed, times_ms, strict=True)),
    )
    return with_fitted_roofline(profile)


def _shared_out(layers: Sequence[TrtexecLayer], placed: Sequence[NamedKernel]) -> tuple[list[float | None], float]:
    """Milliseconds of each kernel, None where no line names it, and those of lines that name none."""
    index_of = {layer: index for index, kernel in enumerate(placed) for layer in _members(kernel)}
    times_ms: list[float | None] = [None] * len(placed)
    unnamed_ms = 0.0
    for line in layers:
        owners = sorted({index_of[layer] for layer in _named(line.name, index_of)})
        work = [max(placed[i].kernel.macs, placed[i].kernel.values_written) for i in owners]
        if not owners:
            unnamed_ms += line.ms
        for index, share in zip(owners, work, strict=True):
            times_ms[index] = (times_ms[index] or 0.0) + line.ms * share / sum(work)
    return times_ms, unnamed_ms


def _members(placed: NamedKernel) -> list[str]:
    """Names of the layers a kernel stands for; a copy is its own, not the copied layer's."""
    return [] if placed.kernel.operation == "copy" else placed.name.split(" + ")


def _named(text: str, layers: Mapping[str, int]) -> list[str]:
    """The layers that TensorRT's name mentions; `to_onnx` calls the nodes of a layer LAYER/Conv_node."""
    found = []
    for word in _BETWEEN_NAMES.split(text):
        layer = word if word in layers else word.rpartition("/")[0]
        if layer in layers:
            found.append(layer)
    return found
