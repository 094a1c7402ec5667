"""Statistics against NumPy's and SciPy's, and the interval of a ratio against what it promises."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dongfeng.benchmark.statistics import ratio_of_medians, summarize

stats = pytest.importorskip("scipy.stats", reason="needs SciPy")
TIMES = st.lists(st.floats(0.01, 1e5), min_size=2, max_size=60)


@given(TIMES)
def test_a_summary_is_what_scipy_says(samples: list[float]) -> None:
    found = summarize(samples)
    assert found.median_ms == pytest.approx(statistics.median(samples))
    assert found.p90_ms == pytest.approx(stats.scoreatpercentile(samples, 90))
    assert found.p99_ms == pytest.approx(stats.scoreatpercentile(samples, 99))
    assert (found.min_ms, found.n) == (min(samples), len(samples))
    assert found.variation_fraction == pytest.approx(stats.variation(samples, ddof=1), abs=1e-12)


def test_one_sample_varies_by_nothing() -> None:
    found = summarize([3.0])
    assert (found.median_ms, found.n, found.variation_fraction, found.drift_fraction) == (3.0, 1, 0.0, 0.0)
    assert not found.is_varied
    assert not found.is_drifting


def test_drift_is_between_quarters_in_order_of_time() -> None:
    calm, slow = [1.0] * 10, [1.1] * 10
    assert summarize([*calm, *slow, *calm, *calm]).drift_fraction == pytest.approx(0.1)
    assert summarize([1.0, 1.1] * 20).drift_fraction == 0.0
    assert summarize([1.0, 1.0, 1.2, 1.2]).drift_fraction == pytest.approx(0.2)  # of few samples, halves


def test_variation_is_flagged_above_two_percent_and_drift_above_three() -> None:
    rng = np.random.default_rng(1)
    quiet, loud = (list(10 + rng.normal(0, share * 10, 400)) for share in (0.015, 0.03))
    assert not summarize(quiet).is_varied
    assert summarize(loud).is_varied
    assert not summarize(loud).is_drifting
    assert summarize([*quiet, *(1.04 * ms for ms in quiet)]).is_drifting


def test_the_interval_of_a_ratio_is_near_scipys() -> None:
    """SciPy draws single samples, we draw blocks: of independent samples the two agree."""
    rng = np.random.default_rng(2)
    a, b = rng.gamma(20, 0.5, 300), rng.gamma(20, 0.45, 200)

    def ratio(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return np.median(x, axis=axis) / np.median(y, axis=axis)

    theirs = stats.bootstrap(
        (a, b), ratio, n_resamples=4000, method="percentile", vectorized=True, rng=np.random.default_rng(0)
    ).confidence_interval
    ours = ratio_of_medians(list(a), list(b))
    assert ours.ratio == np.median(a) / np.median(b)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.25 * (theirs.high - theirs.low))


def test_the_interval_holds_the_true_ratio_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    found = [ratio_of_medians(rng.normal(11, 0.5, 60), rng.normal(10, 0.5, 60)) for _ in range(60)]
    assert sum(each.low <= 1.1 <= each.high for each in found) >= 51  # 57 expected; fewer than 51 once in 200
    assert all(each.is_clear for each in found)


def test_neighbours_that_err_alike_widen_the_interval() -> None:
    rng = np.random.default_rng(4)
    steps = np.repeat(rng.normal(10, 0.5, 20), 10)
    mixed = rng.permutation(steps)
    other = rng.normal(10, 0.01, 200)
    widths = [each.high - each.low for each in (ratio_of_medians(list(x), list(other)) for x in (steps, mixed))]
    assert widths[0] > 1.3 * widths[1]


def test_equal_lists_do_not_differ() -> None:
    same = list(np.random.default_rng(5).normal(5, 0.1, 50))
    found = ratio_of_medians(same, same)
    assert found.ratio == 1
    assert not found.is_clear


def test_runs_that_disagree_have_said_that_they_might() -> None:
    """Two runs of 160 samples each on a machine whose speed wanders: medians 3 % apart are not met unwarned."""
    rng = np.random.default_rng(6)
    apart = unwarned = 0
    for _ in range(150):
        one, two = (summarize(wandering(rng)) for _ in range(2))
        if max(one.median_ms, two.median_ms) > 1.03 * min(one.median_ms, two.median_ms):
            apart += 1
            unwarned += not (one.is_drifting or two.is_drifting)
    assert apart >= 5
    assert unwarned <= 1


def wandering(rng: np.random.Generator) -> list[float]:
    """Times around 10 ms that keep part of each deviation for the next ten samples or so."""
    state, times = rng.normal(0, 0.03), []
    for _ in range(160):
        state = 0.9 * state + rng.normal(0, 0.03 * 0.19**0.5)
        times.append(float(10 * np.exp(state + abs(rng.normal(0, 0.02)))))
    return times
