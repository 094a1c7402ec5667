"""The blocks of the networks: residual ones for the stages, 3x3 mixers for pyramid and decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from dongfeng.architectures.builder import NetBuilder

_EXPANSION = 4  # channels of a bottleneck, as a multiple of its width
_WIDEST = 1024  # most channels of a bottleneck


class Feature(NamedTuple):
    """A blob and the number of its channels."""

    blob: str
    channels: int


def conv3x3(net: NetBuilder, name: str, bottom: Feature, width: int) -> Feature:
    """Add a 3x3 convolution and ReLU."""
    return Feature(net.conv_bn_relu(name, bottom.blob, width, 3), width)


def separable(net: NetBuilder, name: str, bottom: Feature, width: int, stride: int = 1) -> Feature:
    """Add a 3x3 convolution of each channel by itself, a 1x1 convolution and ReLU."""
    depthwise = net.depthwise(f"{name}.dw", bottom.blob, bottom.channels, stride=stride)
    return Feature(net.conv_bn_relu(name, depthwise, width, 1), width)


def basic(net: NetBuilder, name: str, bottom: Feature, width: int, stride: int, project: bool) -> Feature:
    """Add two 3x3 convolutions, the sum with the skip, and ReLU."""
    hidden = net.conv_bn_relu(f"{name}.conv1", bottom.blob, width, 3, stride=stride)
    residual = net.conv_bn(f"{name}.conv2", hidden, width, 3)
    return _add(net, name, bottom, Feature(residual, width), stride if project else None)


def bottleneck(net: NetBuilder, name: str, bottom: Feature, width: int, stride: int, project: bool) -> Feature:
    """Add convolutions of 1x1, 3x3 and 1x1 (to four times the width, at most 1024), the sum with the skip, and ReLU."""
    channels = min(_EXPANSION * width, _WIDEST)
    hidden = net.conv_bn_relu(f"{name}.conv1", bottom.blob, width, 1)
    hidden = net.conv_bn_relu(f"{name}.conv2", hidden, width, 3, stride=stride)
    residual = net.conv_bn(f"{name}.conv3", hidden, channels, 1)
    return _add(net, name, bottom, Feature(residual, channels), stride if project else None)


def _add(net: NetBuilder, name: str, bottom: Feature, residual: Feature, skip_stride: int | None) -> Feature:
    """Add the sum of residual and skip: the bottom itself, or its 1x1 convolution where `skip_stride` is given."""
    skip = bottom.blob
    if skip_stride is not None:
        # The released files have no dot in front of "skipConv" here, and weights are found by name.
        bn_name = f"{name}skipConv/bn"
        skip = net.conv_bn(f"{name}.skipConv", skip, residual.channels, 1, stride=skip_stride, bn_name=bn_name)
    total = net.add("Eltwise", f"{name}.sum", [residual.blob, skip], eltwise_param={"operation": "SUM"})
    return Feature(net.relu(f"{name}.relu", total), residual.channels)


# Arguments: net, name, bottom, width, stride, and whether the skip is a convolution.
Block = Callable[[NetBuilder, str, Feature, int, int, bool], Feature]
Mixer = Callable[[NetBuilder, str, Feature, int], Feature]

BLOCKS: Mapping[str, Block] = MappingProxyType({"basic": basic, "bottleneck": bottleneck})
