"""The default outputs of a PyTorch network: its scores, and its maps at 1/8, 1/16 and 1/32."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from dongfeng.errors import DongfengError
from dongfeng.layers.convolution import Deconvolution
from dongfeng.layers.layer import Layer
from dongfeng.net.cut import needed_layers, readers_of
from dongfeng.net.graph import Net

_TAIL = ("ArgMax", "Softmax")
_ENLARGING = ("Deconvolution", "Interp", "Upsample")
_STRIDES = (8, 16, 32)
_PROBE_HW = (256, 512)


def score_blobs(net: Net) -> tuple[str, ...]:
    """Return the net's outputs without the Softmax and ArgMax that only turn scores into probabilities and labels.

    Where all of them are one blob or enlargements of it, only the largest is returned.
    """
    makers = {top: layer for layer in net.layers for top in layer.tops}
    outputs = [blob for blob in net.outputs if blob in makers] or list(net.outputs)
    scores = list(dict.fromkeys(_scores(blob, makers) for blob in outputs))
    enlarged = {blob: _before_enlarging(blob, makers) for blob in scores}
    if len({base for base, _ in enlarged.values()}) > 1:
        return tuple(scores)
    return (max(scores, key=lambda blob: enlarged[blob][1]),)


def _scores(blob: str, makers: Mapping[str, Layer]) -> str:
    while (layer := makers.get(blob)) is not None and layer.type in _TAIL and len(layer.bottoms) == 1:
        blob = layer.bottoms[0]
    return blob


def _before_enlarging(blob: str, makers: Mapping[str, Layer]) -> tuple[str, float]:
    """Return the blob behind a chain of deconvolutions, and their enlargement in area."""
    area = 1.0
    while (layer := makers.get(blob)) is not None and layer.type == "Deconvolution" and len(layer.bottoms) == 1:
        area /= math.prod(map(float, Deconvolution(layer).stride_hw))
        blob = layer.bottoms[0]
    return blob, area


def feature_blobs(net: Net) -> tuple[str, ...]:
    """Return the last map of the backbone at each of 1/8, 1/16 and 1/32; none where the net lacks one.

    At 1/32 it is the last map before any enlarging that every path at its scale goes through; at the other scales, the
    last such map among the blobs that the next one depends on.
    """
    if len(net.inputs) != 1:
        return ()
    try:
        probe = net.resize(*_PROBE_HW) if net.is_dynamic else net
        shapes = probe.shapes()
    except DongfengError:
        return ()
    input_shape = shapes[next(iter(probe.inputs))]
    if len(input_shape) != 4 or min(input_shape[2:]) < 2 * _STRIDES[-1]:
        return ()
    features: list[str] = []
    for stride in reversed(_STRIDES):
        sizes = [{side // stride, -(-side // stride)} for side in input_shape[2:]]
        scale = {
            blob
            for blob, shape in shapes.items()
            if len(shape) == 4 and all(side in allowed for side, allowed in zip(shape[2:], sizes, strict=True))
        }
        blob = _last_gate(net.layers, scale, features[0]) if features else _last_waist(net.layers, scale)
        if blob is None:
            return ()
        features.insert(0, blob)
    return tuple(features)


def _last_gate(layers: Sequence[Layer], scale: set[str], target: str) -> str | None:
    """Return the last blob of `scale` that every path from the input to `target` goes through."""
    needed = needed_layers(layers, [target])
    for gate in reversed(needed):
        if len(gate.tops) == 1 and gate.tops[0] in scale:
            others = needed_layers([layer for layer in needed if layer is not gate], [target])
            read = {bottom for layer in others for bottom in layer.bottoms}
            if read <= {*gate.tops, *(top for layer in others for top in layer.tops)}:  # no input without the gate
                return gate.tops[0]
    return None


def _last_waist(layers: Sequence[Layer], scale: set[str]) -> str | None:
    """Return the last blob of `scale`, not enlarged, behind which no earlier blob of that scale is read."""
    readers = readers_of(layers)
    enlarged: set[str] = set()
    waist, read_until = None, -1
    for index, layer in enumerate(layers):
        if layer.type in _ENLARGING or enlarged.intersection(layer.bottoms):
            enlarged.update(layer.tops)
            continue
        for top in scale.intersection(layer.tops):
            if read_until <= index and len(layer.tops) == 1:
                waist = top
            read_until = max(read_until, *readers.get(top, ()))
    return waist
