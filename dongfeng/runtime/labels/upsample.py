"""Label maps of any size from class scores, without computing the scores of every pixel.

Half-pixel bilinear interpolation gives every pixel a weighted mean of the four scores around it. Where those four
agree on the largest class, so does every pixel between them; a class below another at all four corners wins nowhere
between them. So only cells whose corners disagree are interpolated, and in them only the classes that can win.
`docs/label-upsampling.md` has the proof and the measurements.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dongfeng.errors import DongfengError, ShapeError
from dongfeng.runtime.labels.axis import Axis, Float, Index, Labels, axis
from dongfeng.runtime.labels.canvas import LabelCanvas, label_canvas
from dongfeng.runtime.labels.cells import CellFiller, cells_at, disagreeing, possible_classes
from dongfeng.runtime.labels.strips import fill_strips

__all__ = ["argmax_last", "upsample_labels", "upsample_nearest"]

_SAMPLED_CELLS = 1024
_FEW_PIXELS = 4  # per score; with fewer, finding the cells takes longer than it saves
_CLASS_COST = 15  # time to tell whether a class can win in a cell, where `fill_strips` takes 1 for a value
_LARGEST = 2.0**126  # differences of larger scores could overflow


def upsample_labels(scores: npt.ArrayLike, size_hw: tuple[int, int]) -> Labels:
    """Interpolate scores half-pixel bilinearly, and return the largest class of each pixel, of equal ones the last.

    Beyond the outermost scores the border is repeated. Every label is the one that the full computation in float64
    gives, with whole numbers as weights, so that equal classes stay equal; most labels are found without it.

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
    largest = _largest(scores)
    if scores.shape[1:] == tuple(size_hw):
        return argmax_last(scores)
    rows, columns = axis(scores.shape[1], size_hw[0]), axis(scores.shape[2], size_hw[1])
    if size_hw[0] * size_hw[1] <= _FEW_PIXELS * scores[0].size or largest > _LARGEST:
        return fill_strips(scores, rows, columns)
    corner_labels = np.pad(argmax_last(scores), 1, mode="edge")
    cell_y, cell_x = disagreeing(corner_labels, rows, columns)
    result = label_canvas(corner_labels[:-1, :-1], rows, columns)
    if _strips_are_cheaper(scores, corner_labels, rows, columns, cell_y, cell_x, result):
        return fill_strips(scores, rows, columns)
    cells = cells_at(corner_labels, rows, columns, cell_y, cell_x)
    CellFiller(scores, rows, columns, result, largest).fill(cells)
    return result.labels()


def upsample_nearest(labels: Labels, size_hw: tuple[int, int]) -> Labels:
    """Enlarge or reduce a label map by nearest neighbour (pixel centres).

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
    return np.asarray(np.take(np.take(labels, x, axis=1), y, axis=0), np.uint8)


def argmax_last(scores: Float) -> Labels:
    """Return the index of the largest score along the first axis; of equal ones the last, as in Caffe.

    Args:
        scores: (C, ...) float32, at most 256 classes, no NaN.

    Returns:
        (...) uint8.
    """
    best = scores[0].copy()
    labels = np.zeros(best.shape, np.uint8)
    for index in range(1, len(scores)):
        larger = (scores[index] >= best).view(np.uint8)
        larger *= np.uint8(index)
        np.maximum(labels, larger, out=labels)  # indices grow, so the last that was as large stays
        np.maximum(best, scores[index], out=best)
    return labels


def _checked(scores: npt.ArrayLike, size_hw: tuple[int, int]) -> Float:
    array = np.ascontiguousarray(scores, dtype=np.float32)
    if array.ndim != 3 or 0 in array.shape or array.shape[0] > 256:
        raise ShapeError(f"label upsampling: scores have shape {array.shape}; expected (C, h, w) with 1 to 256 classes")
    if len(size_hw) != 2 or min(size_hw) < 1:
        raise ShapeError(f"label upsampling: size is {size_hw}; expected (height, width), both at least 1")
    return array


def _largest(scores: Float) -> float:
    """Return the largest absolute score; raise a DongfengError where one is NaN or infinite."""
    largest = max(float(scores.max()), -float(scores.min()))  # both are NaN where a score is
    if not np.isfinite(largest):
        wrong = int(np.count_nonzero(~np.isfinite(scores)))
        raise DongfengError(
            f"label upsampling: {wrong} of {scores.size} scores are NaN or infinite, so there are no labels; "
            "check the network's weights and input"
        )
    return largest


def _strips_are_cheaper(
    scores: Float, corner_labels: Labels, rows: Axis, columns: Axis, cell_y: Index, cell_x: Index, result: LabelCanvas
) -> bool:
    """Estimate whether so many cells disagree about so many classes (noise) that `fill_strips` is quicker."""
    classes, strips = len(scores), len(scores) * len(rows.cell) * len(columns.cell)
    fixed = _CLASS_COST * classes * len(cell_y)
    if fixed + result.value_cost * classes * len(cell_y) * result.pixels <= strips:
        return False
    step = max(1, len(cell_y) // _SAMPLED_CELLS)
    sample = cells_at(corner_labels, rows, columns, cell_y[::step], cell_x[::step])
    candidates = step * np.count_nonzero(possible_classes(scores, sample))
    return bool(fixed + result.value_cost * candidates * result.pixels > strips)
