"""When two computations of one blob agree."""

from __future__ import annotations

import numpy as np

TOLERANCE = 1e-5  # of the largest value of a blob


def assert_agrees(got: np.ndarray, expected: np.ndarray, blob: str) -> None:
    assert got.shape == expected.shape, blob
    if got.size:
        error, largest = np.max(np.abs(got - expected)), np.max(np.abs(expected))
        assert error <= TOLERANCE * largest, f"{blob}: error {error:.2e}, largest value {largest:.2e}"


def assert_same_detections(got: np.ndarray, expected: np.ndarray, blob: str) -> None:
    """The same rows; of rows with almost equal scores either may come first."""
    assert got.shape == expected.shape, blob
    apart = np.max(np.abs(got[0, 0][:, None] - expected[0, 0][None]), axis=-1)
    assert np.max(apart.min(axis=0)) <= 1e-4, blob
    assert np.max(apart.min(axis=1)) <= 1e-4, blob
