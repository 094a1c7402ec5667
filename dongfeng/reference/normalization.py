"""Normalizations: BatchNorm, BN, LRN, MVN, Normalize, Softmax."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError, WeightsMismatch
from dongfeng.net.graph import Layer
from dongfeng.reference.axes import canonical, require_axes, spread
from dongfeng.reference.neurons import is_training
from dongfeng.reference.pooling import Pool, average_pool
from dongfeng.reference.registry import AnyArray, Array, forward_of
from dongfeng.reference.weights import weights

SEGNET_BN_EPS = 1e-9


@forward_of("BatchNorm")
def batch_norm(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The quotient (x - mean) / sqrt(variance + eps) per channel, by stored sums over their factor or by the batch."""
    (x,), param = bottoms, layer.params.batch_norm_param
    values = x if x.ndim > 1 else x.reshape(-1, 1)
    channels = values.shape[1]
    learned: list[AnyArray] = []
    if param.use_global_stats if param.has("use_global_stats") else not is_training(layer):
        affine = _nvidia_affine(param)
        shapes = [(channels,), (channels,), (1,), *[(channels,)] * len(affine)]
        sums = weights(layer, shapes, [0.0, 0.0, 0.0, *affine])
        mean_sum, variance_sum, (factor,), *learned = (blob.astype(np.float64) for blob in sums)
        share = 0.0 if factor == 0 else 1 / factor
        mean, variance = mean_sum * share, variance_sum * share
    else:
        mean, variance = _batch_statistics(values)
    result = _normalized(values, mean, variance, param.eps)
    if learned:
        slope, shift = (_per_channel(blob, values) for blob in learned)
        result = result * slope + shift
    return [result.reshape(x.shape)]


def _nvidia_affine(param: Message) -> list[Message | float]:
    """Return the fillers of the factor and shift that NVCaffe's BatchNorm may have; BVLC's has none."""
    if not (param.scale_bias or param.has("scale_filler") or param.has("bias_filler")):
        return []
    return [param.scale_filler if param.has("scale_filler") else 1.0, param.bias_filler]


def _batch_statistics(x: Array) -> tuple[AnyArray, AnyArray]:
    """Return mean and biased variance of each channel."""
    axes = (0, *range(2, x.ndim))
    return x.mean(axes, dtype=np.float64), x.var(axes, dtype=np.float64)


def _normalized(x: Array, mean: AnyArray, variance: AnyArray, eps: float) -> AnyArray:
    deviation = np.sqrt(variance.astype(np.float64) + eps)
    result: AnyArray = (x - _per_channel(mean, x)) / _per_channel(deviation, x)
    return result


def _per_channel(values: AnyArray, x: Array) -> AnyArray:
    return spread(values.astype(np.float32), 1, x.ndim)


@forward_of("BN")
def fork_bn(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Batch normalization with its own affine map: PSPNet's of four blobs, SegNet's of two."""
    (x,), param = bottoms, layer.params.bn_param
    require_axes(x, 4)
    shape = (x.shape[1],)
    if len(layer.blobs) not in (0, 2, 4):
        raise WeightsMismatch(f"has {len(layer.blobs)} weight blobs, expected 4 (as in PSPNet) or 2 (as in SegNet)")
    is_segnet = len(layer.blobs) == 2 or any(map(param.has, ("bn_mode", "scale_filler", "shift_filler")))
    if is_segnet:
        slope, bias = weights(layer, [shape] * 2, [param.scale_filler, param.shift_filler])
        if param.bn_mode != "INFERENCE":  # LEARN: the batch's own statistics, in every phase
            x = _normalized(x, *_batch_statistics(x), SEGNET_BN_EPS)
    else:
        fillers = [param.slope_filler, param.bias_filler, 0.0, 1.0 if param.frozen else 0.0]
        slope, bias, mean, variance = weights(layer, [shape] * 4, fillers)
        if is_training(layer) and not param.frozen:
            mean, variance = _batch_statistics(x)
        x = _normalized(x, mean, variance, param.eps)
    return [x * _per_channel(slope, x) + _per_channel(bias, x)]


@forward_of("LRN")
def lrn(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The value over a power of the squares around it, in other channels or in its own plane."""
    (x,), param = bottoms, layer.params.lrn_param
    require_axes(x, 4)
    size = param.local_size
    if size % 2 == 0:
        raise ShapeError(f"local_size must be odd, got {size}")
    squares = np.square(x, dtype=np.float64)
    if param.norm_region == "WITHIN_CHANNEL":  # Caffe builds it of other layers, which do not read k
        mean = average_pool(squares, Pool((size, size), (1, 1), (size // 2, size // 2)))
        return [x * np.power(1 + param.alpha * mean, -param.beta)]
    padded = np.pad(squares, [(0, 0), (size // 2, size // 2), (0, 0), (0, 0)])
    total = sum(padded[:, start : start + x.shape[1]] for start in range(size))
    return [x * np.power(param.k + param.alpha / size * total, -param.beta)]


@forward_of("MVN")
def mvn(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Mean 0 and deviation 1 of each plane or each sample; eps counts outside the root."""
    (x,), param = bottoms, layer.params.mvn_param
    first = 1 if param.across_channels else 2
    rows = x.reshape(*x.shape[:first], -1).astype(np.float64)
    rows -= rows.mean(-1, keepdims=True)
    if param.normalize_variance:
        rows /= np.sqrt(np.square(rows).mean(-1, keepdims=True)) + param.eps
    return [rows.reshape(x.shape)]


@forward_of("Normalize")
def normalize(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The value over the Euclidean norm of its channels or of its sample, times a scale (SSD)."""
    (x,), param = bottoms, layer.params.norm_param
    if x.ndim < 2:
        raise ShapeError("the bottom must have at least two axes")
    filler = param.scale_filler if param.has("scale_filler") else 1.0
    (scale,) = weights(layer, [() if param.channel_shared else (x.shape[1],)], [filler])
    axes = tuple(range(1, x.ndim)) if param.across_spatial else (1,)
    norm = np.sqrt(np.square(x, dtype=np.float64).sum(axes, keepdims=True) + param.eps)
    return [x / norm * spread(scale, 1 if scale.ndim else 0, x.ndim)]


@forward_of("Softmax")
def softmax(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Exponentials over their sum along one axis."""
    (x,) = bottoms
    return [softmax_of(x, canonical(layer.params.softmax_param.axis, x.ndim))]


def softmax_of(x: Array, axis: int) -> AnyArray:
    """Compute softmax along an axis, float64."""
    powers = np.exp(x.astype(np.float64) - x.max(axis, keepdims=True))
    result: AnyArray = powers / powers.sum(axis, keepdims=True)
    return result
