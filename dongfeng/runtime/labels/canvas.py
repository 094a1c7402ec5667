"""Label maps that are filled cell by cell, and the interpolation of a cell's pixels (its tile)."""

from __future__ import annotations

from math import gcd
from typing import Protocol

import numpy as np

from dongfeng.runtime.labels.axis import Axis, Double, Float, Index, Labels, shares

_PRODUCTS_AT_ONCE = 1 << 18  # for larger matrices OpenBLAS wakes threads, which takes longer than such a product


class Canvas(Protocol):
    """A label map in which every cell has its corner's label, until tiles are written over it.

    A tile holds the pixels of a cell, row by row; cells are given by their rows and columns, (n,) each.
    """

    pixels: int  # of a tile
    value_cost: float  # a value interpolated here takes as long as this many in the dense path

    def interpolated(self, corners: Float, y: Index, x: Index) -> Float:
        """(n, pixels) values from the (4, n) values at the corners of the cells."""

    def write(self, tiles: Labels, y: Index, x: Index) -> None:
        """Set the labels of whole cells, (n, pixels)."""

    def position(self, index: Index, y: Index, x: Index) -> tuple[Index, Index]:
        """Row and column in the image of one pixel of each cell, by its index in the tile."""

    def labels(self) -> Labels:
        """The label map."""


def canvas(cell_labels: Labels, rows: Axis, columns: Axis) -> Canvas:
    """The quickest canvas for a ratio; cell_labels are (h + 1, w + 1), the labels of the cells' top left corners."""
    if len(rows.cell) % (len(rows.low) - 1) or len(columns.cell) % (len(columns.low) - 1):
        return _AnyRatio(cell_labels, rows, columns)
    return _WholeRatio(cell_labels, len(rows.cell), len(columns.cell))


class _WholeRatio:
    """All tiles have one size and the same weights; the border's reach beyond the image, and are cut off at the end.

    Tiles lie in the canvas at whole multiples of their size, so that their rows are written in words.
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
        values = np.empty((len(y), self.pixels), np.float32)
        step = max(1, _PRODUCTS_AT_ONCE // self._mix.size)
        for start in range(0, len(y), step):
            np.matmul(corners[:, start : start + step].T, self._mix, out=values[start : start + step])
        return values

    def write(self, tiles: Labels, y: Index, x: Index) -> None:
        self._words[y, :, x] = tiles.view(self._word).reshape(len(tiles), self._tile[0], -1)

    def position(self, index: Index, y: Index, x: Index) -> tuple[Index, Index]:
        inner = np.divmod(index, self._tile[1])
        row, column = (
            np.clip(cell * tile + offset - beyond, 0, size - 1)
            for cell, tile, offset, beyond, size in zip(
                (y, x), self._tile, inner, self._beyond, self._size, strict=True
            )
        )
        return row, column

    def labels(self) -> Labels:
        (top, left), (height, width) = self._beyond, self._size
        return np.ascontiguousarray(self._image[top : top + height, left : left + width])


def _phases(ratio: int) -> Double:
    """(2, ratio) shares of the two sides for the pixels of a cell."""
    return shares(2 * (ratio // 2 + np.arange(ratio)) + 1 - ratio, 2 * ratio)


class _AnyRatio:
    """Tiles are as large as the largest cell; in smaller cells their last rows and columns are the same pixels."""

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
