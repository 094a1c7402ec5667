"""Backbones of Partial Order Pruning: a stem of two convolutions and three stages of residual blocks.

An encoding gives one width per block: `((stage 3), (stage 4), (stage 5))`. The paper's stage s is `res(s-1)` in the
released files. Source: Partial Order Pruning (CVPR 2019), figure 2, and the released network files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dongfeng.architectures.blocks import BLOCKS, Feature
from dongfeng.architectures.builder import NetBuilder
from dongfeng.errors import ShapeError
from dongfeng.net.graph import Net

Encoding = Sequence[Sequence[int]]
Blocks = str | Sequence[str]

STEM = (32, 64)  # widths of the two convolutions, in every released net
STRIDE = 32  # of stage 5
_STAGES = 3


@dataclass(frozen=True)
class Backbone:
    """A named point of the search space: the widths of every block, and the type of block of each stage."""

    encoding: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    block: str | tuple[str, str, str] = "basic"


_DF2_ENCODING = ((64, 64, 128), (128,) * 10 + (256,), (256,) * 4 + (512, 512))

DFLITE = Backbone(((64, 64), (128, 128), (256, 512)))
DF1 = Backbone(((64, 64, 64), (128, 128, 128), (256, 256, 256, 512)))
DF2 = Backbone(_DF2_ENCODING)
DF2A = Backbone(_DF2_ENCODING, ("basic", "bottleneck", "bottleneck"))


def backbone_net(
    encoding: Encoding,
    block: Blocks = "basic",
    *,
    name: str = "backbone",
    folded: bool = False,
    classes: int = 1000,
    size_hw: tuple[int, int] = (224, 224),
    stem: Sequence[int] = STEM,
) -> Net:
    """Build an ImageNet classifier: backbone, global average pooling, inner product.

    Args:
        encoding: Three sequences with the width of every block of stages 3, 4 and 5.
        block: "basic" or "bottleneck", for all stages or one for each.
        name: Name of the net.
        folded: Leave out BatchNorm and Scale; the convolutions have biases instead.
        classes: Number of classes.
        size_hw: Height and width of the input, multiples of 32.
        stem: Widths of the two convolutions in front of stage 3.

    Returns:
        A net without weights from `data` (1, 3, H, W) to `fc` (1, classes).

    Raises:
        ShapeError: an argument is not of this form.

    Example:
        >>> backbone_net([[64, 64], [128], [256, 512]]).shapes()["fc"]
        (1, 1000)
    """
    height, width = map_hw(size_hw)
    net = NetBuilder(name, (1, 3, *size_hw), folded=folded)
    top = add_backbone(net, encoding, block, stem)[-1].blob
    pooled = net.average_pool("pool5", top, (height, width), stride_hw=(1, 1))
    net.add("InnerProduct", "fc", [pooled], inner_product_param={"num_output": classes, "bias_term": True})
    return net.net()


def map_hw(size_hw: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of stage 5's map.

    Raises:
        ShapeError: the input size is no multiple of its stride.
    """
    if min(size_hw) < STRIDE or any(side % STRIDE for side in size_hw):
        raise ShapeError(f"expected an input size in multiples of {STRIDE}, got {size_hw[0]}x{size_hw[1]}")
    return size_hw[0] // STRIDE, size_hw[1] // STRIDE


def add_backbone(
    net: NetBuilder, encoding: Encoding, block: Blocks = "basic", stem: Sequence[int] = STEM
) -> list[Feature]:
    """Add stem and stages; return the features at 1/8, 1/16 and 1/32 of the input size.

    Raises:
        ShapeError: an argument is not of the form that `backbone_net` describes.
    """
    _check_encoding(encoding)
    blocks = _block_per_stage(block)
    if len(stem) != len(STEM) or min(stem) < 1:
        raise ShapeError(f"expected two positive widths of the stem, got {tuple(stem)}")
    feature = Feature(net.data, 3)
    for index, width in enumerate(stem, 1):
        feature = Feature(net.conv_bn_relu(f"conv{index}", feature.blob, width, 3, stride=2), width)
    stages = []
    previous = feature.channels
    for stage, (widths, block_type) in enumerate(zip(encoding, blocks, strict=True), 2):
        for index, width in enumerate(widths, 1):
            stride = 2 if index == 1 else 1
            # The width decides, not the channels: at 512, a bottleneck keeps the 1024 channels of 256.
            project = stride == 2 or width != previous
            feature = BLOCKS[block_type](net, f"res{stage}.{index}", feature, width, stride, project)
            previous = width
        stages.append(feature)
    return stages


def _check_encoding(encoding: Encoding) -> None:
    stages = [tuple(widths) for widths in encoding]
    if len(stages) != _STAGES or not all(stages) or any(width < 1 for widths in stages for width in widths):
        raise ShapeError(f"expected three stages with one positive width per block, got {stages}")


def _block_per_stage(block: Blocks) -> tuple[str, ...]:
    blocks = (block,) * _STAGES if isinstance(block, str) else tuple(block)
    if len(blocks) != _STAGES or not set(blocks) <= BLOCKS.keys():
        raise ShapeError(f"expected a block type ({', '.join(BLOCKS)}) or one for each of three stages, got {block!r}")
    return blocks
