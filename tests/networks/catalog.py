"""All networks by name, and what they are fed with."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial

import numpy as np

import dongfeng
from tests.networks import classification, detection, mobile, segmentation, sequence

NETWORKS: dict[str, Callable[[], str]] = {
    "alexnet": partial(classification.alexnet, lrn_first=True),
    "caffenet": partial(classification.alexnet, lrn_first=False),
    "crnn": sequence.crnn,
    "densenet": classification.densenet,
    "enet": segmentation.enet,
    "fcn8s": segmentation.fcn8s,
    "googlenet": classification.googlenet,
    "icnet": segmentation.icnet,
    "inception_v3": classification.inception_v3,
    "lrcn_captioner": sequence.captioner,
    "mobilenet_v1": partial(mobile.mobilenet_v1, "Convolution"),
    "mobilenet_v1_depthwise": partial(mobile.mobilenet_v1, "DepthwiseConvolution"),
    "mobilenet_v2": mobile.mobilenet_v2,
    "pspnet": segmentation.pspnet,
    "resnet50": classification.resnet50,
    "se_resnet_axpy": partial(classification.se_resnet, axpy=True),
    "se_resnet_scale": partial(classification.se_resnet, axpy=False),
    "segnet": segmentation.segnet,
    "shufflenet": mobile.shufflenet,
    "squeezenet": classification.squeezenet,
    "ssd300": detection.ssd300,
    "unet": segmentation.unet,
    "vgg16": classification.vgg16,
}


def feeds_of(net: dongfeng.Net) -> dict[str, np.ndarray]:
    """A seeded array for each input: images are normal, words are indices, one sequence begins within."""
    rng = np.random.default_rng(zlib.crc32(net.name.encode()))
    feeds = {}
    for blob, shape in net.inputs.items():
        if blob == "input_sentence":
            values = rng.integers(0, sequence.WORDS, shape)
        elif len(shape) == 2:
            values = np.ones(shape)
            values[0], values[3, 1] = 0, 0
        else:
            values = rng.standard_normal(shape)
        feeds[blob] = values.astype(np.float32)
    return feeds
