"""Small nets that hold a unit several times: what one more of it costs is what it takes inside a large net.

A layer alone in a net would be charged with what runtimes do at a net's borders: ONNX Runtime and OpenVINO compute in
a layout of their own and convert inputs and outputs. So a probe has some copies of a unit, all reading one blob and
summed into one, as residual blocks do, and the difference between many and few copies has no borders in it. Each copy
has weights of its own, which the next one's push out of the caches, as in a large net.
"""

from __future__ import annotations

from typing import NamedTuple

from dongfeng.architectures.builder import NetBuilder
from dongfeng.devices.unit import Unit
from dongfeng.net.graph import Net

_KINDS = ("conv", "fc", "average pool", "max pool")
_FEW, _MANY = 2, 6
_LARGE_MACS = 1 << 30  # such units drown what little noise there is; more copies would only take time and memory
_IMAGE_CHANNELS = 4  # up to so many, a unit reads the net's input as it comes


class Probe(NamedTuple):
    """Two nets, and by how many copies of the unit they differ."""

    less: Net
    more: Net
    copies: int


def can_probe(unit: Unit) -> bool:
    """Whether a probe of the unit can be built: convolutions, inner products and poolings."""
    return unit.kind in _KINDS


def probe(unit: Unit) -> Probe:
    """The probe of a unit for which `can_probe` holds."""
    if unit.kind.endswith("pool"):
        return Probe(_net(unit, _MANY, is_bare=True), _net(unit, _MANY), _MANY)
    few, many = (1, 3) if unit.macs > _LARGE_MACS else (_FEW, _MANY)
    return Probe(_net(unit, few), _net(unit, many), many - few)


def _net(unit: Unit, copies: int, *, is_bare: bool = False) -> Net:
    """So many copies summed into one; `is_bare` leaves the units out and sums what they would read."""
    net = NetBuilder("probe", (1, unit.c_in, *unit.in_hw), folded=True)
    has_weights = not unit.kind.endswith("pool")
    lead = net.data if unit.c_in <= _IMAGE_CHANNELS else _lead(net, "lead", unit)
    total: str | None = None
    for index in range(copies):
        # Equal poolings of one blob would be computed once.
        blob = lead if has_weights else _lead(net, f"lead{index}", unit)
        top = blob if is_bare else _add(net, f"unit{index}", blob, unit)
        if total is not None:
            top = net.add("Eltwise", f"sum{index}", [top, total], eltwise_param={"operation": "SUM"})
        total = net.relu(f"relu{index}", top) if has_weights else top
    return net.net()


def _lead(net: NetBuilder, name: str, unit: Unit) -> str:
    """What brings the input into the runtime's own layout."""
    return net.relu(f"{name}/relu", net.conv(name, net.data, unit.c_in, 1))


def _add(net: NetBuilder, name: str, bottom: str, unit: Unit) -> str:
    (kernel_h, kernel_w), (stride_h, stride_w) = unit.kernel_hw, unit.stride_hw
    if unit.kind == "fc":
        return net.add("InnerProduct", name, [bottom], inner_product_param={"num_output": unit.c_out})
    pads = [
        max(-(-((out - 1) * stride + kernel - size) // 2), 0)
        for size, out, kernel, stride in zip(unit.in_hw, unit.out_hw, unit.kernel_hw, unit.stride_hw, strict=True)
    ]
    window = {"kernel_h": kernel_h, "kernel_w": kernel_w, "stride_h": stride_h, "stride_w": stride_w}
    window |= {"pad_h": pads[0], "pad_w": pads[1]}
    if unit.kind == "conv":
        groups = unit.groups if unit.groups > 1 else None
        return net.add(
            "Convolution", name, [bottom], convolution_param={"num_output": unit.c_out, "group": groups, **window}
        )
    pool = "MAX" if unit.kind == "max pool" else "AVE"
    return net.add("Pooling", name, [bottom], pooling_param={"pool": pool, **window})
