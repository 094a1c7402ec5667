"""Networks and images small enough to train in a test."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from dongfeng.architectures.builder import NetBuilder
from dongfeng.datasets.cityscapes import LABEL_IDS
from dongfeng.formats.caffe import write_caffe
from dongfeng.net.graph import Net
from dongfeng.training.samples import Data, Image, Target

SIZE_HW = (32, 64)


def segmenter(classes: int = 19, *, width: int = 16, name: str = "tiny") -> Net:
    net = NetBuilder(name, (1, 3, *SIZE_HW))
    blob = net.conv_bn_relu("conv1", "data", width, 3, stride=2)
    blob = net.conv_bn_relu("conv2", blob, width, 3, stride=2)
    blob = net.conv_bn_relu("conv3", blob, width, 3, stride=2)
    score = net.conv_bn("score", blob, classes, 3)
    net.labels(net.upsample("score.up8", score, classes, 8))
    net.labels(score, "_d8")
    return net.net()


def classifier(classes: int, *, width: int = 8) -> Net:
    net = NetBuilder("tiny_classifier", (1, 3, 32, 32))
    blob = net.conv_bn_relu("conv1", "data", width, 3, stride=4)
    pooled = net.average_pool("pool", blob, (8, 8))
    net.add("InnerProduct", "fc", [pooled], inner_product_param={"num_output": classes, "bias_term": True})
    return net.net()


class Squares:
    """Images of coloured squares, 16 pixels wide; the colour is the class, the lowest row is ignored."""

    task = "segmentation"
    class_names = ("red", "green", "blue")

    def __init__(self, count: int, seed: int = 0) -> None:
        self.count, self.seed = count, seed

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int) -> tuple[Image, Target]:
        rng = np.random.default_rng([self.seed, index])
        labels = np.kron(rng.integers(0, 3, (2, 4)), np.ones((16, 16))).astype(np.uint8)
        image = 60 + 120 * np.eye(3, dtype=np.uint8)[labels] + rng.integers(0, 40, (*SIZE_HW, 3)).astype(np.uint8)
        labels[-1] = 255
        return image.astype(np.uint8), labels


class Shades:
    """Images of one shade; classes are dark, grey and bright."""

    task = "classification"
    class_names = ("dark", "grey", "bright")

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int) -> tuple[Image, Target]:
        rng = np.random.default_rng(index)
        return (rng.integers(0, 50, (40, 32, 3)) + 90 * (index % 3)).astype(np.uint8), index % 3


SQUARES = Data(Squares(8), Squares(4, seed=1))


def write_cityscapes(root: Path, *, images: int = 8) -> Path:
    """Squares in Cityscapes' layout, splits train and val."""
    for split, samples in (("train", Squares(images)), ("val", Squares(2, seed=1))):
        for index in range(len(samples)):
            image, labels = samples.sample(index)
            ids = np.append(LABEL_IDS, np.zeros(256 - len(LABEL_IDS), np.uint8))[labels]
            name = f"town_{index:06}_000000"
            for kind, suffix, pixels in (("leftImg8bit", "leftImg8bit", image), ("gtFine", "gtFine_labelIds", ids)):
                path = root / kind / split / "town" / f"{name}_{suffix}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(path), pixels)
    return root


def write_prototxt(path: Path, net: Net) -> Path:
    write_caffe(net, path)
    return path
