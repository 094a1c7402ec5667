"""ResNet-18 and -50 as code, for their published latencies beside those of the networks here.

Source: Deep Residual Learning for Image Recognition (CVPR 2016), table 1; with the strides of its authors' own files,
on the first 1x1 convolution of a stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dongfeng.architectures.builder import NetBuilder
from dongfeng.net.graph import Net

_BLOCKS: Mapping[int, tuple[int, ...]] = MappingProxyType({18: (2, 2, 2, 2), 50: (3, 4, 6, 3)})


def resnet(depth: int) -> Net:
    """Build a net without weights from `data` (1, 3, 224, 224) to `fc` (1, 1000); `depth` is 18 or 50."""
    net = NetBuilder(f"resnet{depth}", (1, 3, 224, 224))
    top = net.conv_bn_relu("conv1", net.data, 64, 7, stride=2)
    top = net.add("Pooling", "pool1", [top], pooling_param={"pool": "MAX", "kernel_size": 3, "stride": 2})
    channels = 64
    for stage, blocks in enumerate(_BLOCKS[depth]):
        for index in range(blocks):
            stride = 2 if stage and not index else 1
            top, channels = _block(net, f"res{stage + 2}.{index + 1}", top, channels, 64 << stage, stride, depth)
    pooled = net.average_pool("pool5", top, (7, 7), stride_hw=(1, 1))
    net.add("InnerProduct", "fc", [pooled], inner_product_param={"num_output": 1000})
    return net.net()


def _block(
    net: NetBuilder, name: str, bottom: str, channels: int, width: int, stride: int, depth: int
) -> tuple[str, int]:
    """Add 3x3, 3x3 (18 layers) or 1x1, 3x3, 1x1 to four times the width; return the top and its channels."""
    out = width if depth == 18 else 4 * width
    if depth == 18:
        inner = net.conv_bn_relu(f"{name}.conv1", bottom, width, 3, stride=stride)
        inner = net.conv_bn(f"{name}.conv2", inner, width, 3)
    else:
        inner = net.conv_bn_relu(f"{name}.conv1", bottom, width, 1, stride=stride)
        inner = net.conv_bn_relu(f"{name}.conv2", inner, width, 3)
        inner = net.conv_bn(f"{name}.conv3", inner, out, 1)
    skip = bottom
    if stride > 1 or channels != out:
        skip = net.conv_bn(f"{name}.skip", bottom, out, 1, stride=stride)
    total = net.add("Eltwise", f"{name}.sum", [inner, skip], eltwise_param={"operation": "SUM"})
    return net.relu(f"{name}.relu", total), out
