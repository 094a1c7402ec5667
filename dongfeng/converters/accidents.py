"""Nets whose result in Caffe depends on which blobs happen to share memory: refused, since nobody can want it."""

from __future__ import annotations

from dongfeng.errors import UnsupportedLayer
from dongfeng.layers.layer import Layer
from dongfeng.net import Net

_SHARING = ("Flatten", "Reshape", "Split")  # Caffe gives their tops the memory of their bottom


def refuse_accidents(net: Net) -> None:
    """Check a net as read for in-place layers that disturb what others read.

    Raises:
        UnsupportedLayer: an Eltwise SUM or MAX works in place (Caffe overwrites its top before it has read the first
            bottom), or a layer overwrites memory that a later layer reads under another name.
    """
    public = {blob: net.aliases.get(blob, blob) for blob in _blobs(net)}
    memory = {blob: blob for blob in net.inputs}
    last_reader = {bottom: (index, layer) for index, layer in enumerate(net.layers) for bottom in layer.bottoms}
    problems = []
    for index, layer in enumerate(net.layers):
        overwritten = [
            bottom for bottom, top in zip(layer.bottoms, layer.tops, strict=False) if public[bottom] == public[top]
        ]
        for top in layer.tops:
            shares = layer.type in _SHARING or public[top] in [public[bottom] for bottom in overwritten]
            memory[top] = memory[layer.bottoms[0]] if shares and layer.bottoms else top
        operation = layer.params.eltwise_param.operation if layer.type == "Eltwise" else None
        if operation in ("SUM", "MAX") and overwritten:
            problems.append(_problem(layer, f"{operation} works in place, where Caffe loses the first bottom"))
        for bottom in overwritten:
            disturbed = [
                reader.name
                for blob, (position, reader) in last_reader.items()
                if position > index and public[blob] != public[bottom] and memory.get(blob) == memory[bottom]
            ]
            if disturbed and layer.type not in _SHARING:
                problems.append(_problem(layer, f'works in place on memory that "{disturbed[0]}" still reads'))
    if problems:
        raise UnsupportedLayer(problems)


def _blobs(net: Net) -> list[str]:
    return [*net.inputs, *(blob for layer in net.layers for blob in layer.tops)]


def _problem(layer: Layer, what: str) -> str:
    return f"{layer.where}: {what}; give its top a name of its own"
