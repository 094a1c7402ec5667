"""`NetBuilder`, which builds a network layer by layer, in the terms of the papers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dongfeng.caffe.message import message
from dongfeng.layers.layer import Layer, Shape
from dongfeng.net.graph import Net

_BATCH_NORM = {"moving_average_fraction": 0.9, "eps": 1e-4}
_FROZEN = {"lr_mult": 0.0, "decay_mult": 0.0}


class NetBuilder:
    """A network under construction; every method adds layers and returns the blob they end in.

    Activations and normalisation work in place, as in the released files. With `folded`, BatchNorm and Scale are left
    out and the convolution has the bias that folding them leaves.
    """

    def __init__(self, name: str, input_shape: Shape, *, folded: bool = False) -> None:
        self.name = name
        self.data = "data"
        self.folded = folded
        self._input_shape = input_shape
        self._layers: list[Layer] = []

    def net(self) -> Net:
        """Return the network built so far."""
        return Net.from_inplace(self.name, {self.data: self._input_shape}, self._layers)

    def add(self, type_: str, name: str, bottoms: Sequence[str], tops: Sequence[str] = (), **params: Any) -> str:
        """Add one layer, whose top has its name unless `tops` says otherwise; return the (first) top."""
        tops = tuple(tops) or (name,)
        self._layers.append(Layer(name, type_, tuple(bottoms), tops, message("LayerParameter", **params)))
        return tops[0]

    def conv(
        self, name: str, bottom: str, width: int, kernel: int, *, stride: int = 1, group: int = 1, bias: bool = True
    ) -> str:
        """Add a convolution that keeps the size at stride 1."""
        params = {
            "num_output": width,
            "bias_term": bias,
            "pad": kernel // 2,
            "kernel_size": kernel,
            "stride": stride,
            "group": group if group > 1 else None,
        }
        return self.add("Convolution", name, [bottom], convolution_param=params)

    def conv_bn(
        self, name: str, bottom: str, width: int, kernel: int, *, stride: int = 1, bn_name: str | None = None
    ) -> str:
        """Add a convolution with its batch normalisation, which is called `bn_name` (default: NAME/bn)."""
        blob = self.conv(name, bottom, width, kernel, stride=stride, bias=self.folded)
        if self.folded:
            return blob
        bn_name = bn_name or f"{name}/bn"
        normed = f"{name}/bn"
        self.add("BatchNorm", bn_name, [blob], [normed], batch_norm_param=_BATCH_NORM)
        return self.add("Scale", f"{bn_name}_scale", [normed], [normed], scale_param={"bias_term": True})

    def conv_bn_relu(self, name: str, bottom: str, width: int, kernel: int, *, stride: int = 1) -> str:
        """Add a convolution with batch normalisation and ReLU."""
        return self.relu(f"{name}/relu", self.conv_bn(name, bottom, width, kernel, stride=stride))

    def relu(self, name: str, blob: str) -> str:
        """Add a ReLU in place."""
        return self.add("ReLU", name, [blob], [blob])

    def depthwise(self, name: str, bottom: str, width: int, *, stride: int = 1) -> str:
        """Add a 3x3 convolution of each of `width` channels by itself, folded, without activation."""
        return self.conv(name, bottom, width, 3, stride=stride, group=width)

    def upsample(self, name: str, bottom: str, channels: int, factor: int, *, kernel: int | None = None) -> str:
        """Enlarge by a fixed bilinear deconvolution of each channel, whose kernel is 2 * `factor` unless given."""
        kernel = kernel or 2 * factor
        params = {
            "num_output": channels,
            "bias_term": False,
            "pad": (kernel - factor) // 2,
            "kernel_size": kernel,
            "stride": factor,
            "group": channels,
            "weight_filler": {"type": "bilinear"},
        }
        return self.add("Deconvolution", name, [bottom], convolution_param=params, param=_FROZEN)

    def average_pool(
        self, name: str, bottom: str, kernel_hw: tuple[int, int], *, stride_hw: tuple[int, int] | None = None
    ) -> str:
        """Add average pooling; windows lie side by side unless `stride_hw` is given."""
        (height, width), (stride_h, stride_w) = kernel_hw, stride_hw or kernel_hw
        if height == width and stride_h == stride_w:
            params = {"kernel_size": height, "stride": stride_h}
        else:
            params = {"kernel_h": height, "kernel_w": width, "stride_h": stride_h, "stride_w": stride_w}
        return self.add("Pooling", name, [bottom], pooling_param={"pool": "AVE", **params})

    def resize(self, name: str, bottom: str, size_hw: tuple[int, int], *, align_corners: bool | None = None) -> str:
        """Add bilinear resizing to a fixed size; corners are aligned unless `align_corners` is False."""
        height, width = size_hw
        params = {"height": height, "width": width, "align_corners": align_corners}
        return self.add("Interp", name, [bottom], interp_param=params)

    def concat(self, name: str, bottoms: Sequence[str]) -> str:
        """Join blobs along their channels."""
        return self.add("Concat", name, bottoms)

    def labels(self, bottom: str, suffix: str = "") -> str:
        """Add probabilities (`prob`) and the most likely class of each pixel (`pred`)."""
        prob = self.add("Softmax", f"prob{suffix}", [bottom])
        return self.add("ArgMax", f"pred{suffix}", [prob], argmax_param={"axis": 1})
