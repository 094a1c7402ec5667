"""Seeded weights for measuring speed and testing conversions: the outputs mean nothing."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from dongfeng.layers.infer import WeightShapes, weight_shapes
from dongfeng.layers.layer import Array, Layer, frozen
from dongfeng.net.graph import Net
from dongfeng.net.sharing import BlobPlace, owners
from dongfeng.net.weights import bilinear, in_shape

_PASSING = ("BN", "BatchNorm", "Dropout", "Scale")  # they keep the variance of a branch
_BRANCH_GAIN = 0.5  # so that the sum of a residual block grows by a quarter of its variance at most


def random_weights(net: Net, seed: int = 0) -> Net:
    """Return the net with weights that keep the variance of its activations, drawn from the layer's name and `seed`.

    Convolutions, deconvolutions and inner products are drawn as He et al. (2015) do; those that end a residual branch
    are halved; bilinear fillers keep their kernel; BatchNorm and BN are drawn close to mean 0 and variance 1, Scale
    close to 1 and 0. Blobs that layers share are the first layer's. Deterministic for a seed, on every machine.

    Raises:
        ShapeError: the shape of a weight depends on a dynamic input size.
    """
    wanted = weight_shapes(net.inputs, net.layers)
    halved = _branch_ends(net.layers)
    values: dict[BlobPlace, Array] = {}
    layers = []
    for one, owned in zip(wanted, owners(wanted), strict=True):
        blobs = _drawn(one, seed, _BRANCH_GAIN if one.layer.name in halved else 1.0)
        shared = [
            in_shape(values.setdefault(place, frozen(blob)), blob.shape)
            for place, blob in zip(owned, blobs, strict=True)
        ]
        layers.append(replace(one.layer, blobs=tuple(shared)) if shared else one.layer)
    return net.with_layers(layers)


def _drawn(wanted: WeightShapes, seed: int, gain: float) -> list[Array]:
    """Draw all blobs of a layer.

    Raises:
        ShapeError: a shape depends on a dynamic input size.
    """
    layer = wanted.layer
    rng = np.random.default_rng([seed, zlib.crc32(layer.name.encode())])
    is_bilinear = bool(wanted.shapes) and wanted.type.fillers()[0].type == "bilinear"
    return [_draw(rng, layer, index, shape, gain, is_bilinear) for index, shape in enumerate(wanted.known())]


def _draw(
    rng: np.random.Generator, layer: Layer, index: int, shape: tuple[int, ...], gain: float, is_bilinear: bool
) -> Array:
    noise = rng.standard_normal(shape, dtype=np.float32)
    if layer.type == "BatchNorm":
        draws = (0.1 * noise, np.exp(0.1 * noise), np.ones(shape, np.float32), 1.0 + 0.1 * noise, 0.1 * noise)
        return draws[index]
    if layer.type == "BN":  # slope, bias, mean, variance
        return (1.0 + 0.1 * noise, 0.1 * noise, 0.1 * noise, np.exp(0.1 * noise))[index]
    if index > 0 or len(shape) < 2:
        return 0.1 * noise + (1.0 if index == 0 else 0.0)
    if is_bilinear:
        return bilinear(shape)
    fan_in = int(np.prod(shape[1:]))
    if layer.type == "Deconvolution":  # every output pixel sees kernel / stride of the taps of its group's inputs
        fan_in = max(shape[0] // layer.params.convolution_param.group, 1)
    return noise * np.float32(gain * np.sqrt(2.0 / fan_in))


def _branch_ends(layers: Sequence[Layer]) -> set[str]:
    """Return the names of the last learned layers of the branches that an Eltwise adds."""
    producer: Mapping[str, Layer] = {top: layer for layer in layers for top in layer.tops}
    ends = set()
    for layer in layers:
        if layer.type != "Eltwise":
            continue
        for bottom in layer.bottoms:
            source = producer.get(bottom)
            while source is not None and source.type in _PASSING:
                source = producer.get(source.bottoms[0])
            if source is not None and source.type in ("Convolution", "InnerProduct"):
                ends.add(source.name)
    return ends
