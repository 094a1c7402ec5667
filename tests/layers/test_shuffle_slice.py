"""Layers of PL1A that the golden corpus lacks, against NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dongfeng
from tests.nets import data, layer, read_text

INPUT = np.arange(2 * 12 * 3 * 2, dtype=np.float32).reshape(2, 12, 3, 2)


@pytest.mark.parametrize("group", [1, 2, 3, 12])
def test_shuffle_channel_transposes_groups(tmp_path: Path, group: int) -> None:
    text = data(2, 12, 3, 2) + layer("s", "ShuffleChannel", "data", "s", f"shuffle_channel_param {{ group: {group} }}")
    got = dongfeng.run(read_text(tmp_path, text), {"data": INPUT})["s"]
    per_group = 12 // group
    for channel in range(12):
        np.testing.assert_array_equal(got[:, (channel % per_group) * group + channel // per_group], INPUT[:, channel])


def test_split_copies(tmp_path: Path) -> None:
    text = data(2, 12, 3, 2) + 'layer { name: "s" type: "Split" bottom: "data" top: "a" top: "b" }'
    got = dongfeng.run(read_text(tmp_path, text), {"data": INPUT})
    np.testing.assert_array_equal(got["a"], INPUT)
    np.testing.assert_array_equal(got["b"], INPUT)


def test_half_pixel_interp_is_what_ncnn_does(tmp_path: Path) -> None:
    """Half-pixel centres, clamped at the edge; written out for one row."""
    text = data(1, 1, 1, 2) + layer(
        "i", "Interp", "data", "i", "interp_param { height: 1 width: 4 align_corners: false }"
    )
    got = dongfeng.run(read_text(tmp_path, text), {"data": np.array([[[[0.0, 1.0]]]])})["i"]
    np.testing.assert_allclose(got, [[[[0.0, 0.25, 0.75, 1.0]]]])
