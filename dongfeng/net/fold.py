"""BatchNorm and Scale folded into the convolution or inner product before them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dongfeng.layers.inplace import renamed
from dongfeng.layers.layer import Layer, frozen
from dongfeng.layers.normalization import BatchNorm, batch_norm_statistics
from dongfeng.net.cut import readers_of
from dongfeng.net.graph import Net
from dongfeng.net.weights import fill

_PARAM = {
    "Convolution": "convolution_param",
    "ConvolutionDepthwise": "convolution_param",
    "Deconvolution": "convolution_param",
    "DepthwiseConvolution": "convolution_param",
    "InnerProduct": "inner_product_param",
}
_Vector = npt.NDArray[np.float64]


def fold(net: Net) -> Net:
    """Fold BatchNorm and Scale layers into the convolution or inner product whose top they alone read.

    The folded layer keeps its own top, as the release's `_mergebn` files do: `Decoder_score/bn` becomes
    `Decoder_score`. Works on a net without weights, and twice is the same as once.

    Args:
        net: Any net; it is left as it is.

    Returns:
        The folded net; weights are computed in double precision and rounded once.

    Raises:
        WeightsMismatch: some layers have weights and a folded one has none that Caffe could fill in.
    """
    if any(layer.blobs for layer in net.layers):
        net = fill(net)
    foldable = _foldable(net)
    if not foldable:
        return net
    # In Caffe's in-place form one name stands for all versions of a blob, so renaming it renames its whole chain.
    in_place = net.inplace_layers()
    gone: set[int] = set()
    new_names: dict[str, str] = {}
    for index, followers in foldable.items():
        gone.update(followers)
        new_names[in_place[followers[-1]].tops[0]] = in_place[index].tops[0]
    layers = [
        renamed(_folded(layer, [net.layers[i] for i in foldable[index]]) if index in foldable else layer, new_names)
        for index, layer in enumerate(in_place)
        if index not in gone
    ]
    return Net.from_inplace(net.name, net.inplace_inputs(), layers, preprocessing=net.preprocessing, source=net.source)


@dataclass(frozen=True)
class Counterpart:
    """The counterpart of a blob in the net that its own net was folded from.

    Attributes:
        blob: The blob with the same values.
        layer: The layer that writes it, the convolution where others are folded into it; None for an input.
    """

    blob: str
    layer: Layer | None


def folded_blobs(net: Net) -> dict[str, Counterpart]:
    """Map the blobs of `fold(net)` to those of `net`.

    In place of `Decoder_score/bn`, which its Scale writes, the folded net has `Decoder_score`, which the convolution
    writes; the convolution's own result is gone.
    """
    foldable = _foldable(net)
    gone = {index for followers in foldable.values() for index in followers}
    kept = [index for index in range(len(net.layers)) if index not in gone]
    folded = fold(net.with_layers(replace(layer, blobs=()) for layer in net.layers))
    blobs = {new: Counterpart(old, None) for new, old in zip(folded.inputs, net.inputs, strict=True)}
    for layer, index in zip(folded.layers, kept, strict=True):
        last = foldable.get(index, [index])[-1]
        for new, old in zip(layer.tops, net.layers[last].tops, strict=True):
            blobs[new] = Counterpart(old, net.layers[index])
    return blobs


def _foldable(net: Net) -> dict[int, list[int]]:
    """Map the index of a layer to the indices of the BatchNorm and Scale layers that fold into it, in order."""
    readers = readers_of(net.layers)
    uses = Counter(layer.name for layer in net.layers)
    found: dict[int, list[int]] = {}
    for index, layer in enumerate(net.layers):
        if layer.type not in _PARAM or len(layer.tops) != 1 or not _is_plain(layer, uses):
            continue
        chain: list[int] = []
        blob = layer.tops[0]
        while len(following := readers.get(blob, [])) == 1 and _is_per_channel(net.layers[following[0]]):
            chain.append(following[0])
            blob = net.layers[following[0]].tops[0]
        if chain:
            found[index] = chain
    return found


def _is_plain(layer: Layer, uses: Counter[str]) -> bool:
    """Return whether the layer's weights are its own and its output channels are axis 1."""
    if any(spec.name for spec in layer.params.param) or uses[layer.name] > 1:
        return False
    return bool(getattr(layer.params, _PARAM[layer.type]).axis == 1)


def _is_per_channel(layer: Layer) -> bool:
    """Return whether the layer is a BatchNorm, or a Scale by one learned factor per channel (axis 1)."""
    if layer.type == "BatchNorm":
        return not any(spec.name for spec in layer.params.param) and not BatchNorm(layer).by_batch
    return is_channel_scale(layer)


def is_channel_scale(layer: Layer) -> bool:
    """Return whether the layer is a Scale by one learned factor per channel (axis 1), shared with no other layer."""
    param = layer.params.scale_param
    is_own = not any(spec.name for spec in layer.params.param)
    return layer.type == "Scale" and len(layer.bottoms) == 1 and param.axis == 1 and param.num_axes == 1 and is_own


def _folded(layer: Layer, followers: Sequence[Layer]) -> Layer:
    """Return the layer with its followers' arithmetic in its weights."""
    field = _PARAM[layer.type]
    param = getattr(layer.params, field)
    had_bias: bool = param.bias_term
    has_shift = had_bias or any(f.type == "BatchNorm" or f.params.scale_param.bias_term for f in followers)
    # A layer that gains a bias drops `bias_term: false`; no filler describes that bias.
    params = layer.params.replace(**{field: param.replace(bias_term=None if has_shift else False)})
    if not layer.blobs:
        return replace(layer, params=params)
    factor, shift = _affine(followers)
    weight = _scaled(layer, factor)
    bias = shift + factor * (layer.blobs[1].astype(np.float64) if had_bias else 0.0)
    return replace(layer, params=params, blobs=(frozen(weight), *([frozen(bias)] if has_shift else [])))


def _affine(followers: Sequence[Layer]) -> tuple[_Vector, _Vector]:
    """Compute factor and shift per channel that equal all followers together."""
    factor, shift = np.ones(1), np.zeros(1)
    for layer in followers:
        if layer.type == "BatchNorm":
            scale, bias, mean, variance = batch_norm_statistics(layer.blobs)
            gain = scale / np.sqrt(variance + layer.params.batch_norm_param.eps)
            offset = bias - mean * gain
        else:
            gain = layer.blobs[0].astype(np.float64)
            offset = layer.blobs[1].astype(np.float64) if len(layer.blobs) > 1 else np.zeros(1)
        factor, shift = factor * gain, shift * gain + offset
    return factor, shift


def _scaled(layer: Layer, factor: _Vector) -> _Vector:
    """Return the layer's weight with every output channel multiplied by its factor."""
    weight = layer.blobs[0].astype(np.float64)
    if layer.type == "Deconvolution":  # (in, out / group, kernel): outputs follow from the group of an input
        group = layer.params.convolution_param.group
        per_input = factor.reshape(group, 1, -1).repeat(weight.shape[0] // group, axis=1)
        return weight * per_input.reshape(weight.shape[0], -1, *(1,) * (weight.ndim - 2))
    if layer.type == "InnerProduct" and layer.params.inner_product_param.transpose:
        return weight * factor
    return weight * factor.reshape(-1, *(1,) * (weight.ndim - 1))
