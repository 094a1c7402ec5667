from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dongfeng.datasets.top_k import TopK
from dongfeng.errors import DongfengError


@given(st.lists(st.integers(0, 6), min_size=6, max_size=40), st.data())
def test_the_place_is_that_in_a_sorted_list_with_ties_to_the_largest_class(
    scores: list[int], data: st.DataObject
) -> None:
    label = data.draw(st.integers(0, len(scores) - 1))
    ranking = sorted(range(len(scores)), key=lambda index: (scores[index], index), reverse=True)
    metric = TopK()
    assert metric.add(np.array(scores, np.float32), label) == 1 + ranking.index(label)
    assert (metric.images, metric.top1, metric.top5) == (1, ranking[0] == label, label in ranking[:5])


def test_counts_equal_numpys_partition() -> None:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((500, 1000)).astype(np.float32)
    labels = rng.integers(0, 1000, 500)
    scores[np.arange(500), labels] += 3  # so that many are right
    metric = TopK()
    for row, label in zip(scores, labels, strict=True):
        metric.add(row, int(label))
    top5 = np.argpartition(scores, -5, axis=1)[:, -5:]
    assert metric.top1 == (scores.argmax(1) == labels).sum()
    assert metric.top5 == (top5 == labels[:, None]).any(1).sum()
    assert 0 < metric.top1 < metric.top5 < metric.images == 500


def test_nan_is_an_error() -> None:
    with pytest.raises(DongfengError, match="the scores hold NaN; check the network's weights"):
        TopK().add(np.array([0.0, np.nan]), 0)
