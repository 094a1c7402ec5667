"""Labels of the cells whose four corners disagree about the largest class.

In each of them only the classes that can be the largest somewhere are interpolated, in float32 and as differences to
one of these classes. Where two classes are within the error bound that docs/label-upsampling.md proves, `exact_labels`
computes the pixel again in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dongfeng.runtime.labels.axis import TINY, Axis, Float, Index, Labels, Mask, corner_indices, exact_labels
from dongfeng.runtime.labels.canvas import LabelCanvas

_SCORES_AT_ONCE = 1 << 18
_VALUES_AT_ONCE = 1 << 19
_EXACT_AT_ONCE = 1 << 12
# Of the largest difference at a cell's corners: seven roundings of half an epsilon, and one to spare.
_NEAR = np.float32(4 * np.finfo(np.float32).eps)
_NEAR_IN_DOUBLE = 2.0**-48  # of the largest score: far above the roundings of float64 that decide near ties


@dataclass(frozen=True)
class Cells:
    """Cells whose corners disagree; corners in the order top left, top right, bottom left, bottom right.

    Attributes:
        y: (n,) rows of the cells.
        x: (n,) columns of the cells.
        corner: (4, n) indices of the corners' scores in a flattened plane.
        winner: (4, n) class of the largest score at each corner.
    """

    y: Index
    x: Index
    corner: Index
    winner: Labels

    def part(self, chosen: Index) -> Cells:
        """Return the cells of the given indices."""
        corner, winner = np.take(self.corner, chosen, axis=1), np.take(self.winner, chosen, axis=1)
        return Cells(self.y[chosen], self.x[chosen], corner, winner)

    def first(self, count: int) -> Cells:
        """Return the first cells."""
        return Cells(self.y[:count], self.x[:count], self.corner[:, :count], self.winner[:, :count])


def disagreeing(corner_labels: Labels, rows: Axis, columns: Axis) -> tuple[Index, Index]:
    """Return rows and columns of the cells that hold pixels and whose corners have different labels.

    Args:
        corner_labels: (h + 2, w + 2) labels of the scores, with the border repeated.
        rows: The vertical axis.
        columns: The horizontal axis.
    """
    first = corner_labels[:-1, :-1]
    differs = first != corner_labels[:-1, 1:]
    differs |= first != corner_labels[1:, :-1]
    differs |= first != corner_labels[1:, 1:]
    differs &= (rows.n_pixels > 0)[:, None] & (columns.n_pixels > 0)
    y, x = np.nonzero(differs)
    return y, x


def cells_at(corner_labels: Labels, rows: Axis, columns: Axis, y: Index, x: Index) -> Cells:
    """Make `Cells` of the given rows and columns; for the other arguments see `disagreeing`."""
    winner = np.stack([corner_labels[y + dy, x + dx] for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1))])
    return Cells(y, x, corner_indices(rows, columns, corner_labels.shape[1] - 2, y, x), winner)


def possible_classes(scores: Float, cells: Cells) -> Mask:
    """Tell which classes can be the largest somewhere in each cell.

    A class cannot if the winner of some corner is above it at all four corners.

    Returns:
        (C, n) bool.
    """
    possible = np.empty((len(scores), len(cells.y)), bool)
    flat = scores.reshape(len(scores), -1)
    cells_at_once = _SCORES_AT_ONCE // len(scores)
    for start in range(0, len(cells.y), cells_at_once):
        block = slice(start, start + cells_at_once)
        index, winner = cells.corner[:, block], cells.winner[:, block]
        corners = [np.take(flat, one, axis=1) for one in index]
        lowest, highest = winner.min(axis=0), winner.max(axis=0)
        beaten = _below(corners, _at(scores, lowest, index))
        beaten |= _below(corners, _at(scores, highest, index))
        more = np.flatnonzero(((winner != lowest) & (winner != highest)).any(axis=0))  # few have three winners
        if len(more):
            corners = [np.take(corner, more, axis=1) for corner in corners]
            for third in np.take(winner, more, axis=1):
                beaten[:, more] |= _below(corners, _at(scores, third, np.take(index, more, axis=1)))
        np.logical_not(beaten, out=possible[:, block])
    return possible


def _below(corners: list[Float], limits: Float) -> Mask:
    """Tell where a class is below the limits of a cell at all four corners, (C, n)."""
    below: Mask = corners[0] < limits[0]
    for corner, limit in zip(corners[1:], limits[1:], strict=True):
        below &= corner < limit
    return below


def _at(scores: Float, classes: Index | Labels, corner: Index) -> Float:
    """Return the (4, n) scores of one class of each cell at its corners, indexed by `corner`."""
    values: Float = np.take(scores.reshape(-1), classes.astype(np.int64) * scores[0].size + corner)
    return values


class CellFiller:
    """Computes and writes the labels of disagreeing cells.

    Args:
        scores: (C, h, w) float32, at most 2^126, so that no difference overflows.
        rows: The vertical axis.
        columns: The horizontal axis.
        canvas: The label map to write to.
        largest: The largest absolute score.
    """

    def __init__(self, scores: Float, rows: Axis, columns: Axis, canvas: LabelCanvas, largest: float) -> None:
        self._scores, self._rows, self._columns, self._canvas = scores, rows, columns, canvas
        self._absolute = np.float32(_NEAR_IN_DOUBLE * largest + TINY)
        self._step = max(1, _VALUES_AT_ONCE // canvas.pixels)

    def fill(self, cells: Cells) -> None:
        """Interpolate and write the cells."""
        possible = possible_classes(self._scores, cells)
        counts = possible.sum(axis=0, dtype=np.uint16).astype(np.int64)
        pairs, rest = np.flatnonzero(counts == 2), np.flatnonzero(counts != 2)
        for start in range(0, len(pairs), self._step):
            self._fill_pairs(cells.part(pairs[start : start + self._step]))
        rest = rest[np.argsort(-counts[rest], kind="stable")]
        classes = np.nonzero(np.take(possible, rest, axis=1).T)[1]  # cell after cell, ascending
        last = np.cumsum(counts[rest]) - 1
        for start in range(0, len(rest), self._step):
            block = slice(start, start + self._step)
            self._fill_several(cells.part(rest[block]), classes, last[block], counts[rest[block]])

    def _fill_pairs(self, cells: Cells) -> None:
        """Fill cells in which two classes can win, the winners of the corners: the sign of their difference decides."""
        lower, higher = cells.winner.min(axis=0), cells.winner.max(axis=0)
        corners = _at(self._scores, higher, cells.corner) - _at(self._scores, lower, cells.corner)
        values = self._canvas.interpolated(corners, cells.y, cells.x)
        tiles = (values > 0).view(np.uint8)
        tiles *= (higher - lower)[:, None]
        tiles += lower[:, None]
        near = self._near(np.abs(corners).max(axis=0))
        self._write(cells, tiles, np.abs(values, out=values) < near[:, None])

    def _fill_several(self, cells: Cells, classes: Index, last: Index, counts: Index) -> None:
        """Fill cells in which more than two classes can win.

        Args:
            cells: The cells, those with most classes first.
            classes: The possible classes of all cells, cell after cell, ascending.
            last: (n,) index in `classes` of each cell's last one; the others of the cell stand before it.
            counts: (n,) number of each cell's classes.
        """
        base = classes[last]
        base_corners = _at(self._scores, base, cells.corner)
        shape = len(last), self._canvas.pixels
        best, second = np.zeros(shape, np.float32), np.full(shape, -np.inf, np.float32)
        tiles = np.repeat(base.astype(np.uint8), shape[1]).reshape(shape)
        largest = np.zeros(len(last), np.float32)
        for rank in range(1, int(counts[0])):
            n = int(np.count_nonzero(counts > rank))
            some, candidate = cells.first(n), classes[last[:n] - rank]
            corners = _at(self._scores, candidate, some.corner) - base_corners[:, :n]
            values = self._canvas.interpolated(corners, some.y, some.x)
            change = candidate.astype(np.uint8)[:, None] - tiles[:n]
            change *= values > best[:n]
            tiles[:n] += change
            np.maximum(second[:n], np.minimum(values, best[:n]), out=second[:n])
            np.maximum(best[:n], values, out=best[:n])
            np.maximum(largest[:n], np.abs(corners).max(axis=0), out=largest[:n])
        self._write(cells, tiles, best - second < 2 * self._near(largest)[:, None])

    def _near(self, largest: Float) -> Float:
        """Return how much a value may be wrong by, (n,), from the largest difference at the corners of its cell."""
        return np.asarray(_NEAR * largest + self._absolute)

    def _write(self, cells: Cells, tiles: Labels, doubtful: Mask) -> None:
        """Write tiles, (n, pixels), after computing their doubtful pixels again."""
        flat, where = tiles.reshape(-1), np.flatnonzero(doubtful)
        for start in range(0, len(where), _EXACT_AT_ONCE):
            pixels = where[start : start + _EXACT_AT_ONCE]
            cell, index = np.divmod(pixels, self._canvas.pixels)
            y, x = self._canvas.position(index, cells.y[cell], cells.x[cell])
            flat[pixels] = exact_labels(self._scores, self._rows, self._columns, y, x)
        self._canvas.write(tiles, cells.y, cells.x)
