"""The part of a net that some of its blobs need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from dongfeng.errors import ConversionError
from dongfeng.net.graph import Net


class Wired(Protocol):
    """A layer, or what a format makes of one."""

    @property
    def bottoms(self) -> tuple[str, ...]:
        """Blobs that it reads."""

    @property
    def tops(self) -> tuple[str, ...]:
        """Blobs that it writes."""


_Part = TypeVar("_Part", bound=Wired)


def cut(net: Net, outputs: Sequence[str] | None = None) -> Net:
    """Return the net with the layers that some blobs depend on, and the inputs that these layers read.

    Raises:
        ConversionError: an output is not a blob of the net.
    """
    requested = requested_outputs(net, outputs)
    layers = needed_layers(net.layers, requested)
    needed = {*requested, *(blob for layer in layers for blob in (*layer.bottoms, *layer.tops))}
    inputs = {blob: shape for blob, shape in net.inputs.items() if blob in needed}
    aliases = {private: blob for private, blob in net.aliases.items() if private in needed}
    return replace(net, inputs=inputs, layers=tuple(layers), aliases=aliases)


def needed_layers(layers: Sequence[_Part], requested: Iterable[str]) -> list[_Part]:
    """Return the layers that the requested blobs depend on, in order."""
    needed = set(requested)
    kept = []
    for layer in reversed(layers):
        if needed.intersection(layer.tops):
            kept.append(layer)
            needed.update(layer.bottoms)
    return kept[::-1]


def readers_of(layers: Iterable[Wired]) -> dict[str, list[int]]:
    """Map each blob that is read to the indices of the layers that read it."""
    readers: dict[str, list[int]] = {}
    for index, layer in enumerate(layers):
        for bottom in layer.bottoms:
            readers.setdefault(bottom, []).append(index)
    return readers


def requested_outputs(net: Net, outputs: Sequence[str] | None) -> tuple[str, ...]:
    """Return the blobs asked for, deduplicated; None asks for the net's outputs.

    Raises:
        ConversionError: one is not a blob of the net, or there are none.
    """
    blobs = set(net.blobs)
    requested = tuple(dict.fromkeys(net.outputs if outputs is None else outputs))
    missing = [blob for blob in requested if blob not in blobs]
    if missing or not requested:
        problem = f"no blob {', '.join(map(repr, missing))}" if missing else "no output asked for"
        own = ", ".join(net.outputs) or "none, for layers read all its blobs: name one with outputs"
        raise ConversionError(f"{problem} in net {net.name!r}; its outputs are {own}")
    return requested
