"""Modules for Caffe's layers that PyTorch has none for."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dongfeng.layers.shapes import Window


def pool(input: Tensor, window: Window, is_max: bool, ceil: bool) -> Tensor:
    """Pool as Caffe does; a kernel beyond the padded input acts as one that just covers it.

    PyTorch's own rounding up, its windows and its divisor are Caffe's.
    """
    size = input.shape[2:]
    height, width = (min(k, n + 2 * p) for k, n, p in zip(window.kernel, size, window.pad, strict=True))
    if is_max:
        return functional.max_pool2d(input, (height, width), window.stride, window.pad, ceil_mode=ceil)
    return functional.avg_pool2d(input, (height, width), window.stride, window.pad, ceil, True)


def crop(input: Tensor, begin: int, end: int) -> Tensor:
    """Cut `begin` pixels off above and left, and `end` pixels below and right."""
    return input[:, :, begin : input.shape[2] - end, begin : input.shape[3] - end]


# Their sizes are Python numbers: torch.fx keeps the two as calls.
torch.fx.wrap("pool")
torch.fx.wrap("crop")


class Pool2d(nn.Module):
    """Maximum or average pooling. Source: Caffe, PoolingLayer."""

    def __init__(self, window: Window, *, is_max: bool, ceil: bool) -> None:
        super().__init__()
        self.window, self.is_max, self.ceil = window, is_max, ceil

    def forward(self, input: Tensor) -> Tensor:
        """Pool height and width."""
        return pool(input, self.window, self.is_max, self.ceil)

    def extra_repr(self) -> str:
        """Describe the module for `print`."""
        w = self.window
        padding = f", padding={w.pad}" if any(w.pad) else ""
        rounding = "" if self.ceil else ", ceil=False"
        return f"{'max' if self.is_max else 'average'}, kernel_size={w.kernel}, stride={w.stride}{padding}{rounding}"


class TorchInterp(nn.Module):
    """Bilinear resizing, to the size of a second input, to a fixed size, or by factors.

    Args:
        size_hw: Height and width; None: those of the second input, or by the factors.
        shrink: Distance of the pixels that are kept.
        zoom: Number of steps from one pixel to the next.
        pads: Pixels cropped off at the beginning and at the end of both axes.
        align_corners: Whether corners meet corners; otherwise pixel centres are mapped.

    Source: the release's Caffe, InterpLayer.
    """

    def __init__(
        self, size_hw: tuple[int, int] | None, shrink: int, zoom: int, pads: tuple[int, int], *, align_corners: bool
    ) -> None:
        super().__init__()
        self.size_hw, self.shrink, self.zoom, self.pads = size_hw, shrink, zoom, pads
        self.align_corners = align_corners

    def forward(self, input: Tensor, like: Tensor | None = None) -> Tensor:
        """Resize `input`, to height and width of `like` where there is one."""
        if any(self.pads):
            input = crop(input, *self.pads)
        if like is not None:
            size = like.shape[2], like.shape[3]
        elif self.size_hw is not None:
            size = self.size_hw
        else:
            size = self._scaled(input.shape[2]), self._scaled(input.shape[3])
        return functional.interpolate(input, size, mode="bilinear", align_corners=self.align_corners)

    def _scaled(self, size: int) -> int:
        size = (size - 1) // self.shrink + 1
        return size + (size - 1) * (self.zoom - 1)

    def extra_repr(self) -> str:
        """Describe the module for `print`."""
        factors = "" if self.shrink == self.zoom == 1 else f", shrink={self.shrink}, zoom={self.zoom}"
        return f"size={self.size_hw}{factors}, align_corners={self.align_corners}"


class Linear(nn.Linear):
    """An inner product over the axes from `axis` on. Source: Caffe, InnerProductLayer."""

    axis = 1

    def forward(self, input: Tensor) -> Tensor:
        """Multiply; the outputs are the last axis."""
        return super().forward(input.flatten(self.axis))


class Affine(nn.Module):
    """A factor, a shift or both along some axes; the first comes from a second input where there is one.

    Args:
        weight: Shape of the learned factor; None: there is none.
        bias: Shape of the learned shift; None: there is none.
        trailing: Axes of the input behind those.
        adds: Whether a second input is a shift rather than a factor.

    Source: Caffe, ScaleLayer and BiasLayer.
    """

    def __init__(
        self, weight: tuple[int, ...] | None, bias: tuple[int, ...] | None, trailing: int, *, adds: bool = False
    ) -> None:
        super().__init__()
        self.trailing, self.adds = (1,) * trailing, adds
        self.weight = None if weight is None else nn.Parameter(torch.ones(weight))
        self.bias = None if bias is None else nn.Parameter(torch.zeros(bias))

    def forward(self, input: Tensor, operand: Tensor | None = None) -> Tensor:
        """Scale, then shift."""
        if operand is not None:
            spread = operand.reshape(*operand.shape, *self.trailing)
            input = input + spread if self.adds else input * spread
        if self.weight is not None:
            input = input * self.weight.reshape(*self.weight.shape, *self.trailing)
        if self.bias is not None:
            input = input + self.bias.reshape(*self.bias.shape, *self.trailing)
        return input

    def extra_repr(self) -> str:
        """Describe the module for `print`."""
        shapes = {name: tuple(value.shape) for name, value in self.named_parameters(recurse=False)}
        return ", ".join(f"{name}={shape}" for name, shape in shapes.items())


class TorchNormalize(nn.Module):
    """x / sqrt(sum of squares + eps), times a learned factor. Source: SSD's Caffe, NormalizeLayer."""

    def __init__(self, weight: tuple[int, ...], eps: float, *, across_spatial: bool) -> None:
        super().__init__()
        self.axes, self.eps = (1, 2, 3) if across_spatial else (1,), eps
        self.weight = nn.Parameter(torch.ones(weight))

    def forward(self, input: Tensor) -> Tensor:
        """Normalise over the channels of each pixel, or over each whole sample."""
        norm = (input.square().sum(self.axes, keepdim=True) + self.eps).sqrt()
        return input / norm * self.weight.reshape(1, -1, 1, 1)
