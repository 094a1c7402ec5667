"""PL1A-Seg: the network searched for a Snapdragon 845, released for ncnn.

It is the template of the other nets, with ShuffleNetV2 units for blocks and separable convolutions for 3x3 ones.
Source: the network file of the release's Android demo (pl1a_new.param.bin).
"""

from __future__ import annotations

from dongfeng.architectures.blocks import Feature, separable
from dongfeng.architectures.builder import NetBuilder
from dongfeng.architectures.decoder import add_decoder
from dongfeng.architectures.psp import add_psp
from dongfeng.net.graph import Net

SIZE_HW = (384, 640)
CLASSES = 19

_STAGES = ((4, 48), (8, 96), (4, 192))  # units and channels of stages 3, 4, 5
_DECODER = (48, 96, 192)
_PSP_KERNELS_HW = ((12, 20), (6, 10), (3, 5), (2, 2))
_GROUPS = 2


def pl1a_net(*, name: str = "pl1a_seg") -> Net:
    """Build PL1A-Seg without weights: `data` (1, 3, 384, 640) to scores at 1/8 and four label maps.

    `Decoder_score` (1, 19, 48, 80) holds the scores; `pred` is at full size, `pred_d8` at 1/8, `pred_d4` and
    `pred_d4_2x2` are at 1/4, through a 4x4 and a 2x2 upsampling kernel. Convolutions are folded, as in the release.
    """
    net = NetBuilder(name, (1, 3, *SIZE_HW), folded=True)
    stem = separable(net, "conv1", Feature(net.data, 3), 8, stride=2)
    blurred = net.depthwise("conv2.dw", stem.blob, stem.channels, stride=2)
    feature = Feature(net.conv_bn_relu("conv2", blurred, 24, 3), 24)
    stages = []
    for stage, (units, channels) in enumerate(_STAGES, 2):
        feature = _halving_unit(net, f"res{stage}.1", feature, channels)
        for index in range(2, units + 1):
            feature = _unit(net, f"res{stage}.{index}", feature)
        stages.append(feature)
    size_hw = (SIZE_HW[0] // 32, SIZE_HW[1] // 32)
    context = add_psp(net, stages[2], size_hw, kernels_hw=_PSP_KERNELS_HW, align_corners=False, mixer=separable)
    fused = add_decoder(net, [stages[0], stages[1], context], _DECODER, mixer=separable)
    score = net.conv_bn("Decoder_score", fused.blob, CLASSES, 3)
    net.labels(net.upsample("Decoder_score.up8", score, CLASSES, 8))
    net.labels(score, "_d8")
    net.labels(net.upsample("Decoder_score.up2", score, CLASSES, 2), "_d4")
    net.labels(net.upsample("Decoder_score.up2_2x2", score, CLASSES, 2, kernel=2), "_d4_2x2")
    return net.net()


def _unit(net: NetBuilder, name: str, bottom: Feature) -> Feature:
    """Add ShuffleNetV2's unit: half of the channels pass by, the other half goes through 1x1, 3x3, 1x1."""
    half = bottom.channels // 2
    passed, taken = f"{name}.slice.left", f"{name}.slice.right"
    net.add("Slice", f"{name}.slice", [bottom.blob], [passed, taken], slice_param={"axis": 1, "slice_point": half})
    return _shuffled(net, name, passed, _right_branch(net, name, Feature(taken, half), half, stride=1))


def _halving_unit(net: NetBuilder, name: str, bottom: Feature, channels: int) -> Feature:
    """Add ShuffleNetV2's unit of stride 2: both branches read all channels and give half of them."""
    left = separable(net, f"{name}.left", bottom, channels // 2, stride=2)
    return _shuffled(net, name, left.blob, _right_branch(net, name, bottom, channels // 2, stride=2))


def _right_branch(net: NetBuilder, name: str, bottom: Feature, width: int, *, stride: int) -> Feature:
    reduced = Feature(net.conv_bn_relu(f"{name}.conv1", bottom.blob, width, 1), width)
    return separable(net, f"{name}.conv2", reduced, width, stride=stride)


def _shuffled(net: NetBuilder, name: str, left: str, right: Feature) -> Feature:
    joined = net.concat(f"{name}.concat", [left, right.blob])
    shuffled = net.add("ShuffleChannel", f"{name}.shuffle", [joined], shuffle_channel_param={"group": _GROUPS})
    return Feature(shuffled, 2 * right.channels)
