"""Recurrent layers: exposed states and static inputs, beyond what the golden corpus has."""

from __future__ import annotations

import numpy as np
import pytest

from dongfeng.errors import ShapeError
from tests.reference.make import noise, run_all

STEPS, STREAMS, INPUTS, STATIC, HIDDEN = 6, 2, 3, 2, 4


def blobs(kind: str, static: bool) -> tuple[np.ndarray, ...]:
    gates = 4 * HIDDEN if kind == "LSTM" else HIDDEN
    shapes = [(gates, INPUTS), (gates,), *([(gates, STATIC)] if static else []), (gates, HIDDEN)]
    if kind == "RNN":
        shapes += [(HIDDEN, HIDDEN), (HIDDEN,)]
    return tuple(0.5 * noise(*shape, seed=index) for index, shape in enumerate(shapes))


def cont() -> np.ndarray:
    marks = np.ones((STEPS, STREAMS), np.float32)
    marks[0] = marks[4, 1] = 0
    return marks


@pytest.mark.parametrize(("kind", "n_states"), [("LSTM", 2), ("RNN", 1)])
def test_a_sequence_in_two_halves_is_the_same(kind: str, n_states: int) -> None:
    x, weights = noise(STEPS, STREAMS, INPUTS, seed=9), blobs(kind, static=False)
    (whole,) = run_all(kind, x, cont(), blobs=weights, recurrent_param={"num_output": HIDDEN})
    states = [np.zeros((1, STREAMS, HIDDEN), np.float32)] * n_states
    parts = []
    for half in (slice(0, 3), slice(3, 6)):
        top, *states = run_all(
            kind,
            x[half],
            cont()[half],
            *states,
            tops=1 + n_states,
            blobs=weights,
            recurrent_param={"num_output": HIDDEN, "expose_hidden": True},
        )
        assert all(state.shape == (1, STREAMS, HIDDEN) for state in states)
        parts.append(top)
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
def test_a_static_input_is_one_more_input_at_every_step(kind: str) -> None:
    x, static = noise(STEPS, STREAMS, INPUTS, seed=9), noise(STREAMS, STATIC, seed=8)
    from_input, bias, from_static, *rest = weights = blobs(kind, static=True)
    (got,) = run_all(kind, x, cont(), static, blobs=weights, recurrent_param={"num_output": HIDDEN})
    together = np.concatenate([x, np.broadcast_to(static, (STEPS, STREAMS, STATIC))], 2)
    joined = (np.concatenate([from_input, from_static], 1), bias, *rest)
    (expected,) = run_all(kind, together, cont(), blobs=joined, recurrent_param={"num_output": HIDDEN})
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
def test_a_mark_of_zero_forgets_what_was_before(kind: str) -> None:
    x, weights = noise(STEPS, STREAMS, INPUTS, seed=9), blobs(kind, static=False)
    (whole,) = run_all(kind, x, cont(), blobs=weights, recurrent_param={"num_output": HIDDEN})
    (fresh,) = run_all(kind, x[4:, 1:], cont()[4:, 1:], blobs=weights, recurrent_param={"num_output": HIDDEN})
    np.testing.assert_allclose(whole[4:, 1:], fresh, rtol=1e-5, atol=1e-6)
    (other,) = run_all(kind, x[4:, :1], cont()[4:, :1], blobs=weights, recurrent_param={"num_output": HIDDEN})
    assert np.abs(whole[4:, :1] - other).max() > 1e-3


def test_blobs_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match="expected T x N"):
        run_all("LSTM", noise(3, 2, 4), noise(2, 2), recurrent_param={"num_output": 2})
    with pytest.raises(ShapeError, match="expose_hidden: true"):
        run_all("RNN", noise(3, 2, 4), noise(3, 2), recurrent_param={"num_output": 2, "expose_hidden": True})
