"""Pyramid pooling: the context of a pixel, averaged at four scales."""

from __future__ import annotations

from collections.abc import Sequence

from dongfeng.architectures.blocks import Feature, Mixer, conv3x3
from dongfeng.architectures.builder import NetBuilder

KERNELS = (32, 16, 8, 4)  # 1, 2, 4 and 8 windows along 1024 pixels at 1/32


def add_psp(
    net: NetBuilder,
    bottom: Feature,
    size_hw: tuple[int, int],
    *,
    kernels_hw: Sequence[tuple[int, int]],
    align_corners: bool | None = None,
    mixer: Mixer = conv3x3,
) -> Feature:
    """Pool, divide the channels among the branches, resize back, concatenate with the bottom and mix.

    Args:
        net: The net under construction.
        bottom: Feature at 1/32 of the input size.
        size_hw: Height and width of that feature.
        kernels_hw: Height and width of each branch's pooling windows, which lie side by side.
        align_corners: False where resizing maps pixel centres, as ncnn does.
        mixer: What brings the concatenation back to the bottom's channels.

    Source: the released segmentation nets (psp.*); PSPNet (CVPR 2017).
    """
    branches = [bottom.blob]
    width = bottom.channels // len(kernels_hw)
    for index, kernel_hw in enumerate(kernels_hw, 1):
        name = f"psp.pool{index}"
        pooled = net.average_pool(name, bottom.blob, kernel_hw)
        reduced = net.conv_bn_relu(f"{name}.conv", pooled, width, 1)
        branches.append(net.resize(f"{name}.interp", reduced, size_hw, align_corners=align_corners))
    joined = Feature(net.concat("psp.concat", branches), bottom.channels + width * len(kernels_hw))
    return mixer(net, "psp.concat.conv", joined, bottom.channels)
