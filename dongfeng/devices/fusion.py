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
from typing import Literal, NamedTuple

from dongfeng.devices.kernel import Kernel
from dongfeng.errors import ShapeError, UnsupportedLayer
from dongfeng.layers.base import LayerType
from dongfeng.layers.infer import layer_types
from dongfeng.layers.pooling import Pooling
from dongfeng.layers.shapes import read_window
from dongfeng.net.fold import fold
from dongfeng.net.graph import Net

Fusion = Literal["fused", "layers"]

_CONVOLUTIONS = {
    "Convolution": "conv",
    "ConvolutionDepthwise": "conv",
    "DepthwiseConvolution": "conv",
    "Deconvolution": "deconv",
}
_NO_WORK = {"Dropout", "Flatten", "Parameter", "Reshape", "Silence", "Split"}  # views, or nothing at all
_Shapes = Mapping[str, tuple[int, ...]]


class NamedKernel(NamedTuple):
    """A kernel and the names of the layers it executes, in the form TensorRT prints: "conv1 + conv1/relu"."""

    name: str
    kernel: Kernel


def kernels_of(net: Net, fusion: Fusion = "fused") -> list[Kernel]:
    """List the kernels of a net, in order; a device's latency is the sum over them.

    Args:
        net: A net whose input size is known.
        fusion: "fused" or "layers"; `DeviceProfile.fusion` tells which a device needs.

    Raises:
        ShapeError: the input size is dynamic (use `Net.resize`), or blobs do not fit together.
        UnsupportedLayer: naming all layers whose latency is not modelled.
    """
    return [named.kernel for named in named_kernels(net, fusion)]


def named_kernels(net: Net, fusion: Fusion = "fused") -> list[NamedKernel]:
    """List the kernels of a net with the names of their layers; see `kernels_of`."""
    if net.is_dynamic:
        net.shapes()  # raises the error that says what to do
    net = fold(net)
    layers = layer_types(net.layers)
    _refuse_unknown(layers)
    net = replace(net, inputs={blob: (1, *shape[1:]) for blob, shape in net.inputs.items()})
    shapes = net.shapes()
    return _Fuser(layers, shapes).kernels() if fusion == "fused" else _one_by_one(layers, shapes)


def _refuse_unknown(layers: Sequence[LayerType]) -> None:
    problems = [
        f"{each.layer.where}: no latency model for matrix products of this type; cut the net in front of it"
        for each in layers
        if type(each).macs is not LayerType.macs and each.layer.type not in (*_CONVOLUTIONS, "InnerProduct")
    ]
    if problems:
        raise UnsupportedLayer(problems)


def _one_by_one(layers: Sequence[LayerType], shapes: _Shapes) -> list[NamedKernel]:
    readers = Counter(bottom for each in layers for bottom in each.layer.bottoms)
    found = []
    for each in layers:
        layer = each.layer
        if layer.type not in _NO_WORK:
            found += [NamedKernel(layer.name, kernel) for kernel in _kernels_of_layer(each, shapes)]
        found += [
            NamedKernel(f"{layer.name} split", _plain("split", shapes[top], shapes[top]))
            for top in layer.tops
            if readers[top] > 1
        ]
    return found


class _Fuser:
    """Decides which layers a convolution takes along."""

    def __init__(self, layers: Sequence[LayerType], shapes: _Shapes) -> None:
        self._layers, self._shapes = layers, shapes
        self._readers: dict[str, list[int]] = {}  # of a blob
        self._writer: dict[str, int] = {}  # of a blob
        for index, each in enumerate(layers):
            for bottom in each.layer.bottoms:
                self._readers.setdefault(bottom, []).append(index)
            self._writer.update((top, index) for top in each.layer.tops)
        self._fused: dict[int, tuple[str, list[int]]] = {}  # of a convolution: what is fused, the layers it takes along
        for index in range(len(layers)):
            self._fuse(index)
        self._taken = {index for _, members in self._fused.values() for index in members}

    def kernels(self) -> list[NamedKernel]:
        """List the kernels in the order of their first layers."""
        found = []
        for index, each in enumerate(self._layers):
            if index in self._taken or each.layer.type in _NO_WORK:
                continue
            if each.layer.type == "Concat":
                found += self._copies(each.layer.bottoms)
                continue
            suffix, members = self._fused.get(index, ("", []))
            name = " + ".join(self._layers[i].layer.name for i in (index, *members))
            kernels = _kernels_of_layer(each, self._shapes)
            found += [NamedKernel(name, kernel._replace(operation=kernel.operation + suffix)) for kernel in kernels]
        return found

    def _fuse(self, index: int) -> None:
        """Give a ReLU to its convolution, and a sum with its ReLU to the last convolution among its summands."""
        layer = self._layers[index].layer
        if layer.type in _CONVOLUTIONS or layer.type == "InnerProduct":
            relu = self._relu_behind(layer.tops[0]) if len(layer.tops) == 1 else None
            if relu is not None:
                self._fused[index] = ("+relu", [relu])
        elif layer.type == "Eltwise" and _is_plain_sum(self._layers[index]):
            owner = self._last_convolution(layer.bottoms)
            if owner is not None:
                relu = self._relu_behind(layer.tops[0])
                self._fused[owner] = ("+add", [index]) if relu is None else ("+add+relu", [index, relu])

    def _relu_behind(self, blob: str) -> int | None:
        """Find the ReLU that alone reads a blob."""
        found = self._readers.get(blob, [])
        return found[0] if len(found) == 1 and self._layers[found[0]].layer.type == "ReLU" else None

    def _last_convolution(self, bottoms: Sequence[str]) -> int | None:
        """Find the last convolution with nothing fused whose one top is among the blobs and read once."""
        writers = [self._writer[blob] for blob in bottoms if blob in self._writer and len(self._readers[blob]) == 1]
        return max((index for index in writers if self._can_take_a_sum(index)), default=None)

    def _can_take_a_sum(self, index: int) -> bool:
        layer = self._layers[index].layer
        return _CONVOLUTIONS.get(layer.type) == "conv" and len(layer.tops) == 1 and index not in self._fused

    def _copies(self, bottoms: Sequence[str]) -> list[NamedKernel]:
        """Return the copies in front of a concatenation: of all that no convolution writes there itself."""
        return [
            NamedKernel(f"{blob} copy", _plain("copy", self._shapes[blob], self._shapes[blob]))
            for blob in bottoms
            if not self._writes_anywhere(self._writer.get(blob))
        ]

    def _writes_anywhere(self, index: int | None) -> bool:
        return index is not None and (index in self._taken or self._layers[index].layer.type == "Convolution")


def _is_plain_sum(eltwise: LayerType) -> bool:
    param = eltwise.layer.params.eltwise_param
    return len(eltwise.layer.bottoms) == 2 and param.operation == "SUM" and all(c == 1 for c in param.coeff)


def _kernels_of_layer(typed: LayerType, shapes: _Shapes) -> list[Kernel]:
    """Return the one kernel of a layer; a convolution of several bottoms has one for each."""
    layer = typed.layer
    bottoms = [shapes[blob] for blob in layer.bottoms]
    tops = [shapes[blob] for blob in layer.tops]
    if layer.type in _CONVOLUTIONS:
        return [_convolution(typed, *pair) for pair in zip(bottoms, tops, strict=True)]
    if layer.type == "InnerProduct":
        macs = typed.macs(bottoms, tops)
        c_out = max(layer.params.inner_product_param.num_output, 1)
        return [Kernel("fc", (1, 1), (1, 1), 1, macs // c_out, c_out, (1, 1), (1, 1))]
    if isinstance(typed, Pooling):
        window = typed.window(bottoms[0])
        name = "max pool" if layer.params.pooling_param.pool == "MAX" else "average pool"
        kernel = _plain(name, bottoms[0], tops[0])
        return [kernel._replace(window_hw=_pair(window.kernel), stride_hw=_pair(window.stride))]
    if not bottoms or not tops:
        return []
    kernel = _plain(layer.type.lower(), bottoms[0], tops[0])
    (in_h, in_w), (out_h, out_w) = kernel.in_hw, kernel.out_hw
    read, written = sum(map(math.prod, bottoms)), sum(map(math.prod, tops))
    return [kernel._replace(c_in=-(-read // (in_h * in_w)), c_out=-(-written // (out_h * out_w)))]


def _convolution(typed: LayerType, bottom: tuple[int, ...], top: tuple[int, ...]) -> Kernel:
    layer = typed.layer
    try:
        window = read_window(layer.params.convolution_param, len(bottom) - 2)
    except ShapeError as exc:
        raise ShapeError(f"{layer.where}: {exc}") from exc
    operation = _CONVOLUTIONS[layer.type]
    per_weight = math.prod(bottom[2:] if operation == "deconv" else top[2:])
    groups = max(math.prod(window.kernel) * bottom[1] * top[1] * per_weight // max(typed.macs([bottom], [top]), 1), 1)
    if max(window.dilation, default=1) > 1:
        operation = f"dilated {operation}"
    kernel = _plain(operation, bottom, top)
    return kernel._replace(window_hw=_pair(window.kernel), stride_hw=_pair(window.stride), groups=groups)


def _plain(operation: str, bottom: tuple[int, ...], top: tuple[int, ...]) -> Kernel:
    """Build a kernel without window. Missing axes count as 1, a third spatial axis as more height."""
    c_in, c_out = (shape[1] if len(shape) > 1 else 1 for shape in (bottom, top))
    return Kernel(operation, (1, 1), (1, 1), 1, c_in, c_out, _pair(bottom[2:]), _pair(top[2:]))


def _pair(sizes: Sequence[int]) -> tuple[int, int]:
    """Reduce sizes along any number of axes to height and width."""
    return math.prod(sizes[:-1]), sizes[-1] if sizes else 1
