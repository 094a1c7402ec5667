"""Half-pixel bilinear interpolation along one axis, and the labels of single pixels in double precision."""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Double = npt.NDArray[np.float64]
Labels = npt.NDArray[np.uint8]
Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

TINY = 2.0**-100  # far above what single precision loses to underflow


class Axis(NamedTuple):
    """How the pixels of one axis lie in the cells between neighbouring scores; cell 0 and the last are the borders.

    The pixels of a cell are padded to the longest cell by repeating its last one.
    """

    cell: Index  # (n_out,) cell of each pixel
    weight: Double  # (n_out,) of the cell's far side, whole numbers from 0 to `unit`
    unit: int
    low: Index  # (n_cells,) score index at the cell's near side
    high: Index  # (n_cells,) and at its far side
    n_pixels: Index  # (n_cells,) pixels in the cell
    pixel: Index  # (n_cells, longest)
    mix: Float  # (n_cells, 2, longest) shares of the near and of the far side

    @property
    def longest(self) -> int:
        """Pixels of the longest cell."""
        return int(self.pixel.shape[1])


@lru_cache(maxsize=32)
def axis(n_in: int, n_out: int) -> Axis:
    """The axis that `n_in` scores and `n_out` pixels share."""
    # (2x + 1) n_in / (2 n_out) - 1/2 as a fraction in lowest terms: rounding would break ties between classes.
    common = gcd(2 * n_in, 2 * n_out, n_in - n_out)
    unit = 2 * n_out // common
    below, rest = np.divmod(((2 * np.arange(n_out, dtype=np.int64) + 1) * n_in - n_out) // common, unit)
    cell = below + 1
    count = np.bincount(cell, minlength=n_in + 1)
    begin = np.concatenate([[0], np.cumsum(count)[:-1]])
    offset = np.minimum(np.arange(count.max()), np.maximum(count - 1, 0)[:, None])
    pixel = np.minimum(begin[:, None] + offset, n_out - 1)
    sides = np.arange(n_in + 1)
    low, high = np.maximum(sides - 1, 0), np.minimum(sides, n_in - 1)
    return Axis(
        cell, rest.astype(np.float64), unit, low, high, count, pixel, shares(rest[pixel], unit).astype(np.float32)
    )


def shares(weight: Index, unit: int) -> Double:
    """(..., 2, n) shares of the near and of the far side, which add up to 1, from (..., n) whole weights."""
    return np.stack([unit - weight, weight], axis=-2) / unit


def corner_indices(rows: Axis, columns: Axis, width: int, cell_y: Index, cell_x: Index) -> Index:
    """(4, n) indices into flattened planes: top left, top right, bottom left, bottom right of each cell."""
    top, bottom = rows.low[cell_y] * width, rows.high[cell_y] * width
    left, right = columns.low[cell_x], columns.high[cell_x]
    return np.stack([top + left, top + right, bottom + left, bottom + right])


def settle(scores: Float, rows: Axis, columns: Axis, y: Index, x: Index) -> Labels:
    """(n,) labels of single pixels, in float64 with whole numbers as weights."""
    corners = corner_indices(rows, columns, scores.shape[2], rows.cell[y], columns.cell[x])
    flat = scores.reshape(len(scores), -1)
    top_left, top_right, bottom_left, bottom_right = (flat[:, corner].astype(np.float64) for corner in corners)
    weight_y, weight_x = rows.weight[y], columns.weight[x]
    left = rows.unit * top_left + weight_y * (bottom_left - top_left)
    right = rows.unit * top_right + weight_y * (bottom_right - top_right)
    value = columns.unit * left + weight_x * (right - left)
    return np.asarray(len(value) - 1 - np.argmax(value[::-1], axis=0), np.uint8)
