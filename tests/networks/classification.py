"""Classifiers, as their authors published them, narrower and on smaller images."""

from __future__ import annotations

from tests.networks.prototxt import Prototxt

CLASSES = 20


def alexnet(*, lrn_first: bool, width: int = 8, size: int = 131) -> str:
    """AlexNet (normalization before pooling) or CaffeNet (after it). Only the inner products are narrower."""
    net = Prototxt("AlexNet" if lrn_first else "CaffeNet", data=(2, 3, size, size))
    net.softmax("prob", alexnet_layers(net, lrn_first=lrn_first, width=width))
    return net.text


def alexnet_layers(net: Prototxt, *, lrn_first: bool, width: int = 8) -> str:
    """The layers from blob `data` to the scores: two groups, LRN, overlapping poolings."""

    def norm_pool(x: str, index: int) -> str:
        lrn = {"local_size": 5, "alpha": 1e-4, "beta": 0.75}
        if lrn_first:
            return net.pool(f"pool{index}", net.add("LRN", f"norm{index}", x, lrn_param=lrn), 3, 2)
        return net.add("LRN", f"norm{index}", net.pool(f"pool{index}", x, 3, 2), lrn_param=lrn)

    x = norm_pool(net.relu(net.conv("conv1", "data", 12 * width, 11, stride=4), "relu1"), 1)
    x = norm_pool(net.relu(net.conv("conv2", x, 32 * width, 5, pad=2, group=2), "relu2"), 2)
    x = net.relu(net.conv("conv3", x, 48 * width, 3, pad=1), "relu3")
    x = net.relu(net.conv("conv4", x, 48 * width, 3, pad=1, group=2), "relu4")
    x = net.relu(net.conv("conv5", x, 32 * width, 3, pad=1, group=2), "relu5")
    x = net.pool("pool5", x, 3, 2)
    for index in (6, 7):
        x = net.dropout(net.relu(net.inner(f"fc{index}", x, 32 * width), f"relu{index}"), f"drop{index}")
    return net.inner("fc8", x, CLASSES)


def googlenet(width: int = 16, size: int = 224, classes: int = CLASSES) -> str:
    """GoogLeNet: inception v1, whose fourth branch is a padded max pooling of stride 1. 1/4 of the width."""
    net = Prototxt("GoogleNet", data=(1, 3, size, size))
    lrn = {"local_size": 5, "alpha": 1e-4, "beta": 0.75}

    def inception(x: str, name: str, *channels: int) -> str:
        one, reduce3, three, reduce5, five, projected = (max(c * width // 64, 1) for c in channels)
        a = net.conv_relu(f"{name}/1x1", x, one)
        b = net.conv_relu(f"{name}/3x3", net.conv_relu(f"{name}/3x3_reduce", x, reduce3), three, 3, pad=1)
        c = net.conv_relu(f"{name}/5x5", net.conv_relu(f"{name}/5x5_reduce", x, reduce5), five, 5, pad=2)
        d = net.conv_relu(f"{name}/pool_proj", net.pool(f"{name}/pool", x, 3, 1, pad=1), projected)
        return net.concat(f"{name}/output", a, b, c, d)

    x = net.conv_relu("conv1/7x7_s2", "data", width, 7, stride=2, pad=3)
    x = net.add("LRN", "pool1/norm1", net.pool("pool1/3x3_s2", x, 3, 2), lrn_param=lrn)
    x = net.conv_relu("conv2/3x3", net.conv_relu("conv2/3x3_reduce", x, width), 3 * width, 3, pad=1)
    x = net.pool("pool2/3x3_s2", net.add("LRN", "conv2/norm2", x, lrn_param=lrn), 3, 2)
    x = inception(x, "inception_3a", 64, 96, 128, 16, 32, 32)
    x = inception(x, "inception_3b", 128, 128, 192, 32, 96, 64)
    x = net.pool("pool3/3x3_s2", x, 3, 2)
    x = inception(x, "inception_4a", 192, 96, 208, 16, 48, 64)
    x = inception(x, "inception_4b", 160, 112, 224, 24, 64, 64)
    x = inception(x, "inception_4c", 128, 128, 256, 24, 64, 64)
    x = inception(x, "inception_4d", 112, 144, 288, 32, 64, 64)
    x = inception(x, "inception_4e", 256, 160, 320, 32, 128, 128)
    x = net.pool("pool4/3x3_s2", x, 3, 2)
    x = inception(x, "inception_5a", 256, 160, 320, 32, 128, 128)
    x = inception(x, "inception_5b", 384, 192, 384, 48, 128, 128)
    x = net.dropout(net.pool("pool5/7x7_s1", x, 7, 1, "AVE"), "pool5/drop_7x7_s1", 0.4)
    net.softmax("prob", net.inner("loss3/classifier", x, classes))
    return net.text


def vgg_features(net: Prototxt, x: str, width: int, *, first_pad: int = 1, last_pool: bool = True) -> dict[str, str]:
    """VGG-16's thirteen convolutions and five poolings; returns the blobs other networks take from it."""
    taps = {}
    for stage, (depth, factor) in enumerate(((2, 1), (2, 2), (3, 4), (3, 8), (3, 8)), 1):
        for index in range(1, depth + 1):
            pad = first_pad if (stage, index) == (1, 1) else 1
            x = net.conv_relu(f"conv{stage}_{index}", x, factor * width, 3, pad=pad)
        taps[f"conv{stage}"] = x
        if stage < 5 or last_pool:
            taps[f"pool{stage}"] = x = net.pool(f"pool{stage}", x, 2, 2)
    return taps


def vgg16(width: int = 16, size: int = 96, classes: int = CLASSES) -> str:
    """VGG-16. 1/4 of the width."""
    net = Prototxt("VGG_ILSVRC_16_layers", data=(1, 3, size, size))
    x = vgg_features(net, "data", width)["pool5"]
    for index in (6, 7):
        x = net.dropout(net.relu(net.inner(f"fc{index}", x, 64 * width), f"relu{index}"), f"drop{index}")
    net.softmax("prob", net.inner("fc8", x, classes))
    return net.text


def resnet50(width: int = 16, size: int = 224, classes: int = CLASSES) -> str:
    """ResNet-50: BatchNorm and Scale in place, pool1 rounds up, the first 1x1 of a stage has the stride. 1/4 wide."""
    net = Prototxt("ResNet-50", data=(1, 3, size, size))
    x = net.bn_scale(net.conv("conv1", "data", width, 7, pad=3, stride=2), "conv1")
    x = net.pool("pool1", net.relu(x, "conv1_relu"), 3, 2)
    for stage, (blocks, channels) in enumerate(((3, 1), (4, 2), (6, 4), (3, 8)), 2):
        for index in range(blocks):
            block, stride = f"{stage}{'abcdef'[index]}", 2 if stage > 2 and index == 0 else 1
            mid = channels * width
            y = net.conv_bn_relu(f"res{block}_branch2a", x, mid, stride=stride)
            y = net.conv_bn_relu(f"res{block}_branch2b", y, mid, 3, pad=1)
            y = net.conv_bn(f"res{block}_branch2c", y, 4 * mid)
            if index == 0:
                x = net.conv_bn(f"res{block}_branch1", x, 4 * mid, stride=stride)
            x = net.relu(net.sum(f"res{block}", x, y), f"res{block}_relu")
    net.softmax("prob", net.inner("fc1000", net.pool("pool5", x, 7, 1, "AVE"), classes))
    return net.text


def squeezenet(width: int = 16, size: int = 227, classes: int = CLASSES) -> str:
    """SqueezeNet 1.1: fire modules, a convolution as classifier."""
    net = Prototxt("squeezenet_v1.1", data=(1, 3, size, size))

    def fire(x: str, index: int, squeeze: int) -> str:
        squeezed = net.conv_relu(f"fire{index}/squeeze1x1", x, squeeze)
        a = net.conv_relu(f"fire{index}/expand1x1", squeezed, 4 * squeeze)
        b = net.conv_relu(f"fire{index}/expand3x3", squeezed, 4 * squeeze, 3, pad=1)
        return net.concat(f"fire{index}/concat", a, b)

    x = net.pool("pool1", net.conv_relu("conv1", "data", 4 * width, 3, stride=2), 3, 2)
    for index, factor in enumerate((1, 1, 2, 2, 3, 3, 4, 4), 2):
        x = fire(x, index, factor * width)
        if index in (3, 5):
            x = net.pool(f"pool{index}", x, 3, 2)
    x = net.conv_relu("conv10", net.dropout(x, "drop9"), classes)
    net.softmax("prob", net.global_pool("pool10", x))
    return net.text


def se_resnet(*, axpy: bool, width: int = 16, size: int = 64) -> str:
    """SE-ResNet: channels weighed by a gate, as SENet's Axpy or as an InnerProduct and a Scale of two bottoms."""
    net = Prototxt("SE-ResNet", data=(2, 3, size, size))
    x = net.conv_bn_relu("conv1/7x7_s2", "data", width, 7, pad=3, stride=2)
    x = net.pool("pool1/3x3_s2", x, 3, 2)
    for stage in (2, 3):
        for index in (1, 2):
            name, stride = f"conv{stage}_{index}", 2 if stage > 2 and index == 1 else 1
            mid = width * 2 ** (stage - 2)
            y = net.conv_bn_relu(f"{name}_1x1_reduce", x, mid, stride=stride)
            y = net.conv_bn_relu(f"{name}_3x3", y, mid, 3, pad=1)
            y = net.conv_bn(f"{name}_1x1_increase", y, 4 * mid)
            squeezed = net.global_pool(f"{name}_global_pool", y)
            if index == 1:
                x = net.conv_bn(f"{name}_1x1_proj", x, 4 * mid, stride=stride)
            if axpy:
                gate = net.relu(net.conv(f"{name}_1x1_down", squeezed, mid // 4))
                gate = net.in_place("Sigmoid", f"{name}_prob", net.conv(f"{name}_1x1_up", gate, 4 * mid))
                x = net.add("Axpy", name, [gate, y, x])
            else:
                gate = net.relu(net.inner(f"{name}_fc_down", squeezed, mid // 4))
                gate = net.add("Sigmoid", f"{name}_prob", net.inner(f"{name}_fc_up", gate, 4 * mid))
                x = net.sum(name, net.add("Scale", f"{name}_scaled", [y, gate], scale_param={"axis": 0}), x)
            net.relu(x, f"{name}_relu")
    net.softmax("prob", net.inner("classifier", net.global_pool("pool5", x), CLASSES))
    return net.text


def inception_v3(width: int = 8, size: int = 139) -> str:
    """Inception-v3, one block of each kind: 1x7 and 7x1 convolutions, padded average pooling. 1/4 of the width."""
    net = Prototxt("Inception_v3", data=(1, 3, size, size))

    def conv(name: str, x: str, units: int, kernel: tuple[int, int] = (1, 1), **param: int) -> str:
        (kernel_h, kernel_w), stride = kernel, param.pop("stride", 1)
        pads = {"pad_h": 0, "pad_w": 0} if stride > 1 or param.pop("valid", 0) else _same(kernel)
        sizes = {"kernel_h": kernel_h, "kernel_w": kernel_w}
        return net.conv_bn_relu(name, x, units * width // 4, stride=stride, **sizes, **pads)

    def chain(name: str, x: str, *steps: tuple[int, tuple[int, int]]) -> str:
        for index, (units, kernel) in enumerate(steps):
            x = conv(f"{name}_{index}", x, units, kernel)
        return x

    def pooled(name: str, x: str, units: int) -> str:
        return conv(f"{name}_proj", net.pool(f"{name}_pool", x, 3, 1, "AVE", pad=1), units)

    x = conv("conv1", "data", 4, (3, 3), stride=2)
    x = conv("conv3", conv("conv2", x, 4, (3, 3), valid=1), 8, (3, 3))
    x = conv("conv4", net.pool("pool1", x, 3, 2), 10)
    x = net.pool("pool2", conv("conv5", x, 24, (3, 3), valid=1), 3, 2)
    a = [conv("a_1x1", x, 8), chain("a_5x5", x, (6, (1, 1)), (8, (5, 5)))]
    x = net.concat("a", *a, chain("a_3x3", x, (8, (1, 1)), (12, (3, 3)), (12, (3, 3))), pooled("a", x, 4))
    b = conv("b_3x3_last", chain("b_3x3", x, (8, (1, 1)), (12, (3, 3))), 12, (3, 3), stride=2)
    x = net.concat("b", conv("b_single", x, 48, (3, 3), stride=2), b, net.pool("b_pool", x, 3, 2))
    c = chain("c_7x7", x, (16, (1, 1)), (16, (1, 7)), (24, (7, 1)))
    d = chain("c_7x7_twice", x, (16, (1, 1)), (16, (7, 1)), (16, (1, 7)), (16, (7, 1)), (24, (1, 7)))
    x = net.concat("c", conv("c_1x1", x, 24), c, d, pooled("c", x, 24))
    d = conv("d_3x3_last", conv("d_3x3", x, 24), 40, (3, 3), stride=2)
    e = conv("d_7x7_last", chain("d_7x7", x, (24, (1, 1)), (24, (1, 7)), (24, (7, 1))), 24, (3, 3), stride=2)
    x = net.concat("d", d, e, net.pool("d_pool", x, 3, 2))
    wide, deep = conv("e_3x3", x, 48), chain("e_deep", x, (56, (1, 1)), (48, (3, 3)))
    split = [
        conv(f"{y}_{h}x{w}", y, 48, (h, w)) for y in (wide, deep) for h, w in ((1, 3), (3, 1))
    ]  # each of the two is read twice
    x = net.concat("e", conv("e_1x1", x, 40), *split, pooled("e", x, 24))
    net.softmax("prob", net.inner("classifier", net.dropout(net.global_pool("pool3", x), "drop"), CLASSES))
    return net.text


def _same(kernel: tuple[int, int]) -> dict[str, int]:
    return {"pad_h": kernel[0] // 2, "pad_w": kernel[1] // 2}


def densenet(width: int = 8, size: int = 64) -> str:
    """DenseNet: BatchNorm, Scale and ReLU before each convolution, everything before it concatenated."""
    net = Prototxt("DENSENET", data=(1, 3, size, size))

    def bn_relu(x: str, name: str) -> str:
        """Not in place: the blob is read again by the next Concat."""
        x = net.add("BatchNorm", f"{name}/bn", x, batch_norm_param={"eps": 1e-5})
        return net.relu(net.in_place("Scale", f"{name}/scale", x, scale_param={"bias_term": True}), f"{name}/relu")

    x = net.conv_bn_relu("conv1", "data", 2 * width, 7, stride=2, pad=3)
    x = net.pool("pool1", x, 3, 2, pad=1)
    for stage, depth in ((2, 3), (3, 4)):
        for index in range(1, depth + 1):
            name = f"conv{stage}_{index}"
            y = net.conv(f"{name}/x1", bn_relu(x, f"{name}/x1"), 4 * width, bias_term=False)
            y = net.conv(f"{name}/x2", bn_relu(y, f"{name}/x2"), width, 3, pad=1, bias_term=False)
            x = net.concat(f"concat_{stage}_{index}", x, y)
        x = net.conv(f"conv{stage}_blk", bn_relu(x, f"conv{stage}_blk"), 2 * width, bias_term=False)
        x = net.pool(f"pool{stage}", x, 2, 2, "AVE")
    net.conv("fc6", net.global_pool("pool5", bn_relu(x, "conv5_blk")), CLASSES)
    return net.text
