"""Layers that reduce: ArgMax, Reduction, and the evaluation layers Accuracy and SoftmaxWithLoss."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError
from dongfeng.net.graph import Layer
from dongfeng.reference.axes import canonical, show
from dongfeng.reference.normalization import softmax_of
from dongfeng.reference.registry import AnyArray, Array, forward_of

FLT_MIN = np.finfo(np.float32).tiny


@forward_of("ArgMax")
def argmax(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Indices of the largest values, of equal ones the last; with out_max_val the values too, or instead."""
    (x,), param = bottoms, layer.params.argmax_param
    if param.has("axis"):
        axis = canonical(param.axis, x.ndim)
        indices, values = _largest(x, axis, param.top_k)
        return [values if param.out_max_val else indices]
    rows = x.reshape(x.shape[0], -1)
    indices, values = _largest(rows, 1, param.top_k)
    parts = [indices, values] if param.out_max_val else [indices]
    return [np.stack(parts, 1).reshape(x.shape[0], len(parts), param.top_k, *(1,) * (x.ndim - 3))]


def _largest(x: Array, axis: int, top_k: int) -> tuple[AnyArray, AnyArray]:
    """Find indices and values of the `top_k` largest along an axis, largest first, of equal ones the last first."""
    size = x.shape[axis]
    if not 1 <= top_k <= size:
        raise ShapeError(f"top_k {top_k} of {size} values along axis {axis} of {show(x.shape)}")
    backwards = np.flip(x, axis)
    if top_k == 1:
        places = np.expand_dims(backwards.argmax(axis), axis)
    else:
        places = np.take(np.argsort(-backwards, axis, kind="stable"), range(top_k), axis)
    indices = size - 1 - places
    return indices, np.take_along_axis(x, indices, axis)


@forward_of("Reduction")
def reduction(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """One value for all axes from `axis` on, times coeff."""
    (x,), param = bottoms, layer.params.reduction_param
    axis = canonical(param.axis, x.ndim)
    rows = x.reshape(*x.shape[:axis], -1).astype(np.float64)
    if param.operation == "ASUM":
        rows = np.abs(rows)
    elif param.operation == "SUMSQ":
        rows = np.square(rows)
    return [param.coeff * (rows.mean(-1) if param.operation == "MEAN" else rows.sum(-1))]


@forward_of("Accuracy", bottoms=(2, 2), tops=(1, 2))
def accuracy(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Share of samples whose label is among the top_k scores, overall and per class."""
    param = layer.params.accuracy_param
    scores, labels, of_label = _scores_and_labels(bottoms, param.axis, param)
    hits = (scores >= of_label).sum(1) <= param.top_k
    n_classes = scores.shape[1]
    samples = np.bincount(labels, minlength=n_classes)
    right = np.bincount(labels[hits], minlength=n_classes)
    overall = hits.mean() if hits.size else np.float64(0)
    return [np.asarray(overall), right / np.maximum(samples, 1)][: len(layer.tops)]


@forward_of("SoftmaxWithLoss", bottoms=(2, 2), tops=(1, 2))
def softmax_with_loss(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Mean negative logarithm of the labels' probabilities, and the probabilities."""
    loss_param = layer.params.loss_param
    axis = canonical(layer.params.softmax_param.axis, bottoms[0].ndim)
    probabilities = softmax_of(bottoms[0], axis)
    _, labels, of_label = _scores_and_labels([probabilities.astype(np.float32), bottoms[1]], axis, loss_param)
    mode = loss_param.normalization
    if loss_param.has("normalize") and not loss_param.has("normalization"):
        mode = "VALID" if loss_param.normalize else "BATCH_SIZE"
    outer = math.prod(bottoms[0].shape[:axis])
    divisor = {"FULL": bottoms[1].size, "VALID": labels.size, "BATCH_SIZE": outer, "NONE": 1}[mode]
    loss = -np.log(np.maximum(of_label.astype(np.float64), FLT_MIN)).sum() / max(divisor, 1)
    return [np.asarray(loss), probabilities][: len(layer.tops)]


def _scores_and_labels(bottoms: Sequence[Array], axis: int, param: Message) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Return scores (samples, classes), labels (samples,) and their scores (samples, 1), without ignored labels."""
    scores, labels = bottoms
    axis = canonical(axis, scores.ndim)
    rows = np.moveaxis(scores, axis, -1).reshape(-1, scores.shape[axis])
    if labels.size != len(rows):
        raise ShapeError(f"{labels.size} labels for {len(rows)} predictions in {show(scores.shape)}")
    indices = labels.ravel().astype(np.int64)
    if param.has("ignore_label"):
        keep = indices != param.ignore_label
        rows, indices = rows[keep], indices[keep]
    return rows, indices, np.take_along_axis(rows, indices[:, None], 1)
