"""The blobs of a `Net` that a conversion is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from dongfeng.errors import ConversionError
from dongfeng.net.graph import Net


def requested_outputs(net: Net, outputs: Sequence[str] | None) -> tuple[str, ...]:
    """Return the blobs asked for, deduplicated; None asks for the net's outputs.

    Raises:
        ConversionError: one is not a blob of the net, or there are none.
    """
    blobs = {*net.inputs, *(top for layer in net.layers for top in layer.tops)}
    requested = tuple(dict.fromkeys(net.outputs if outputs is None else outputs))
    missing = [blob for blob in requested if blob not in blobs]
    if missing or not requested:
        problem = f"no blob {', '.join(map(repr, missing))}" if missing else "no output asked for"
        own = ", ".join(net.outputs) or "none, for layers read all its blobs: name one with outputs"
        raise ConversionError(f"{problem} in net {net.name!r}; its outputs are {own}")
    return requested
