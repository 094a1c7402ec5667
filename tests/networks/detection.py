"""SSD: feature maps of six sizes, each with boxes, classes and priors of its own."""

from __future__ import annotations

from collections.abc import Sequence

from tests.networks.classification import vgg_features
from tests.networks.prototxt import Prototxt

CLASSES = 21


def _box_head(net: Prototxt, name: str, x: str, step: int, sizes: Sequence[int], ratios: Sequence[int]) -> None:
    n_boxes = 2 + 2 * len(ratios)
    for what, values in (("loc", 4), ("conf", CLASSES)):
        y = net.conv(f"{name}_mbox_{what}", x, n_boxes * values, 3, pad=1)
        y = net.add("Permute", f"{name}_mbox_{what}_perm", y, permute_param={"order": [0, 2, 3, 1]})
        net.add("Flatten", f"{name}_mbox_{what}_flat", y, flatten_param={"axis": 1})
    param = {"min_size": sizes[0], "max_size": sizes[1], "aspect_ratio": list(ratios), "flip": True, "clip": False}
    param |= {"variance": [0.1, 0.1, 0.2, 0.2], "step": step, "offset": 0.5}
    net.add("PriorBox", f"{name}_mbox_priorbox", [x, "data"], prior_box_param=param)


def ssd300(width: int = 8, size: int = 300) -> str:
    """SSD300 on VGG-16: normalized conv4_3, dilated fc6, pool5 of stride 1, six heads. 1/8 of the width."""
    net = Prototxt("VGG_VOC0712_SSD_300x300_deploy", data=(1, 3, size, size))
    taps = vgg_features(net, "data", width, last_pool=False)
    x = net.pool("pool5", taps["conv5"], 3, 1, pad=1)
    x = net.relu(net.conv("fc6", x, 16 * width, 3, pad=6, dilation=6), "relu6")
    x = net.relu(net.conv("fc7", x, 16 * width), "relu7")
    norm = {"across_spatial": False, "scale_filler": {"type": "constant", "value": 20}, "channel_shared": False}
    heads = {net.add("Normalize", "conv4_3_norm", taps["conv4"], norm_param=norm): (8, (30, 60), (2,))}
    heads[x] = (16, (60, 111), (2, 3))
    for index, (units, stride, step, sizes, ratios) in enumerate(
        (
            (4, 2, 32, (111, 162), (2, 3)),
            (2, 2, 64, (162, 213), (2, 3)),
            (2, 1, 100, (213, 264), (2,)),
            (2, 1, 300, (264, 315), (2,)),
        ),
        6,
    ):
        x = net.conv_relu(f"conv{index}_1", x, units * width)
        pad = {"pad": 1, "stride": 2} if stride == 2 else {}
        x = net.conv_relu(f"conv{index}_2", x, 2 * units * width, 3, **pad)
        heads[x] = (step, sizes, ratios)
    for blob, (step, sizes, ratios) in heads.items():
        _box_head(net, blob, blob, step, sizes, ratios)
    for what, axis in (("loc", 1), ("conf", 1), ("priorbox", 2)):
        tail = "" if what == "priorbox" else "_flat"
        net.concat(f"mbox_{what}", *(f"{blob}_mbox_{what}{tail}" for blob in heads), axis=axis)
    shape = {"shape": {"dim": [0, -1, CLASSES]}}
    conf = net.add("Reshape", "mbox_conf_reshape", "mbox_conf", reshape_param=shape)
    conf = net.softmax("mbox_conf_softmax", conf, axis=2)
    conf = net.add("Flatten", "mbox_conf_flatten", conf, flatten_param={"axis": 1})
    param = {"num_classes": CLASSES, "share_location": True, "background_label_id": 0, "code_type": "CENTER_SIZE"}
    param |= {"nms_param": {"nms_threshold": 0.45, "top_k": 400}, "keep_top_k": 200, "confidence_threshold": 0.01}
    param["save_output_param"] = {"label_map_file": "data/VOC0712/labelmap_voc.prototxt"}  # as in the released file
    net.add("DetectionOutput", "detection_out", ["mbox_loc", conf, "mbox_priorbox"], detection_output_param=param)
    return net.text
