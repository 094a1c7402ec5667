"""Networks for phones: depthwise convolutions in every spelling, ReLU6, channel shuffles."""

from __future__ import annotations

from tests.networks.prototxt import Prototxt

CLASSES = 20


def depthwise(net: Prototxt, name: str, x: str, channels: int, stride: int, kind: str) -> str:
    """A 3x3 convolution of each channel: a group for each in BVLC's Caffe, a type of its own in forks."""
    group = {"group": channels} if kind == "Convolution" else {}
    return net.conv_bn(name, x, channels, 3, kind=kind, stride=stride, pad=1, **group)


def mobilenet_v1(kind: str, width: int = 16, size: int = 160, classes: int = CLASSES) -> str:
    """MobileNet v1 with depthwise layers of type `kind`. Half the width."""
    net = Prototxt("MOBILENET", data=(1, 3, size, size))
    x = net.conv_bn_relu("conv1", "data", width, 3, stride=2, pad=1)
    channels = width
    steps = (("2_1", 2, 1), ("2_2", 4, 2), ("3_1", 4, 1), ("3_2", 8, 2), ("4_1", 8, 1), ("4_2", 16, 2))
    steps += tuple((f"5_{index}", 16, 1) for index in range(1, 6)) + (("5_6", 32, 2), ("6", 32, 1))
    for name, factor, stride in steps:
        x = net.relu(depthwise(net, f"conv{name}/dw", x, channels, stride, kind), f"relu{name}/dw")
        channels = factor * width
        x = net.conv_bn_relu(f"conv{name}/sep", x, channels)
    net.softmax("prob", net.conv("fc7", net.global_pool("pool6", x), classes))
    return net.text


def mobilenet_v2(width: int = 8, size: int = 96, classes: int = CLASSES) -> str:
    """MobileNet v2: inverted residuals without a ReLU at their end, ReLU6 elsewhere. 1/4 of the width."""
    net = Prototxt("MOBILENET_V2", data=(1, 3, size, size))

    def relu6(x: str) -> str:
        return net.in_place("ReLU6", f"relu6_{x}", x)

    def bottleneck(name: str, x: str, from_to: tuple[int, int], expansion: int, stride: int) -> str:
        inner = from_to[0] * expansion
        y = relu6(net.conv_bn(f"{name}/expand", x, inner)) if expansion > 1 else x
        y = relu6(depthwise(net, f"{name}/dwise", y, inner, stride, "Convolution"))
        y = net.conv_bn(f"{name}/linear", y, from_to[1])
        return net.sum(f"block_{name}", x, y) if stride == 1 and from_to[0] == from_to[1] else y

    x, channels = relu6(net.conv_bn("conv1", "data", width, 3, stride=2, pad=1)), width
    settings = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    for stage, (expansion, units, repeats, stride) in enumerate(settings, 2):
        for index in range(repeats):
            units_out = units * width // 32
            step = stride if index == 0 else 1
            x = bottleneck(f"conv{stage}_{index + 1}", x, (channels, units_out), expansion, step)
            channels = units_out
    x = relu6(net.conv_bn("conv9", x, 40 * width))
    net.softmax("prob", net.conv("fc7", net.global_pool("pool6", x), classes))
    return net.text


def shufflenet(group: int = 3, size: int = 64) -> str:
    """ShuffleNet v1: grouped 1x1 convolutions, shuffled channels, average pooling that rounds up as shortcut."""
    net = Prototxt("shufflenet", data=(2, 3, size, size))

    def unit(name: str, x: str, channels: int, added: int, stride: int, first_group: int) -> str:
        mid = channels // 4
        y = net.conv_bn_relu(f"{name}_conv1", x, mid, group=first_group)
        y = net.add("ShuffleChannel", f"{name}_shuffle", y, shuffle_channel_param={"group": group})
        y = depthwise(net, f"{name}_conv2", y, mid, stride, "ConvolutionDepthwise")
        y = net.conv_bn(f"{name}_conv3", y, added, group=group)
        if stride == 1:
            return net.relu(net.sum(name, x, y), f"{name}_relu")
        return net.relu(net.concat(name, net.pool(f"{name}_match", x, 3, 2, "AVE"), y), f"{name}_relu")

    x = net.pool("pool1", net.conv_bn_relu("conv1", "data", 24, 3, stride=2, pad=1), 3, 2)
    channels = 24
    for stage, (target, repeats) in enumerate(((60, 3), (120, 4)), 2):
        for index in range(repeats):
            down = index == 0
            first_group = 1 if stage == 2 and down else group
            added = target - channels if down else target
            x = unit(f"resx{stage}_{index + 1}", x, target, added, 2 if down else 1, first_group)
            channels = target
    net.softmax("prob", net.inner("fc1000", net.global_pool("pool_ave", x), CLASSES))
    return net.text
