"""Refusal of nets whose result in Caffe depends on which blobs share memory."""

from __future__ import annotations

from dongfeng.errors import UnsupportedLayer
from dongfeng.layers.layer import Layer
from dongfeng.net.graph import Net

_SHARING = ("Flatten", "Reshape", "Split")  # Caffe gives their tops the memory of their bottom


def refuse_aliasing(net: Net) -> None:
    """Refuse in-place layers that disturb what others read.

    Raises:
        UnsupportedLayer: an Eltwise SUM or MAX works in place (Caffe overwrites its top before it has read the first
            bottom), or a layer overwrites memory that a later layer, or the caller, reads under another name.
    """
    name_in_file = {blob: net.aliases.get(blob, blob) for blob in net.blobs}
    memory = {blob: blob for blob in net.inputs}  # blob -> the first blob in the same memory
    last_reader = {blob: (len(net.layers), f'is the output "{blob}"') for blob in net.outputs}
    for index, layer in enumerate(net.layers):
        last_reader.update((bottom, (index, f'"{layer.name}" still reads')) for bottom in layer.bottoms)
    problems = []
    for index, layer in enumerate(net.layers):
        overwritten = [
            bottom
            for bottom, top in zip(layer.bottoms, layer.tops, strict=False)
            if name_in_file[bottom] == name_in_file[top]
        ]
        for top in layer.tops:
            shares = _shares(layer) or name_in_file[top] in [name_in_file[bottom] for bottom in overwritten]
            memory[top] = memory[layer.bottoms[0]] if shares and layer.bottoms else top
        operation = layer.params.eltwise_param.operation if layer.type == "Eltwise" else None
        if operation in ("SUM", "MAX") and overwritten:
            problems.append(_problem(layer, f"{operation} works in place, where Caffe loses the first bottom"))
        for bottom in overwritten:
            disturbed = [
                use
                for blob, (position, use) in last_reader.items()
                if position > index
                and name_in_file[blob] != name_in_file[bottom]
                and memory.get(blob) == memory[bottom]
            ]
            if disturbed and not _shares(layer):
                problems.append(_problem(layer, f"works in place on memory that {disturbed[0]}"))
    if problems:
        raise UnsupportedLayer(problems)


def _shares(layer: Layer) -> bool:
    """Return whether Caffe gives the layer's tops the memory of its bottom."""
    if layer.type in ("Concat", "Slice"):
        return len(layer.bottoms) == len(layer.tops) == 1
    if layer.type == "Permute":
        order = layer.params.permute_param.order
        return tuple(order) == tuple(range(len(order)))
    return layer.type in _SHARING


def _problem(layer: Layer, what: str) -> str:
    return f"{layer.where}: {what}; give its top a name of its own"
