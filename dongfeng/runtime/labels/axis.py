"""Half-pixel bilinear interpolation along one axis, and the labels of single pixels in double precision.

Scores lie at the centres of the pixels of a small image. A large image of the same extent has pixels between them. A
cell is the gap between two neighbouring scores (along an axis) or the square between four (in the plane); each pixel
of the large image lies in one. The first and the last cell of an axis lie beyond the outermost scores, which they
repeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import gcd

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Double = npt.NDArray[np.float64]
Labels = npt.NDArray[np.uint8]
Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

TINY = 2.0**-100  # far above what single precision loses to underflow


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Where the pixels of one axis lie between the scores of that axis.

    The near side of a cell is the score before its pixels, the far side the one behind them. A pixel's value is
    `((unit - weight) * near + weight * far) / unit`.

    Attributes:
        cell: (n_out,) index of the cell that each pixel lies in, 0 to n_in.
        weight: (n_out,) weight of the far side for each pixel, whole numbers from 0 to `unit`.
        unit: Sum of the weights of both sides.
        low: (n_cells,) index of the score at the near side of each cell.
        high: (n_cells,) index of the score at the far side of each cell.
        n_pixels: (n_cells,) number of pixels in each cell, 0 or more.
        pixel: (n_cells, longest) indices of the pixels in each cell; shorter cells repeat their last pixel.
        mix: (n_cells, 2, longest) weights of the near and the far side for these pixels, divided by `unit`.
    """

    cell: Index
    weight: Double
    unit: int
    low: Index
    high: Index
    n_pixels: Index
    pixel: Index
    mix: Float

    @property
    def longest(self) -> int:
        """Number of pixels in the longest cell."""
        return int(self.pixel.shape[1])


@lru_cache(maxsize=32)
def axis(n_in: int, n_out: int) -> Axis:
    """Lay `n_out` pixels over `n_in` scores."""
    # Pixel x lies at (2x + 1) n_in / (2 n_out) - 1/2 among the scores. As whole numbers over a common denominator,
    # the weights are exact; rounded ones would break ties between classes.
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
        cell=cell,
        weight=rest.astype(np.float64),
        unit=unit,
        low=low,
        high=high,
        n_pixels=count,
        pixel=pixel,
        mix=shares(rest[pixel], unit).astype(np.float32),
    )


def shares(weight: Index, unit: int) -> Double:
    """Turn (..., n) weights of the far side into (..., 2, n) fractions for the near and the far side, with sum 1."""
    return np.stack([unit - weight, weight], axis=-2) / unit


def corner_indices(rows: Axis, columns: Axis, width: int, cell_y: Index, cell_x: Index) -> Index:
    """Find the four scores around each of n cells, given by their rows and columns.

    Returns:
        (4, n) indices into a flattened plane of scores: top left, top right, bottom left, bottom right.
    """
    top, bottom = rows.low[cell_y] * width, rows.high[cell_y] * width
    left, right = columns.low[cell_x], columns.high[cell_x]
    return np.stack([top + left, top + right, bottom + left, bottom + right])


def exact_labels(scores: Float, rows: Axis, columns: Axis, y: Index, x: Index) -> Labels:
    """Label single pixels in float64 with whole numbers as weights, so that equal classes stay equal.

    Args:
        scores: (C, h, w) float32.
        rows: The vertical axis.
        columns: The horizontal axis.
        y: (n,) rows of the pixels.
        x: (n,) columns of the pixels.

    Returns:
        (n,) uint8 class indices; of equal classes the largest.
    """
    corners = corner_indices(rows, columns, scores.shape[2], rows.cell[y], columns.cell[x])
    flat = scores.reshape(len(scores), -1)
    top_left, top_right, bottom_left, bottom_right = (flat[:, corner].astype(np.float64) for corner in corners)
    weight_y, weight_x = rows.weight[y], columns.weight[x]
    left = rows.unit * top_left + weight_y * (bottom_left - top_left)
    right = rows.unit * top_right + weight_y * (bottom_right - top_right)
    value = columns.unit * left + weight_x * (right - left)
    return np.asarray(len(value) - 1 - np.argmax(value[::-1], axis=0), np.uint8)
