"""Segmentation nets: backbone, pyramid pooling, and the searched decoder that fuses 1/32, 1/16 and 1/8.

A decoder's encoding is `(cc3, cc4, cc5)`: the widths of its channel controllers on stage 3, stage 4 and the pyramid.
"""

from __future__ import annotations

from collections.abc import Sequence

from dongfeng.architectures.backbone import STEM, Blocks, Encoding, add_backbone, map_hw
from dongfeng.architectures.blocks import Feature, Mixer, conv3x3
from dongfeng.architectures.builder import NetBuilder
from dongfeng.architectures.psp import KERNELS, add_psp
from dongfeng.errors import ShapeError
from dongfeng.net.graph import Net


def segmentation_net(
    encoding: Encoding,
    decoder: Sequence[int],
    block: Blocks = "basic",
    *,
    name: str = "segmentation",
    folded: bool = False,
    size_hw: tuple[int, int] = (1024, 2048),
    classes: int = 19,
    stem: Sequence[int] = STEM,
    psp_kernels: Sequence[int] = KERNELS,
) -> Net:
    """Build a semantic segmentation net.

    Args:
        encoding: Widths of the backbone's blocks, as `backbone_net` takes them.
        decoder: Widths (cc3, cc4, cc5) of the channel controllers.
        block: "basic" or "bottleneck", for all stages or one for each.
        name: Name of the net.
        folded: Leave out BatchNorm and Scale; the convolutions have biases instead.
        size_hw: Height and width of the input, multiples of 32.
        classes: Number of classes.
        stem: Widths of the two convolutions in front of stage 3.
        psp_kernels: Sides of the pyramid's pooling windows on the map at 1/32, largest first.

    Returns:
        A net without weights from `data` (1, 3, H, W) to two label maps: `pred` (1, 1, H, W), from scores enlarged
        inside the net, and `pred_d8` (1, 1, H/8, W/8).

    Raises:
        ShapeError: an argument is not of this form.

    Example:
        >>> segmentation_net([[64, 64], [128, 128], [256, 512]], (32, 32, 512)).shapes()["pred_d8"]
        (1, 1, 128, 256)
    """
    stage5_hw = map_hw(size_hw)
    net = NetBuilder(name, (1, 3, *size_hw), folded=folded)
    stage3, stage4, stage5 = add_backbone(net, encoding, block, stem)
    context = add_psp(net, stage5, stage5_hw, kernels_hw=[(kernel, kernel) for kernel in psp_kernels])
    fused = add_decoder(net, [stage3, stage4, context], decoder)
    score = net.conv_bn("Decoder_score", fused.blob, classes, 3)
    net.labels(net.upsample("Decoder_score.up8", score, classes, 8))
    net.labels(score, "_d8")
    return net.net()


def add_decoder(
    net: NetBuilder, features: Sequence[Feature], widths: Sequence[int], *, mixer: Mixer = conv3x3
) -> Feature:
    """Bring each feature to its width, then fuse them from the deepest to the one at 1/8.

    Args:
        net: The net under construction.
        features: Features at 1/8, 1/16 and 1/32.
        widths: (cc3, cc4, cc5).
        mixer: What mixes two features after they are concatenated.

    Raises:
        ShapeError: `widths` are not three positive numbers.

    Source: the released segmentation nets (Decoder_wc*, Decoder4_4.*, Decoder3_3.*).
    """
    if len(widths) != len(features) or min(widths) < 1:
        raise ShapeError(f"expected three positive decoder widths (cc3, cc4, cc5), got {tuple(widths)}")
    shallow, middle, deep = (
        Feature(net.conv_bn_relu(f"Decoder_wc{stage}", feature.blob, width, 1), width)
        for stage, feature, width in zip((3, 4, 5), features, widths, strict=True)
    )
    return _fuse(net, "Decoder3_3", shallow, _fuse(net, "Decoder4_4", middle, deep, mixer), mixer)


def _fuse(net: NetBuilder, name: str, shallow: Feature, deep: Feature, mixer: Mixer) -> Feature:
    """Reduce the deep feature, enlarge it x2, and mix it with the shallow one at the shallow one's width."""
    width = shallow.channels
    reduced = net.conv_bn_relu(f"{name}.proj", deep.blob, width, 1)
    enlarged = net.upsample(f"{name}.proj/up2", reduced, width, 2)
    joined = Feature(net.concat(f"{name}.concat", [shallow.blob, enlarged]), 2 * width)
    return mixer(net, f"{name}.conv1", joined, width)
