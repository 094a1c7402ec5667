"""Networks that label every pixel: deconvolution, unpooling by mask, cropping, dilation, Interp."""

from __future__ import annotations

from tests.networks.classification import vgg_features
from tests.networks.prototxt import Prototxt

CLASSES = 11


def fcn8s(width: int = 8, size: int = 64) -> str:
    """FCN-8s: 100 pixels of padding, cropped away again behind three deconvolutions. 1/8 of the width."""
    net = Prototxt("FCN-8s", data=(1, 3, size, size))
    taps = vgg_features(net, "data", width, first_pad=100)
    x = net.dropout(net.conv_relu("fc6", taps["pool5"], 16 * width, 7, pad=0), "drop6")
    x = net.dropout(net.conv_relu("fc7", x, 16 * width), "drop7")
    x = net.deconv("upscore2", net.conv("score_fr", x, CLASSES), CLASSES, 4, 2, bias_term=False)
    for pool, offset, up, kernel, stride in (("pool4", 5, "upscore_pool4", 4, 2), ("pool3", 9, "upscore8", 16, 8)):
        score = net.conv(f"score_{pool}", taps[pool], CLASSES)
        cropped = net.add("Crop", f"score_{pool}c", [score, x], crop_param={"axis": 2, "offset": offset})
        fused = net.sum(f"fuse_{pool}", x, cropped)
        x = net.deconv(up, fused, CLASSES, kernel, stride, bias_term=False)
    net.add("Crop", "score", [x, "data"], crop_param={"axis": 2, "offset": 31})
    return net.text


def segnet(width: int = 4, size_hw: tuple[int, int] = (45, 60)) -> str:
    """SegNet: values go back to where the encoder's maxima were, on maps whose sizes rounded up. 1/16 of the width."""
    net = Prototxt("VGG_ILSVRC_16_layer", data=(1, 3, *size_hw))

    def conv(name: str, x: str, channels: int) -> str:
        x = net.conv(name, x, channels, 3, pad=1)
        fillers = {
            "scale_filler": {"type": "constant", "value": 1},
            "shift_filler": {"type": "constant", "value": 0.001},
        }
        return net.relu(net.in_place("BN", f"{name}_bn", x, bn_param={**fillers, "bn_mode": "INFERENCE"}))

    x, sizes, stages = "data", [size_hw], ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))
    for stage, (depth, factor) in enumerate(stages, 1):
        for index in range(1, depth + 1):
            x = conv(f"conv{stage}_{index}", x, factor * width)
        param = {"pool": "MAX", "kernel_size": 2, "stride": 2}
        x = net.add("Pooling", f"pool{stage}", x, [f"pool{stage}", f"pool{stage}_mask"], pooling_param=param)
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    for stage in range(5, 0, -1):
        height, width_out = sizes[stage - 1]
        is_odd = (height, width_out) != (2 * sizes[stage][0], 2 * sizes[stage][1])
        param = {"scale": 2, **({"upsample_h": height, "upsample_w": width_out} if is_odd else {})}
        x = net.add("Upsample", f"upsample{stage}", [x, f"pool{stage}_mask"], upsample_param=param)
        depth, factor = stages[stage - 1]
        for index in range(depth, 0, -1):
            after = stages[max(stage - 2, 0)][1] if index == 1 else factor
            is_last = (stage, index) == (1, 1)
            name = f"conv{stage}_{index}_D"
            x = net.conv(name, x, CLASSES, 3, pad=1) if is_last else conv(name, x, after * width)
    net.softmax("prob", x)
    return net.text


class _ENet:
    """ENet's bottlenecks: a narrow branch beside the map itself, or beside a pooled or unpooled one."""

    def __init__(self, net: Prototxt) -> None:
        self.net = net

    def bn_prelu(self, x: str, name: str) -> str:
        return self.net.in_place("PReLU", f"{name}_prelu", self.net.bn_scale(x, name))

    def conv(self, name: str, x: str, channels: int, kernel: int = 1, **param: int) -> str:
        return self.bn_prelu(self.net.conv(name, x, channels, kernel, bias_term=False, **param), name)

    def expand(self, name: str, y: str, channels: int) -> str:
        y = self.net.conv_bn(f"{name}_expand", y, channels)
        return self.net.dropout(y, f"{name}_drop", 0.1)

    def merge(self, name: str, x: str, y: str) -> str:
        return self.net.in_place("PReLU", f"{name}_out_prelu", self.net.sum(name, x, y))

    def regular(self, name: str, x: str, channels: int, dilation: int = 1) -> str:
        y = self.conv(f"{name}_reduce", x, channels // 4)
        y = self.conv(f"{name}_conv", y, channels // 4, 3, pad=dilation, dilation=dilation)
        return self.merge(name, x, self.expand(name, y, channels))

    def asymmetric(self, name: str, x: str, channels: int) -> str:
        y = self.conv(f"{name}_reduce", x, channels // 4)
        y = self.conv(f"{name}_5x1", y, channels // 4, kernel_h=5, kernel_w=1, pad_h=2, pad_w=0)
        y = self.conv(f"{name}_1x5", y, channels // 4, kernel_h=1, kernel_w=5, pad_h=0, pad_w=2)
        return self.merge(name, x, self.expand(name, y, channels))

    def down(self, name: str, x: str, channels: int) -> str:
        param = {"pool": "MAX", "kernel_size": 2, "stride": 2}
        self.net.add("Pooling", f"{name}_pool", x, [f"{name}_pool", f"{name}_mask"], pooling_param=param)
        pooled = self.net.conv_bn(f"{name}_match", f"{name}_pool", channels)
        y = self.conv(f"{name}_reduce", x, channels // 4, 2, stride=2)
        y = self.conv(f"{name}_conv", y, channels // 4, 3, pad=1)
        return self.merge(name, pooled, self.expand(name, y, channels))

    def up(self, name: str, x: str, mask: str, channels: int, masked: int) -> str:
        """`masked` channels are put back where the pooling named `mask` found its maxima."""
        raised = self.net.conv_bn(f"{name}_match", x, masked)
        raised = self.net.add("Upsample", f"{name}_up", [raised, f"{mask}_mask"], upsample_param={"scale": 2})
        raised = self.net.conv_bn(f"{name}_narrow", raised, channels)
        y = self.conv(f"{name}_reduce", x, channels // 4)
        y = self.bn_prelu(self.net.deconv(f"{name}_deconv", y, channels // 4, 2, 2), f"{name}_deconv")
        return self.merge(name, raised, self.expand(name, y, channels))


def enet(width: int = 8, size_hw: tuple[int, int] = (64, 96)) -> str:
    """ENet: initial block of convolution and pooling, dilated and asymmetric bottlenecks, PReLU. Half the width."""
    net = Prototxt("ENet", data=(1, 3, *size_hw))
    block = _ENet(net)
    initial = net.concat(
        "concat0", net.conv("conv0", "data", 2 * width - 3, 3, pad=1, stride=2), net.pool("pool0", "data", 2, 2)
    )
    x = block.down("b1_0", block.bn_prelu(initial, "initial"), 4 * width)
    x = block.down("b2_0", block.regular("b1_1", x, 4 * width), 8 * width)
    for index, dilation in enumerate((1, 2, 0, 4, 1, 8, 0, 16), 1):  # 0: the asymmetric form
        name = f"b2_{index}"
        x = block.regular(name, x, 8 * width, dilation) if dilation else block.asymmetric(name, x, 8 * width)
    x = block.regular("b4_1", block.up("b4_0", x, "b2_0", 4 * width, 4 * width), 4 * width)
    x = block.regular("b5_1", block.up("b5_0", x, "b1_0", 2 * width, 2 * width), 2 * width)
    net.deconv("deconv6", x, CLASSES, 2, 2)
    return net.text


def unet(width: int = 8, size: int = 188) -> str:
    """U-Net: convolutions without padding, skips cropped to what is left. 1/8 of the width."""
    net = Prototxt("phseg_v5", data=(1, 1, size, size))
    x, skips = "data", []
    for level in range(4):
        name = f"d{level}"
        x = net.conv_relu(f"{name}b", net.conv_relu(f"{name}a", x, width << level, 3), width << level, 3)
        skips.append(net.dropout(x, "dropout_d3c") if level == 3 else x)
        x = net.pool(f"{name}c", x, 2, 2)
    x = net.conv_relu("d4b", net.conv_relu("d4a", x, width << 4, 3), width << 4, 3)
    x = net.dropout(x, "dropout_d4c")
    for level in range(3, -1, -1):
        name = f"u{level}"
        x = net.relu(net.deconv(f"{name}a", x, width << level, 2, 2), f"relu_{name}a")
        skip = net.add("Crop", f"crop_d{level}", [skips[level], x])
        x = net.concat(f"{name}b", x, skip)
        x = net.conv_relu(f"{name}d", net.conv_relu(f"{name}c", x, width << level, 3), width << level, 3)
    net.conv("score", x, 2)
    return net.text


def _conv_bn(
    net: Prototxt, name: str, x: str, channels: int, kernel: int = 1, *, relu: bool = True, **param: int
) -> str:
    """A convolution and PSPNet's BN of four blobs."""
    x = net.conv(name, x, channels, kernel, bias_term=False, **param)
    fillers = {"slope_filler": {"type": "constant", "value": 1}, "bias_filler": {"type": "constant", "value": 0}}
    x = net.in_place("BN", f"{name}/bn", x, bn_param={**fillers, "frozen": True, "momentum": 0.95})
    return net.relu(x, f"{name}/relu") if relu else x


def _bottleneck(
    net: Prototxt, name: str, x: str, mid: int, *, dilation: int = 1, stride: int = 1, project: bool
) -> str:
    y = _conv_bn(net, f"{name}_1x1_reduce", x, mid, stride=stride)
    y = _conv_bn(net, f"{name}_3x3", y, mid, 3, pad=dilation, dilation=dilation)
    y = _conv_bn(net, f"{name}_1x1_increase", y, 4 * mid, relu=False)
    if project:
        x = _conv_bn(net, f"{name}_1x1_proj", x, 4 * mid, relu=False, stride=stride)
    return net.relu(net.sum(name, x, y), f"{name}/relu")


def pspnet(width: int = 4, size: int = 105) -> str:
    """PSPNet: a dilated ResNet, four poolings brought back to size by Interp, scores enlarged eightfold."""
    net = Prototxt("pspnet", data=(1, 3, size, size))
    x = _conv_bn(net, "conv1_1_3x3_s2", "data", 2 * width, 3, stride=2, pad=1)
    x = _conv_bn(net, "conv1_3_3x3", _conv_bn(net, "conv1_2_3x3", x, 2 * width, 3, pad=1), 4 * width, 3, pad=1)
    x = net.pool("pool1_3x3_s2", x, 3, 2, pad=1)
    for stage, (stride, dilation) in enumerate(((1, 1), (2, 1), (1, 2), (1, 4)), 2):
        for index in (1, 2):
            first = index == 1
            step = {"stride": stride if first else 1, "dilation": dilation, "project": first}
            x = _bottleneck(net, f"conv{stage}_{index}", x, width << (stage - 2), **step)
    cells = (size - 1) // 8 + 1
    levels = [x]
    for bins in (1, 2, 3, 6):
        kernel = -(-cells // bins)
        y = net.pool(f"conv5_3_pool{bins}", x, kernel, cells // bins, "AVE")
        y = _conv_bn(net, f"conv5_3_pool{bins}_conv", y, 8 * width)
        size_of = {"height": cells, "width": cells}
        levels.append(net.add("Interp", f"conv5_3_pool{bins}_interp", y, interp_param=size_of))
    x = _conv_bn(net, "conv5_4", net.concat("conv5_3_concat", *levels), 8 * width, 3, pad=1)
    x = net.conv("conv6", net.dropout(x, "conv5_4/dropout", 0.1), CLASSES)
    net.add("Interp", "conv6_interp", x, interp_param={"zoom_factor": 8})
    return net.text


def icnet(width: int = 4, size: int = 129) -> str:
    """ICNet: the image at half size through a dilated branch, fused with the full image by Interp and Eltwise."""
    net = Prototxt("icnet_cityscapes", data=(1, 3, size, size))
    half = net.add("Interp", "data_sub2", "data", interp_param={"shrink_factor": 2})
    x = _conv_bn(net, "conv1_1_3x3_s2", half, 2 * width, 3, stride=2, pad=1)
    x = net.pool("pool1_3x3_s2", _conv_bn(net, "conv1_2_3x3", x, 4 * width, 3, pad=1), 3, 2, pad=1)
    middle = _bottleneck(net, "conv3_1", x, 2 * width, stride=2, project=True)
    deep = net.add("Interp", "conv3_1_sub4", middle, interp_param={"shrink_factor": 2})
    for index, dilation in enumerate((2, 4), 1):
        deep = _bottleneck(net, f"conv4_{index}", deep, 2 * width, dilation=dilation, project=False)

    def fuse(name: str, coarse: str, fine: str) -> str:
        up = net.add("Interp", f"{name}_interp", coarse, interp_param={"zoom_factor": 2})
        up = _conv_bn(net, f"conv_{name}", up, 4 * width, 3, relu=False, pad=2, dilation=2)
        return net.relu(net.sum(name, up, _conv_bn(net, f"{name}_proj", fine, 4 * width, relu=False)), f"{name}/relu")

    x = fuse("sub24_sum", deep, middle)
    fine = "data"
    for index in (1, 2, 3):
        fine = _conv_bn(net, f"conv{index}_sub1", fine, 2 * width, 3, stride=2, pad=1)
    x = fuse("sub12_sum", x, fine)
    x = net.add("Interp", "sub12_sum_up", x, interp_param={"zoom_factor": 2})
    net.add("Interp", "conv6_interp", net.conv("conv6_cls", x, CLASSES), interp_param={"zoom_factor": 4})
    return net.text
