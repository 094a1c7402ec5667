"""Label maps that are filled cell by cell.

A cell is the square between four neighbouring scores, and its tile the pixels in it, as in `axis`.
"""

from __future__ import annotations

from math import gcd
from typing import TypeAlias

import numpy as np

from dongfeng.runtime.labels.axis import Axis, Double, Float, Index, Labels, shares

_PRODUCTS_AT_ONCE = 1 << 18  # for larger matrices OpenBLAS wakes threads, which takes longer than such a product


class _WholeRatio:
    """A canvas for sizes that are whole multiples of the scores', so that all tiles have one size and the same weights.

    The tiles of the border reach beyond the image, and are cut off at the end. A tile lies at whole multiples of its
    size, so that each of its rows is written as a few words of up to 8 bytes.

    Methods, here and in `_AnyRatio`, take n cells by their rows `y` and columns `x`, (n,) each.

    Attributes:
        pixels: Number of pixels of a tile, which lie in it row by row.
        value_cost: Time to interpolate one value here, where `fill_strips` takes 1.
    """

    value_cost = 2.0

    def __init__(self, cell_labels: Labels, height: int, width: int) -> None:
        n_rows, n_columns = cell_labels.shape
        self._tile = tile_y, tile_x = height // (n_rows - 1), width // (n_columns - 1)
        self._size = height, width
        self._beyond = tile_y - tile_y // 2, tile_x - tile_x // 2
        self.pixels = tile_y * tile_x
        self._mix = np.kron(_phases(tile_y), _phases(tile_x)).astype(np.float32)  # (4, pixels)
        self._image = cell_labels.repeat(tile_x, axis=1).repeat(tile_y, axis=0)
        self._word = np.dtype(f"u{gcd(tile_x, 8)}")
        self._words = self._image.view(self._word).reshape(n_rows, tile_y, n_columns, -1)

    def interpolated(self, corners: Float, y: Index, x: Index) -> Float:
        """Interpolate the (4, n) values at the corners of the cells to (n, pixels) values at their pixels."""
        values = np.empty((len(y), self.pixels), np.float32)
        step = max(1, _PRODUCTS_AT_ONCE // self._mix.size)
        for start in range(0, len(y), step):
            np.matmul(corners[:, start : start + step].T, self._mix, out=values[start : start + step])
        return values

    def write(self, tiles: Labels, y: Index, x: Index) -> None:
        """Write the labels of the cells, (n, pixels)."""
        self._words[y, :, x] = tiles.view(self._word).reshape(len(tiles), self._tile[0], -1)

    def position(self, index: Index, y: Index, x: Index) -> tuple[Index, Index]:
        """Return row and column in the image of one pixel of each cell, given by its (n,) index in the tile."""
        inner = np.divmod(index, self._tile[1])
        row, column = (
            np.clip(cell * tile + offset - beyond, 0, size - 1)
            for cell, tile, offset, beyond, size in zip(
                (y, x), self._tile, inner, self._beyond, self._size, strict=True
            )
        )
        return row, column

    def labels(self) -> Labels:
        """Return the (H, W) label map."""
        (top, left), (height, width) = self._beyond, self._size
        return np.ascontiguousarray(self._image[top : top + height, left : left + width])


def _phases(ratio: int) -> Double:
    """Return the (2, ratio) fractions of the near and the far side for the pixels of a cell."""
    return shares(2 * (ratio // 2 + np.arange(ratio)) + 1 - ratio, 2 * ratio)


class _AnyRatio:
    """A canvas for any sizes; tiles are as large as the largest cell, and smaller cells repeat their last pixels."""

    value_cost = 4.0

    def __init__(self, cell_labels: Labels, rows: Axis, columns: Axis) -> None:
        self._rows, self._columns = rows, columns
        self.pixels = rows.longest * columns.longest
        self._image = np.take(np.take(cell_labels, columns.cell, axis=1), rows.cell, axis=0)

    def interpolated(self, corners: Float, y: Index, x: Index) -> Float:
        squares = corners.T.reshape(-1, 2, 2)
        values = self._rows.mix[y].transpose(0, 2, 1) @ squares @ self._columns.mix[x]
        return np.asarray(values.reshape(-1, self.pixels), np.float32)

    def write(self, tiles: Labels, y: Index, x: Index) -> None:
        index = (self._rows.pixel[y] * self._image.shape[1])[:, :, None] + self._columns.pixel[x][:, None]
        self._image.reshape(-1)[index] = tiles.reshape(index.shape)

    def position(self, index: Index, y: Index, x: Index) -> tuple[Index, Index]:
        row, column = np.divmod(index, self._columns.longest)
        return self._rows.pixel[y, row], self._columns.pixel[x, column]

    def labels(self) -> Labels:
        return self._image


# A label map in which every pixel has the label of its cell's top left corner, until its tile is written.
LabelCanvas: TypeAlias = _WholeRatio | _AnyRatio


def label_canvas(cell_labels: Labels, rows: Axis, columns: Axis) -> LabelCanvas:
    """Make the quickest canvas for the ratio of the sizes.

    Args:
        cell_labels: (h + 1, w + 1) labels of the cells' top left corners.
        rows: The vertical axis.
        columns: The horizontal axis.
    """
    if len(rows.cell) % (len(rows.low) - 1) or len(columns.cell) % (len(columns.low) - 1):
        return _AnyRatio(cell_labels, rows, columns)
    return _WholeRatio(cell_labels, len(rows.cell), len(columns.cell))
