"""A `Net` cut into the kernels that a runtime executes, in order.

Two ways of cutting are known. "fused": what TensorRT 3 does by its own per-layer logs (and what today's runtimes do
much alike). A convolution takes a ReLU behind it along; of the two summands of a residual sum, the convolution that
stands later takes the sum and the ReLU behind the sum along; convolutions write straight into a concatenation, and
anything else is copied there. "layers": every layer by itself, as BVLC Caffe does, which also inserts a Split wherever
a blob has several readers. In both BatchNorm and Scale are folded first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from dongfeng.devices.kernel import Kernel
from dongfeng.errors import ShapeError, UnsupportedLayer
from dongfeng.layers.base import LayerType
from dongfeng.layers.infer import layer_types
from dongfeng.layers.shapes import Window, read_window
from dongfeng.net.fold import fold
from dongfeng.net.graph import Net

Fusion = Literal["fused", "layers"]
FUSIONS: tuple[Fusion, ...] = ("fused", "layers")

_CONVOLUTIONS = {
    "Convolution": "conv",
    "ConvolutionDepthwise": "conv",
    "DepthwiseConvolution": "conv",
    "Deconvolution": "deconv",
}
_NO_WORK = {"Dropout", "Flatten", "Parameter", "Reshape", "Silence", "Split"}  # views, or nothing at all
_Shapes = Mapping[str, tuple[int, ...]]


class NamedKernel(NamedTuple):
    """A kernel and the layers of the net it stands for, in the form TensorRT prints: "conv1 + conv1/relu"."""

    name: str
    kernel: Kernel


def kernels_of(net: Net, fusion: Fusion = "fused") -> list[Kernel]:
    """The kernels of a net, in order; a device's latency is the sum over them.

    Args:
        net: A net whose input size is known.
        fusion: "fused" or "layers"; `DeviceProfile.fusion` tells which a device needs.

    Raises:
        ShapeError: the input size is dynamic (use `Net.resize`), or blobs do not fit together.
        UnsupportedLayer: naming all layers whose latency is not modelled.
    """
    return [placed.kernel for placed in named_kernels(net, fusion)]


def named_kernels(net: Net, fusion: Fusion = "fused") -> list[NamedKernel]:
    """The kernels of a net with the names of their layers; see `kernels_of`."""
    if net.is_dynamic:
        net.shapes()  # raises the error that says what to do
    net = fold(net)
    kinds = layer_types(net.layers)
    _refuse_unknown(kinds)
    net = replace(net, inputs={blob: (1, *shape[1:]) for blob, shape in net.inputs.items()})
    shapes = net.shapes()
    return _fused(kinds, shapes) if fusion == "fused" else _one_by_one(kinds, shapes)


def _refuse_unknown(kinds: Sequence[LayerType]) -> None:
    problems = [
        f"{kind.layer.where}: no latency model for matrix products of this type; cut the net in front of it"
        for kind in kinds
        if type(kind).macs is not LayerType.macs and kind.layer.type not in (*_CONVOLUTIONS, "InnerProduct")
    ]
    if problems:
        raise UnsupportedLayer(problems)


def _one_by_one(kinds: Sequence[LayerType], shapes: _Shapes) -> list[NamedKernel]:
    readers = Counter(bottom for kind in kinds for bottom in kind.layer.bottoms)
    placed = []
    for kind in kinds:
        layer = kind.layer
        if layer.type not in _NO_WORK:
            placed += [NamedKernel(layer.name, kernel) for kernel in _kernels_of_layer(kind, shapes)]
        placed += [
            NamedKernel(f"{layer.name} split", _plain("split", shapes[top], shapes[top]))
            for top in layer.tops
            if readers[top] > 1
        ]
    return placed


def _fused(kinds: Sequence[LayerType], shapes: _Shapes) -> list[NamedKernel]:
    """Kernels in the order of their first layer."""
    readers: dict[str, list[int]] = {}
    made_by: dict[str, int] = {}
    for index, kind in enumerate(kinds):
        for bottom in kind.layer.bottoms:
            readers.setdefault(bottom, []).append(index)
        made_by.update((top, index) for top in kind.layer.tops)
    taken: set[int] = set()
    joined: dict[int, tuple[str, list[int]]] = {}  # a convolution -> what is fused, and the layers it takes along

    def only_reader(blob: str, type_: str) -> int | None:
        found = readers.get(blob, [])
        return found[0] if len(found) == 1 and kinds[found[0]].layer.type == type_ else None

    def last_convolution(bottoms: Sequence[str]) -> int | None:
        makers = [made_by[b] for b in bottoms if b in made_by and len(readers[b]) == 1]
        free = [i for i in makers if kinds[i].layer.type in _CONVOLUTIONS and i not in joined]
        free = [i for i in free if _CONVOLUTIONS[kinds[i].layer.type] == "conv" and len(kinds[i].layer.tops) == 1]
        return max(free, default=None)

    for index, kind in enumerate(kinds):
        layer = kind.layer
        if layer.type in _CONVOLUTIONS or layer.type == "InnerProduct":
            relu = only_reader(layer.tops[0], "ReLU") if len(layer.tops) == 1 else None
            if relu is not None:
                joined[index] = ("+relu", [relu])
                taken.add(relu)
        elif layer.type == "Eltwise" and _is_plain_sum(kind):
            owner = last_convolution(layer.bottoms)
            if owner is not None:
                relu = only_reader(layer.tops[0], "ReLU")
                members = [index] if relu is None else [index, relu]
                joined[owner] = ("+add" if relu is None else "+add+relu", members)
                taken.update(members)
    writes_anywhere = {index for index in range(len(kinds)) if kinds[index].layer.type == "Convolution"} | taken
    placed = []
    for index, kind in enumerate(kinds):
        layer = kind.layer
        if index in taken or layer.type in _NO_WORK:
            continue
        if layer.type == "Concat":
            placed += [
                NamedKernel(f"{bottom} copy", _plain("copy", shapes[bottom], shapes[bottom]))
                for bottom in layer.bottoms
                if made_by.get(bottom) not in writes_anywhere
            ]
            continue
        suffix, members = joined.get(index, ("", []))
        name = " + ".join([layer.name, *(kinds[i].layer.name for i in members)])
        kernels = _kernels_of_layer(kind, shapes)
        placed += [NamedKernel(name, kernel._replace(operation=kernel.operation + suffix)) for kernel in kernels]
    return placed


def _is_plain_sum(kind: LayerType) -> bool:
    param = kind.layer.params.eltwise_param
    return len(kind.layer.bottoms) == 2 and param.operation == "SUM" and all(c == 1 for c in param.coeff)


def _kernels_of_layer(kind: LayerType, shapes: _Shapes) -> list[Kernel]:
    """One kernel; a convolution of several bottoms is one for each."""
    layer = kind.layer
    bottoms = [shapes[blob] for blob in layer.bottoms]
    tops = [shapes[blob] for blob in layer.tops]
    if layer.type in _CONVOLUTIONS:
        return [_convolution(kind, *pair) for pair in zip(bottoms, tops, strict=True)]
    if layer.type == "InnerProduct":
        macs = kind.macs(bottoms, tops)
        c_out = max(layer.params.inner_product_param.num_output, 1)
        return [Kernel("fc", (1, 1), (1, 1), 1, macs // c_out, c_out, (1, 1), (1, 1))]
    if layer.type == "Pooling":
        window: Window = kind.window(bottoms[0])  # type: ignore[attr-defined]
        name = "max pool" if layer.params.pooling_param.pool == "MAX" else "average pool"
        kernel = _plain(name, bottoms[0], tops[0])
        return [kernel._replace(window_hw=_pair(window.kernel), stride_hw=_pair(window.stride))]
    if not bottoms or not tops:
        return []
    kernel = _plain(layer.type.lower(), bottoms[0], tops[0])
    (in_h, in_w), (out_h, out_w) = kernel.in_hw, kernel.out_hw
    read, written = sum(map(math.prod, bottoms)), sum(map(math.prod, tops))
    return [kernel._replace(c_in=-(-read // (in_h * in_w)), c_out=-(-written // (out_h * out_w)))]


def _convolution(kind: LayerType, bottom: tuple[int, ...], top: tuple[int, ...]) -> Kernel:
    layer = kind.layer
    param: Any = layer.params.convolution_param
    try:
        window = read_window(param, len(bottom) - 2)
    except ShapeError as exc:
        raise ShapeError(f"{layer.where}: {exc}") from exc
    operation = _CONVOLUTIONS[layer.type]
    per_weight = math.prod(bottom[2:] if operation == "deconv" else top[2:])
    groups = max(math.prod(window.kernel) * bottom[1] * top[1] * per_weight // max(kind.macs([bottom], [top]), 1), 1)
    if max(window.dilation, default=1) > 1:
        operation = f"dilated {operation}"
    kernel = _plain(operation, bottom, top)
    return kernel._replace(window_hw=_pair(window.kernel), stride_hw=_pair(window.stride), groups=groups)


def _plain(operation: str, bottom: tuple[int, ...], top: tuple[int, ...]) -> Kernel:
    """A kernel without kernel. Missing axes count as 1, a third spatial axis as more height."""
    c_in, c_out = (shape[1] if len(shape) > 1 else 1 for shape in (bottom, top))
    return Kernel(operation, (1, 1), (1, 1), 1, c_in, c_out, _pair(bottom[2:]), _pair(top[2:]))


def _pair(sizes: Sequence[int]) -> tuple[int, int]:
    """Sizes along any number of axes as height and width."""
    return math.prod(sizes[:-1]), sizes[-1] if sizes else 1
