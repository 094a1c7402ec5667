"""Label maps of any size from class scores, without computing the scores of every pixel.

Half-pixel bilinear interpolation gives every pixel a weighted mean of the four scores around it. Where those four
agree on the largest class, so does every pixel between them; a class below another at all four corners wins nowhere
between them. So only cells whose corners disagree are interpolated, and in them only the classes that can win.
`docs/label-upsampling.md` has the proof and the measurements.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dongfeng.errors import DongfengError, ShapeError

__all__ = ["argmax_last", "upsample_labels", "upsample_nearest"]

Float = npt.NDArray[np.float32]
Double = npt.NDArray[np.float64]
Labels = npt.NDArray[np.uint8]
Index = npt.NDArray[np.int64]

_CELLS_AT_ONCE = 4096  # keeps a block's corner scores in a core's own cache
_VALUES_AT_ONCE = 1 << 16
_ROWS_AT_ONCE = 32
_SAMPLED_CELLS = 1024
_FEW_PIXELS = 4  # per score: fewer are not worth looking at cells for
_SPARSE_COST = 4  # one interpolated value in a disagreeing cell takes as long as this many in the dense path


def upsample_labels(scores: npt.ArrayLike, size_hw: tuple[int, int]) -> Labels:
    """Labels of half-pixel bilinear interpolation followed by argmax; ties go to the largest class.

    Source positions are clamped to the border. Every label is the one that the full computation in float64 gives,
    with whole numbers as weights, so that equal classes stay equal; most labels are found without it.

    Args:
        scores: (C, h, w) float32, finite, at most 256 classes.
        size_hw: Height and width of the label map, larger or smaller than the scores, in any ratio.

    Returns:
        (H, W) uint8 class indices.

    Raises:
        ShapeError: `scores` is not (C, h, w) with 1 to 256 classes, or a size is not positive.
        DongfengError: a score is NaN or infinite, which has no meaningful label.

    Source: proof in docs/label-upsampling.md; tie rule of Caffe's ArgMax.
    """
    scores = _checked(scores, size_hw)
    rows, columns = _axis(scores.shape[1], size_hw[0]), _axis(scores.shape[2], size_hw[1])
    if scores.shape[1:] == tuple(size_hw):
        return argmax_last(scores)
    if size_hw[0] * size_hw[1] <= _FEW_PIXELS * scores[0].size:
        return _dense(scores, rows, columns)
    corner_labels = np.pad(argmax_last(scores), 1, mode="edge")
    first = corner_labels[:-1, :-1]
    disagrees = first != corner_labels[:-1, 1:]
    disagrees |= first != corner_labels[1:, :-1]
    disagrees |= first != corner_labels[1:, 1:]
    disagrees &= (rows.n_pixels > 0)[:, None] & (columns.n_pixels > 0)
    cell_y, cell_x = np.nonzero(disagrees)
    if _dense_is_cheaper(scores, corner_labels, rows, columns, cell_y, cell_x):
        return _dense(scores, rows, columns)
    labels = _spread(first, rows.cell, columns.cell)
    for start in range(0, len(cell_y), _CELLS_AT_ONCE):
        block = slice(start, start + _CELLS_AT_ONCE)
        _fill_cells(labels, scores, corner_labels, rows, columns, cell_y[block], cell_x[block])
    return labels


def upsample_nearest(labels: Labels, size_hw: tuple[int, int]) -> Labels:
    """A label map enlarged or reduced by nearest neighbour (pixel centres).

    Args:
        labels: (h, w) uint8.
        size_hw: Height and width of the result.

    Returns:
        (H, W) uint8.
    """
    y, x = (
        (2 * np.arange(n_out, dtype=np.int64) + 1) * n_in // (2 * n_out)
        for n_in, n_out in zip(labels.shape, size_hw, strict=True)
    )
    return _spread(labels, y, x)


def _spread(labels: Labels, y: Index, x: Index) -> Labels:
    return np.asarray(np.take(np.take(labels, x, axis=1), y, axis=0), np.uint8)


def argmax_last(scores: Float) -> Labels:
    """Index of the largest score along the first axis; of equal ones the last, as in Caffe.

    Args:
        scores: (C, ...) float32, at most 256 classes, no NaN.

    Returns:
        (...) uint8.
    """
    best = scores[0].copy()
    labels = np.zeros(best.shape, np.uint8)
    for index in range(1, len(scores)):
        np.copyto(labels, np.uint8(index), where=scores[index] >= best)
        np.maximum(best, scores[index], out=best)
    return labels


def _checked(scores: npt.ArrayLike, size_hw: tuple[int, int]) -> Float:
    array = np.ascontiguousarray(scores, dtype=np.float32)
    if array.ndim != 3 or 0 in array.shape or array.shape[0] > 256:
        raise ShapeError(f"label upsampling: scores have shape {array.shape}; expected (C, h, w) with 1 to 256 classes")
    if len(size_hw) != 2 or min(size_hw) < 1:
        raise ShapeError(f"label upsampling: size is {size_hw}; expected (height, width), both at least 1")
    if not np.isfinite(array).all():
        wrong = int(np.count_nonzero(~np.isfinite(array)))
        raise DongfengError(
            f"label upsampling: {wrong} of {array.size} scores are NaN or infinite, so there are no labels; "
            "check the network's weights and input"
        )
    return array


class _Axis(NamedTuple):
    """How the pixels of one axis lie in the cells between neighbouring scores; cell 0 and the last are the borders.

    The pixels of a cell are padded to the longest cell by repeating its last one.
    """

    cell: Index  # (n_out,) cell of each pixel
    low: Index  # (n_cells,) score index at the cell's near side
    high: Index  # (n_cells,) and at its far side
    n_pixels: Index  # (n_cells,) pixels in the cell
    pixel: Index  # (longest, n_cells)
    weight: Double  # (longest, n_cells) of the far side, whole numbers from 0 to `unit`
    unit: int


@lru_cache(maxsize=32)
def _axis(n_in: int, n_out: int) -> _Axis:
    # (2x + 1) n_in / (2 n_out) - 1/2 as a fraction in lowest terms: rounding would break ties between classes.
    common = gcd(2 * n_in, 2 * n_out, n_in - n_out)
    unit = 2 * n_out // common
    below, rest = np.divmod(((2 * np.arange(n_out, dtype=np.int64) + 1) * n_in - n_out) // common, unit)
    cell = below + 1
    count = np.bincount(cell, minlength=n_in + 1)
    begin = np.concatenate([[0], np.cumsum(count)[:-1]])
    offset = np.minimum(np.arange(count.max())[:, None], np.maximum(count - 1, 0))
    pixel = np.minimum(begin + offset, n_out - 1)
    sides = np.arange(n_in + 1)
    low, high = np.maximum(sides - 1, 0), np.minimum(sides, n_in - 1)
    return _Axis(cell, low, high, count, pixel, rest[pixel].astype(np.float64), unit)


def _corner_scores(scores: Float, rows: _Axis, columns: _Axis, cell_y: Index, cell_x: Index) -> list[Float]:
    """The scores at the cells' four corners, each (C, n): top left, top right, bottom left, bottom right."""
    flat, width = scores.reshape(len(scores), -1), scores.shape[2]
    top, bottom = rows.low[cell_y] * width, rows.high[cell_y] * width
    left, right = columns.low[cell_x], columns.high[cell_x]
    return [np.take(flat, index, axis=1) for index in (top + left, top + right, bottom + left, bottom + right)]


def _candidates(corners: list[Float], corner_labels: Labels, cell_y: Index, cell_x: Index) -> npt.NDArray[np.bool_]:
    """(C, n): which classes can be the largest somewhere in each cell.

    A class is out if the winner of some corner is above it at all four corners.
    """
    every = np.arange(len(cell_y))
    possible = np.ones(corners[0].shape, bool)
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        winner = corner_labels[cell_y + dy, cell_x + dx]
        beaten = corners[0] < corners[0][winner, every]
        for corner in corners[1:]:
            beaten &= corner < corner[winner, every]
        possible &= ~beaten
    return possible


def _dense_is_cheaper(
    scores: Float, corner_labels: Labels, rows: _Axis, columns: _Axis, cell_y: Index, cell_x: Index
) -> bool:
    """Whether so many cells disagree about so many classes (noise) that computing everything is quicker."""
    step = max(1, len(cell_y) // _SAMPLED_CELLS)
    sample_y, sample_x = cell_y[::step], cell_x[::step]
    corners = _corner_scores(scores, rows, columns, sample_y, sample_x)
    candidates = step * np.count_nonzero(_candidates(corners, corner_labels, sample_y, sample_x))
    sparse = candidates * rows.pixel.shape[0] * columns.pixel.shape[0] + len(scores) * len(cell_y)
    return bool(_SPARSE_COST * sparse > len(scores) * len(rows.cell) * len(columns.cell))


def _fill_cells(
    labels: Labels, scores: Float, corner_labels: Labels, rows: _Axis, columns: _Axis, cell_y: Index, cell_x: Index
) -> None:
    """Write the labels of all pixels in the given cells."""
    corners = _corner_scores(scores, rows, columns, cell_y, cell_x)
    possible = _candidates(corners, corner_labels, cell_y, cell_x)
    cells, classes = np.nonzero(possible.T)  # cell after cell, classes ascending
    counts = np.bincount(cells, minlength=len(cell_y))
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    for count in np.unique(counts):
        group = np.flatnonzero(counts == count)
        step = max(1, _VALUES_AT_ONCE // (int(count) * columns.pixel.shape[0]))
        for begin in range(0, len(group), step):
            chosen = group[begin : begin + step]
            candidates = classes[starts[chosen] + np.arange(count)[:, None]]  # (count, n)
            values = [corner[candidates, chosen].astype(np.float64) for corner in corners]
            _fill_group(labels, values, candidates.astype(np.uint8), rows, columns, cell_y[chosen], cell_x[chosen])


def _fill_group(
    labels: Labels,
    corners: list[Double],
    candidates: Labels,
    rows: _Axis,
    columns: _Axis,
    cell_y: Index,
    cell_x: Index,
) -> None:
    """Write the labels of cells that have equally many candidates; corners and candidates are (count, n)."""
    top_left, top_right, bottom_left, bottom_right = corners
    flat, width = labels.reshape(-1), labels.shape[1]
    x, weight_x = columns.pixel[:, cell_x], columns.weight[:, cell_x]
    for row in range(len(rows.pixel)):
        weight_y = rows.weight[row, cell_y]
        left = rows.unit * top_left + weight_y * (bottom_left - top_left)
        slope = rows.unit * top_right + weight_y * (bottom_right - top_right) - left
        left *= columns.unit
        best = left[0] + weight_x * slope[0]
        winner = np.empty(best.shape, np.uint8)
        winner[:] = candidates[0]
        for index in range(1, len(candidates)):
            value = weight_x * slope[index]
            value += left[index]
            np.copyto(winner, candidates[index], where=value >= best)
            np.maximum(best, value, out=best)
        flat[rows.pixel[row, cell_y] * width + x] = winner


def _dense(scores: Float, rows: _Axis, columns: _Axis) -> Labels:
    """Every class at every pixel, a strip of rows at a time; near ties of float32 are settled in float64."""
    labels = np.empty((len(rows.cell), len(columns.cell)), np.uint8)
    left, right = columns.low[columns.cell], columns.high[columns.cell]
    weight_x = (_pixel_weights(columns) / columns.unit).astype(np.float32)
    weight_y = _pixel_weights(rows) / rows.unit
    # A value has at most seven roundings of half an epsilon; two values meet in a comparison.
    near = np.float32(8 * np.finfo(np.float32).eps * np.abs(scores).max())
    for start in range(0, len(labels), _ROWS_AT_ONCE):
        strip = slice(start, start + _ROWS_AT_ONCE)
        used, mix = _row_mix(rows, weight_y[strip], rows.cell[strip])
        part = scores[:, used]
        wide = np.take(part, left, axis=2) * (1 - weight_x)
        wide += np.take(part, right, axis=2) * weight_x
        doubtful = _argmax_of_mix(mix, wide, near, out=labels[strip])
        y, x = np.nonzero(doubtful)
        for begin in range(0, len(y), _VALUES_AT_ONCE // 16):
            block = slice(begin, begin + _VALUES_AT_ONCE // 16)
            labels[start + y[block], x[block]] = _settle(scores, rows, columns, start + y[block], x[block])
    return labels


def _pixel_weights(axis: _Axis) -> Double:
    """(n_out,) weight of the far side for each pixel, 0 to `unit`."""
    weights = np.empty(len(axis.cell))
    filled = axis.n_pixels > 0
    weights[axis.pixel[:, filled]] = axis.weight[:, filled]
    return weights


def _row_mix(rows: _Axis, weight: Double, cell: Index) -> tuple[Index, Float]:
    """The score rows that a strip of pixel rows uses, and the matrix (pixel rows, score rows) that mixes them."""
    low, high = rows.low[cell], rows.high[cell]
    used = np.unique(np.concatenate([low, high]))
    mix = np.zeros((len(cell), len(used)))
    every = np.arange(len(cell))
    mix[every, np.searchsorted(used, low)] = 1 - weight
    mix[every, np.searchsorted(used, high)] += weight  # at the border both sides are one row
    return used, mix.astype(np.float32)


def _argmax_of_mix(mix: Float, wide: Float, near: np.float32, out: Labels) -> npt.NDArray[np.bool_]:
    """Write the largest class of `mix @ wide[c]`; return where the two largest values are within `near`."""
    best = mix @ wide[0]
    second = np.full_like(best, -np.inf)
    value, larger = np.empty_like(best), np.empty(best.shape, bool)
    out[:] = 0
    for index in range(1, len(wide)):
        np.matmul(mix, wide[index], out=value)
        np.greater_equal(value, best, out=larger)
        np.copyto(out, np.uint8(index), where=larger)
        np.maximum(second, np.minimum(value, best), out=second)
        np.maximum(best, value, out=best)
    with np.errstate(over="ignore"):  # infinitely far is not near
        doubtful: npt.NDArray[np.bool_] = best - second <= near
    return doubtful


def _settle(scores: Float, rows: _Axis, columns: _Axis, y: Index, x: Index) -> Labels:
    """(n,) labels of single pixels, in float64."""
    corners = _corner_scores(scores, rows, columns, rows.cell[y], columns.cell[x])
    top_left, top_right, bottom_left, bottom_right = (corner.astype(np.float64) for corner in corners)
    weight_y, weight_x = _pixel_weights(rows)[y], _pixel_weights(columns)[x]
    left = rows.unit * top_left + weight_y * (bottom_left - top_left)
    right = rows.unit * top_right + weight_y * (bottom_right - top_right)
    value = columns.unit * left + weight_x * (right - left)
    return np.asarray(len(value) - 1 - np.argmax(value[::-1], axis=0), np.uint8)
