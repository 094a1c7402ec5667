"""Labels by interpolating every class at every pixel, a strip of rows at a time: for scores that are mostly noise."""

from __future__ import annotations

import numpy as np

from dongfeng.runtime.labels.axis import TINY, Axis, Double, Float, Index, Labels, Mask, exact_labels

_ROWS_AT_ONCE = 32
_EXACT_AT_ONCE = 1 << 12


def fill_strips(scores: Float, rows: Axis, columns: Axis) -> Labels:
    """Label all pixels in float32, and those whose two best classes are too near again with `exact_labels`.

    Args:
        scores: (C, h, w) float32.
        rows: The vertical axis.
        columns: The horizontal axis.

    Returns:
        (H, W) uint8.
    """
    labels = np.empty((len(rows.cell), len(columns.cell)), np.uint8)
    left, right = columns.low[columns.cell], columns.high[columns.cell]
    weight_x = (columns.weight / columns.unit).astype(np.float32)
    weight_y = rows.weight / rows.unit
    # A value has at most seven roundings of half an epsilon; two values meet in a comparison.
    near = np.float32(8 * np.finfo(np.float32).eps * np.abs(scores).max() + TINY)
    for start in range(0, len(labels), _ROWS_AT_ONCE):
        strip = slice(start, start + _ROWS_AT_ONCE)
        used, mix = _row_mix(rows, weight_y[strip], rows.cell[strip])
        part = scores[:, used]
        wide = np.take(part, left, axis=2) * (1 - weight_x)
        wide += np.take(part, right, axis=2) * weight_x
        doubtful = _argmax_of_mix(mix, wide, near, out=labels[strip])
        y, x = np.nonzero(doubtful)
        for begin in range(0, len(y), _EXACT_AT_ONCE):
            block = slice(begin, begin + _EXACT_AT_ONCE)
            labels[start + y[block], x[block]] = exact_labels(scores, rows, columns, start + y[block], x[block])
    return labels


def _row_mix(rows: Axis, weight: Double, cell: Index) -> tuple[Index, Float]:
    """Return the score rows that a strip of pixel rows uses, and their weights, (pixel rows, score rows)."""
    low, high = rows.low[cell], rows.high[cell]
    used = np.unique(np.concatenate([low, high]))
    mix = np.zeros((len(cell), len(used)))
    every = np.arange(len(cell))
    mix[every, np.searchsorted(used, low)] = 1 - weight
    mix[every, np.searchsorted(used, high)] += weight  # at the border both sides are one row
    return used, mix.astype(np.float32)


def _argmax_of_mix(mix: Float, wide: Float, near: np.float32, out: Labels) -> Mask:
    """Write the class c of the largest `mix @ wide[c]` to `out`; return where the two largest are within `near`."""
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
    with np.errstate(over="ignore"):  # a difference that overflows is not near
        doubtful: Mask = best - second <= near
    return doubtful
