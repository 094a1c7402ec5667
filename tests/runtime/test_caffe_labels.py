"""Label maps that Caffe itself computed, from the scores at 1/8."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np

from dongfeng.runtime.labels.upsample import upsample_labels
from dongfeng.runtime.load import load


def test_labels_of_a_released_network_are_those_of_caffe(shared, tmp_path):
    golden = shared / "golden"
    weights = tmp_path / "net.caffemodel"
    net = golden / "release" / "df1seg_mergebn.json"
    subprocess.run([sys.executable, golden / "make_weights.py", net, weights], check=True, capture_output=True)
    (case,) = (case for case in json.loads(net.read_text())["goldens"] if case["blob"] == "pred")
    data = np.random.RandomState(case["input_seed"]).standard_normal(case["input_shape"]).astype(np.float32)
    with load("df1seg", weights=weights) as model:
        scores = model.runner.run(data, model.output)[0]
    expected = np.load(golden / "release" / case["file"])[case["key"]][0, 0]
    labels = upsample_labels(scores, expected.shape)
    assert len(np.unique(expected)) > 3
    assert (labels != expected).mean() <= case["tolerance_mismatch_fraction"]
