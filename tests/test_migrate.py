"""The page for users of other Caffe readers: what it shows to write now works, and is what the old code did."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import dongfeng
from dongfeng.net.random_weights import random_weights
from tests.conftest import CHECKOUT
from tests.nets import data, layer, read_text
from tests.test_docs import run_console, run_python

PAGE = CHECKOUT / "docs/migrate.md"
DEPLOY = (
    data(1, 3, 32, 32)
    + layer("conv1", "Convolution", "data", "conv1", "convolution_param { num_output: 8 kernel_size: 3 }")
    + layer("relu1", "ReLU", "conv1", "conv1")
    + layer("pool1", "Pooling", "conv1", "pool1", "pooling_param { kernel_size: 2 stride: 2 }")
    + layer("fc", "InnerProduct", "pool1", "fc", "inner_product_param { num_output: 10 }")
    + layer("prob", "Softmax", "fc", "prob")
)
OLD = """\
input: "data" input_dim: 1 input_dim: 3 input_dim: 32 input_dim: 32
layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1" convolution_param { num_output: 8 kernel_size: 3 } }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    net = random_weights(read_text(tmp_path, DEPLOY))
    dongfeng.write_caffe(net, "deploy.prototxt", "net.caffemodel")
    Path("old.prototxt").write_text(OLD, encoding="utf-8")
    dongfeng.write_caffe(random_weights(dongfeng.read_caffe("old.prototxt")), "unused.prototxt", "old.caffemodel")
    image = np.random.default_rng(0).integers(0, 255, (48, 40, 3), np.uint8)
    cv2.imwrite("photo.png", cv2.GaussianBlur(image, (5, 5), 2))
    return tmp_path


def test_what_the_page_shows_is_what_comes_out(folder: Path, subprocess_env: dict[str, str]) -> None:
    names: dict[str, object] = {}
    for kind, text in re.findall(r"^```(console|pycon)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S):
        if kind == "console":
            run_console(text, subprocess_env)
        else:
            run_python(text, names, PAGE.name)
    changed = dongfeng.read_caffe("changed.prototxt", "changed.caffemodel")
    before = dongfeng.read_caffe("deploy.prototxt", "net.caffemodel")
    np.testing.assert_array_equal(changed.layer("conv1").blobs[0], 0.5 * before.layer("conv1").blobs[0])
    assert "layers" not in Path("new.prototxt").read_text(encoding="utf-8")
    assert_transformer(names)


def assert_transformer(names: dict[str, object]) -> None:
    """Caffe's Transformer, step by step: transpose, channel swap, raw scale, mean, input scale."""
    image = cv2.resize(cv2.imread("photo.png"), (32, 32))
    x = image[..., ::-1].astype(np.float64) / 255  # as caffe.io.load_image has it
    x = x.transpose(2, 0, 1)
    x = x[[2, 1, 0]]
    x = x * 255
    x = x - np.array([103.94, 116.78, 123.68])[:, np.newaxis, np.newaxis]
    x = x * 0.017
    np.testing.assert_allclose(names["x"], x[np.newaxis], atol=1e-6)


def test_the_options_that_the_page_names_are_those_of_the_command() -> None:
    text = PAGE.read_text(encoding="utf-8")
    command = (CHECKOUT / "dongfeng/cli/convert.py").read_text(encoding="utf-8")
    for option in ("--output", "--dynamic", "--opset", "--verify"):
        assert option in text
        assert f'"{option}"' in command
