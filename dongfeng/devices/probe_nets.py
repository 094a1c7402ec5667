"""Probes, small nets that hold a kernel several times: the cost of one more copy is its latency in a large net.

A layer alone in a net would be charged with what runtimes do at a net's borders: ONNX Runtime and OpenVINO compute in
a layout of their own and convert inputs and outputs. So a probe has some copies of a kernel, all reading one blob and
summed into one, as residual blocks do, and the difference between many and few copies has no borders in it. Each copy
has weights of its own, which the next one's push out of the caches, as in a large net.
"""

from __future__ import annotations

from typing import NamedTuple

from dongfeng.architectures.builder import NetBuilder
from dongfeng.devices.kernel import Kernel
from dongfeng.net.graph import Net

_OPERATIONS = ("conv", "fc", "average pool", "max pool")
_FEW, _MANY = 2, 6
_LARGE_MACS = 1 << 30  # such kernels drown what little noise there is; more copies would only take time and memory
_IMAGE_CHANNELS = 4  # up to so many, a kernel reads the net's input as it comes


class Probe(NamedTuple):
    """Two nets, and the number of copies of the kernel by which they differ."""

    less: Net
    more: Net
    copies: int


def can_probe(kernel: Kernel) -> bool:
    """Tell whether a kernel can be probed: convolutions, inner products and poolings can."""
    return kernel.main_operation in _OPERATIONS


def probe(kernel: Kernel) -> Probe:
    """Build the probe of a kernel for which `can_probe` holds."""
    if kernel.main_operation.endswith("pool"):
        return Probe(_net(kernel, _MANY, is_bare=True), _net(kernel, _MANY), _MANY)
    few, many = (1, 3) if kernel.macs > _LARGE_MACS else (_FEW, _MANY)
    return Probe(_net(kernel, few), _net(kernel, many), many - few)


def _net(kernel: Kernel, copies: int, *, is_bare: bool = False) -> Net:
    """Build a net of copies summed into one; `is_bare` leaves the kernels out and sums what they would read."""
    net = NetBuilder("probe", (1, kernel.c_in, *kernel.in_hw), folded=True)
    has_weights = not kernel.main_operation.endswith("pool")
    lead = net.data if kernel.c_in <= _IMAGE_CHANNELS else _lead(net, "lead", kernel)
    total: str | None = None
    for index in range(copies):
        # Equal poolings of one blob would be computed once.
        blob = lead if has_weights else _lead(net, f"lead{index}", kernel)
        top = blob if is_bare else _add(net, f"kernel{index}", blob, kernel)
        if total is not None:
            top = net.add("Eltwise", f"sum{index}", [top, total], eltwise_param={"operation": "SUM"})
        total = net.relu(f"relu{index}", top) if has_weights else top
    return net.net()


def _lead(net: NetBuilder, name: str, kernel: Kernel) -> str:
    """Add a convolution that brings the input into the runtime's own layout."""
    return net.relu(f"{name}/relu", net.conv(name, net.data, kernel.c_in, 1))


def _add(net: NetBuilder, name: str, bottom: str, kernel: Kernel) -> str:
    (kernel_h, kernel_w), (stride_h, stride_w) = kernel.window_hw, kernel.stride_hw
    if kernel.main_operation == "fc":
        return net.add("InnerProduct", name, [bottom], inner_product_param={"num_output": kernel.c_out})
    pads = [
        max(-(-((out - 1) * stride + window - size) // 2), 0)
        for size, out, window, stride in zip(
            kernel.in_hw, kernel.out_hw, kernel.window_hw, kernel.stride_hw, strict=True
        )
    ]
    window = {"kernel_h": kernel_h, "kernel_w": kernel_w, "stride_h": stride_h, "stride_w": stride_w}
    window |= {"pad_h": pads[0], "pad_w": pads[1]}
    if kernel.main_operation == "conv":
        groups = kernel.groups if kernel.groups > 1 else None
        return net.add(
            "Convolution", name, [bottom], convolution_param={"num_output": kernel.c_out, "group": groups, **window}
        )
    pool = "MAX" if kernel.main_operation == "max pool" else "AVE"
    return net.add("Pooling", name, [bottom], pooling_param={"pool": pool, **window})
