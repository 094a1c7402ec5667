"""What networks are made of: residual blocks for the stages, 3x3 mixers for pyramid and decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from dongfeng.architectures.builder import NetBuilder

_EXPANSION = 4  # a bottleneck gives this many times its width,
_WIDEST = 1024  # but no more channels than this


class Feature(NamedTuple):
    """A blob and the number of its channels."""

    blob: str
    channels: int


def conv3x3(net: NetBuilder, name: str, bottom: Feature, width: int) -> Feature:
    """3x3, ReLU."""
    return Feature(net.conv_bn_relu(name, bottom.blob, width, 3), width)


def separable(net: NetBuilder, name: str, bottom: Feature, width: int, stride: int = 1) -> Feature:
    """3x3 of each channel by itself, 1x1, ReLU."""
    depthwise = net.depthwise(f"{name}.dw", bottom.blob, bottom.channels, stride=stride)
    return Feature(net.conv_bn_relu(name, depthwise, width, 1), width)


def basic(net: NetBuilder, name: str, bottom: Feature, width: int, stride: int, project: bool) -> Feature:
    """3x3, 3x3, add, ReLU."""
    hidden = net.conv_bn_relu(f"{name}.conv1", bottom.blob, width, 3, stride=stride)
    residual = net.conv_bn(f"{name}.conv2", hidden, width, 3)
    return _add(net, name, bottom, Feature(residual, width), stride if project else None)


def bottleneck(net: NetBuilder, name: str, bottom: Feature, width: int, stride: int, project: bool) -> Feature:
    """1x1, 3x3, 1x1 (to four times the width, at most 1024), add, ReLU."""
    channels = min(_EXPANSION * width, _WIDEST)
    hidden = net.conv_bn_relu(f"{name}.conv1", bottom.blob, width, 1)
    hidden = net.conv_bn_relu(f"{name}.conv2", hidden, width, 3, stride=stride)
    residual = net.conv_bn(f"{name}.conv3", hidden, channels, 1)
    return _add(net, name, bottom, Feature(residual, channels), stride if project else None)


def _add(net: NetBuilder, name: str, bottom: Feature, residual: Feature, skip_stride: int | None) -> Feature:
    """The sum of residual and skip: the bottom itself, or its 1x1 convolution where `skip_stride` is given."""
    skip = bottom.blob
    if skip_stride is not None:
        # The released files have no dot in front of "skipConv" here, and weights are found by name.
        bn_name = f"{name}skipConv/bn"
        skip = net.conv_bn(f"{name}.skipConv", skip, residual.channels, 1, stride=skip_stride, bn_name=bn_name)
    total = net.add("Eltwise", f"{name}.sum", [residual.blob, skip], eltwise_param={"operation": "SUM"})
    return Feature(net.relu(f"{name}.relu", total), residual.channels)


# Net, name, bottom, width, stride, and whether the skip is a convolution.
Block = Callable[[NetBuilder, str, Feature, int, int, bool], Feature]
Mixer = Callable[[NetBuilder, str, Feature, int], Feature]

BLOCKS: Mapping[str, Block] = MappingProxyType({"basic": basic, "bottleneck": bottleneck})
