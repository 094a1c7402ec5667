"""Weight blobs that layers share by name, as `param { name: "w" }` asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dongfeng.errors import ShapeError
from dongfeng.layers.infer import WeightShapes
from dongfeng.layers.layer import fits, show
from dongfeng.layers.shapes import product


class BlobPlace(NamedTuple):
    """The place of a weight blob: the index of its layer in the net, and its own in the layer."""

    layer: int
    blob: int


def owners(weights: Sequence[WeightShapes]) -> list[list[BlobPlace]]:
    """Find the blob that holds the values of each weight blob.

    Args:
        weights: The weight blobs of every layer, in the net's order.

    Returns:
        For each blob of each layer its own place, or that of the first blob of its name.

    Raises:
        ShapeError: blobs of one name differ in shape, or in size where the later one's `share_mode` is PERMISSIVE.

    Source: Caffe, Net::AppendParam.
    """
    first: dict[str, BlobPlace] = {}
    found = []
    for layer, wanted in enumerate(weights):
        specs = wanted.layer.params.param
        names = [spec.name for spec in specs[: len(wanted.shapes)]]
        places = [BlobPlace(layer, blob) for blob in range(len(wanted.shapes))]
        for here, name in zip(tuple(places), names, strict=False):
            if name:
                owner = places[here.blob] = first.setdefault(name, here)
                _check_shape(weights, here, owner, specs[here.blob].share_mode == "PERMISSIVE")
        found.append(places)
    return found


def _check_shape(weights: Sequence[WeightShapes], here: BlobPlace, owner: BlobPlace, is_permissive: bool) -> None:
    shape, owned = (weights[place.layer].shapes[place.blob] for place in (here, owner))
    layer, owning = weights[here.layer].layer, weights[owner.layer].layer
    shares = f'{layer.where}: shares "{layer.params.param[here.blob].name}" with layer "{owning.name}", whose blob'
    if is_permissive:
        size, owned_size = product(shape), product(owned)
        if size is not None and owned_size is not None and size != owned_size:
            raise ShapeError(f"{shares} has {owned_size} values ({show(owned)}), not {size} ({show(shape)})")
    elif not fits(shape, owned):
        advice = "share_mode: PERMISSIVE allows other shapes of the same size"
        raise ShapeError(f"{shares} is {show(owned)}, not {show(shape)}; {advice}")
