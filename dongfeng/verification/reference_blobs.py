"""The blobs that a model is compared with: those of the NumPy interpreter, or saved ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy.typing as npt

from dongfeng.errors import ConversionError, Problems
from dongfeng.layers.layer import Array, show
from dongfeng.net.feeds import feed_arrays, random_feeds, required_inputs
from dongfeng.net.graph import Net
from dongfeng.support.wording import listed
from dongfeng.verification.saved_blobs import SavedBlobs


def interpreted_blobs(net: Net, arrays: Mapping[str, Array], blobs: Sequence[str]) -> dict[str, Array]:
    """Compute blobs with the NumPy interpreter.

    Raises:
        UnsupportedLayer: it does not know all layer types.
    """
    from dongfeng import reference

    way_out = "teach it (docs/own-layers.md), or verify against saved blobs"
    Problems(
        f"{layer.where}: the NumPy interpreter does not know this type; {way_out}"
        for layer in net.layers
        if layer.type not in reference.supported_types()
    ).refuse()
    return reference.run(net, arrays, blobs)


def read_saved(
    saved: SavedBlobs, net: Net, computed: Mapping[str, Array], *, given: Mapping[str, npt.ArrayLike]
) -> dict[str, Array]:
    """Read the saved ones of the blobs that the model computes.

    Args:
        saved: The saved blobs.
        net: The net.
        computed: Blob of the net -> what the model computes.
        given: Input blob -> array, where it does not come from the saved blobs.

    Raises:
        ConversionError: none is saved, or one has another shape.
    """
    # Where a layer overwrites an input, the array saved under its name is the input, unless that was given.
    inputs = {net.aliases.get(blob, blob) for blob in net.inputs} - given.keys()
    arrays = {blob: saved.read(blob) for blob in computed if blob in saved and blob not in inputs}
    if not arrays:
        raise ConversionError(f"{saved.path}: has no blob that the model computes, such as {listed(list(computed), 8)}")
    types = {top: layer.type for layer in net.layers for top in layer.tops}
    for blob, array in arrays.items():
        shape = computed[blob].shape
        if array.shape != shape and types[blob] != "DetectionOutput":  # whose number of rows depends on the data
            raise ConversionError(
                f'{saved.path}: blob "{blob}" is {show(array.shape)}, the model computes {show(shape)}; '
                "is it of this net, and at this size?"
            )
    return arrays


def input_arrays(
    net: Net, feeds: Mapping[str, npt.ArrayLike] | None, saved: SavedBlobs | None, seed: int
) -> dict[str, Array]:
    """Return the values of the inputs: given, saved or random."""
    if saved is None:
        return random_feeds(net, seed) if feeds is None else feed_arrays(net, feeds)
    given = dict(feeds or {})
    for blob in required_inputs(net):
        public = net.aliases.get(blob, blob)
        if blob in given or public in given:
            continue
        if public not in saved:
            raise ConversionError(f'{saved.path}: has no input "{public}", so nothing can be compared; save it too')
        given[blob] = saved.read(public)
    return feed_arrays(net, given)
