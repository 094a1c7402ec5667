from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dongfeng.architectures import ARCHITECTURES, build
from dongfeng.errors import ConversionError
from dongfeng.net.fold import fold
from dongfeng.net.random_weights import random_weights
from dongfeng.net.score_blob import find_score_blob
from tests.nets import data, layer, read_text

SCORES = data(1, 3, 8, 8) + layer(
    "score", "Convolution", "data", "score", "convolution_param { num_output: 5 kernel_size: 1 }"
)


def enlarge(kernel: int = 16, stride: int = 8, pad: int = 4, group: int = 5, more: str = "bias_term: false") -> str:
    return layer(
        "up",
        "Deconvolution",
        "score",
        "up",
        f"convolution_param {{ num_output: 5 kernel_size: {kernel} stride: {stride} pad: {pad} group: {group} "
        f'weight_filler {{ type: "bilinear" }} {more} }}',
    )


SOFTMAX = layer("prob", "Softmax", "up", "prob")
ARGMAX = layer("pred", "ArgMax", "prob", "pred", "argmax_param { axis: 1 }")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_zoos_score_blobs_are_found(name):
    from dongfeng.zoo.manifest import manifest

    expected = {info.score_blob for info in manifest().models.values() if info.architecture == name}
    assert {find_score_blob(fold(build(name)))} == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SCORES, "score"),
        (SCORES + enlarge(), "score"),
        (SCORES + enlarge(4, 2, 1), "score"),
        (SCORES + enlarge() + SOFTMAX, "score"),
        (SCORES + enlarge() + SOFTMAX + ARGMAX, "score"),
        (SCORES + enlarge() + SOFTMAX + ARGMAX + layer("pred_d8", "ArgMax", "score", "pred_d8"), "score"),
        (SCORES + enlarge(2, 2, 0) + SOFTMAX + ARGMAX, "up"),
        (SCORES + enlarge(15, 8, 4), "up"),
        (SCORES + enlarge(16, 8, 3), "up"),
        (SCORES + enlarge(group=1), "up"),
        (SCORES + enlarge(more=""), "up"),
        (SCORES + enlarge().replace("bilinear", "constant"), "up"),
        (SCORES + layer("p", "Softmax", "score", "p", "softmax_param { axis: 2 }"), "p"),
        (SCORES + layer("p", "ArgMax", "score", "p", "argmax_param { axis: 2 }"), "p"),
        (SCORES + enlarge(2, 2, 0) + SOFTMAX + layer("prob_d8", "Softmax", "score", "prob_d8"), "score"),
    ],
)
def test_the_way_back_stops_at_what_changes_labels(tmp_path, text, expected):
    assert find_score_blob(read_text(tmp_path, text)) == expected


def test_a_deconvolution_with_learned_weights_is_kept(tmp_path):
    net = random_weights(read_text(tmp_path, SCORES + enlarge()))
    assert find_score_blob(net) == "score"
    up = net.layer("up")
    weight = up.blobs[0].copy()
    weight[2, 0, 3, 3] *= np.float32(1.01)
    assert find_score_blob(net.with_layers([*net.layers[:-1], replace(up, blobs=(weight,))])) == "up"


def test_outputs_of_different_scores_are_refused(tmp_path):
    other = layer("other", "Convolution", "data", "other", "convolution_param { num_output: 2 kernel_size: 1 }")
    with pytest.raises(ConversionError, match=r"come from different scores \(other, score\).*dongfeng\.to_onnx"):
        find_score_blob(read_text(tmp_path, SCORES + enlarge() + SOFTMAX + other))
