"""The interpreter: computes a net's blobs layer by layer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from dongfeng.errors import ConversionError, ShapeError, UnsupportedLayer, WeightsMismatch
from dongfeng.net.graph import Layer, Net
from dongfeng.reference.arithmetic import overwritten_first
from dongfeng.reference.registry import COMPUTATIONS, Array
from dongfeng.reference.weights import sharing

# Types whose top may have its bottom's memory in Caffe; all others have their own.
_SHARING = frozenset({"Split", "Flatten", "Reshape", "Concat", "Slice", "Permute"})


def run(net: Net, feeds: Mapping[str, npt.ArrayLike], outputs: Sequence[str] | None = None) -> dict[str, Array]:
    """Compute blobs of a net in NumPy, as Caffe does on the CPU.

    Layers take the shapes of the feeds as they come, as Caffe does after a reshape of its inputs: nothing is resized
    to fit. Layers that share memory, or work in place, have the side effects that they have in Caffe.

    Args:
        net: The net; layers without weights get Caffe's fillers.
        feeds: Input blob -> array. An input that is overwritten in place may go by its name in the file; one that no
            layer reads may be missing.
        outputs: Blobs to return; default: all. Layers behind the last one that writes one of them are not run.

    Returns:
        Blob -> float32 array in Caffe's shape.

    Raises:
        ConversionError: a feed is missing or unknown, or an output is not a blob of the net.
        UnsupportedLayer: naming all layers of unknown type, or a setting that cannot be computed.
        ShapeError: blobs do not fit together; the message names the layer.
        WeightsMismatch: a layer's weights are not its own, or missing where Caffe's filler is random.
    """
    values = _fed(net, feeds)
    layers, wanted = _needed(net, values, outputs)
    _check_types(layers)
    with sharing():
        return _computed(net, layers, values, wanted)


def _computed(net: Net, layers: Sequence[Layer], values: dict[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
    """Run the layers; `values` holds the inputs, and is used up."""
    keep = set(wanted)
    last_reader = {bottom: index for index, layer in enumerate(layers) for bottom in layer.bottoms}
    results: dict[str, Array] = {}  # of blobs that were overwritten since
    for index, layer in enumerate(layers):
        bottoms = [values[bottom] for bottom in layer.bottoms]
        in_place = [
            (bottom, top)
            for bottom, top in zip(layer.bottoms, layer.tops, strict=False)
            if net.aliases.get(bottom, bottom) == net.aliases.get(top, top)
        ]
        if in_place and layer.type == "Eltwise":
            bottoms = overwritten_first(layer, bottoms)
        values.update(zip(layer.tops, _own_memory(layer, bottoms, run_layer(layer, bottoms)), strict=True))
        for bottom, top in in_place:
            if bottom in keep:
                results[bottom] = values[bottom].copy()
            if values[bottom].shape == values[top].shape:  # in its memory, where blobs that share it see the change
                values[bottom][...] = values[top]
                values[top] = values[bottom]
        for blob in (*layer.bottoms, *layer.tops):
            if blob not in keep and last_reader.get(blob, index) <= index:
                values.pop(blob, None)
    return {blob: results[blob] if blob in results else values[blob] for blob in wanted}


def run_layer(layer: Layer, bottoms: Sequence[npt.ArrayLike]) -> list[Array]:
    """Compute the tops of one layer.

    Args:
        layer: The layer.
        bottoms: One array for each of its bottoms.

    Returns:
        float32 arrays in Caffe's shapes; they may share memory with the bottoms.

    Raises:
        UnsupportedLayer: its type is unknown, or a setting of it cannot be computed.
        ShapeError: the bottoms do not fit.
        WeightsMismatch: its weights do not fit.
    """
    _check_types([layer])
    computation = COMPUTATIONS[layer.type]
    arrays = [np.asarray(bottom, dtype=np.float32) for bottom in bottoms]
    try:
        computation.check_counts(layer, len(arrays))
        with np.errstate(all="ignore"):  # infinities and NaN are results, as in Caffe
            tops = [np.asarray(top, dtype=np.float32, order="C") for top in computation.forward(layer, arrays)]
    except (ShapeError, WeightsMismatch) as exc:
        raise type(exc)(f"{layer.where}: {exc}") from exc
    except UnsupportedLayer as exc:
        raise UnsupportedLayer([f"{layer.where}: {problem}" for problem in exc.problems]) from exc
    return tops


def _fed(net: Net, feeds: Mapping[str, npt.ArrayLike]) -> dict[str, Array]:
    """Copy the feeds, under the net's own input names."""
    own_names = {public: private for private, public in net.aliases.items() if private in net.inputs}
    arrays = {own_names.get(blob, blob): np.array(value, np.float32, order="C") for blob, value in feeds.items()}
    read = {bottom for layer in net.layers for bottom in layer.bottoms}
    if not net.inputs.keys() & read <= arrays.keys() <= net.inputs.keys():
        raise ConversionError(f"the net's inputs are {sorted(net.inputs)}, got feeds for {sorted(feeds)}")
    return arrays


def _needed(net: Net, fed: Collection[str], outputs: Sequence[str] | None) -> tuple[Sequence[Layer], list[str]]:
    """Find the layers to run, and the blobs to return."""
    producer = {top: index for index, layer in enumerate(net.layers) for top in layer.tops}
    if outputs is None:
        return net.layers, [*fed, *producer]
    unknown = [blob for blob in outputs if blob not in producer and blob not in fed]
    if unknown:
        raise ConversionError(f"the net {net.name!r} has no blob {', '.join(map(repr, unknown))}")
    end = max((producer.get(blob, -1) for blob in outputs), default=-1)
    return net.layers[: end + 1], list(outputs)


def _check_types(layers: Sequence[Layer]) -> None:
    unknown = [f"{layer.where}: unsupported layer type" for layer in layers if layer.type not in COMPUTATIONS]
    if unknown:
        raise UnsupportedLayer(unknown)


def _own_memory(layer: Layer, bottoms: Sequence[Array], tops: Sequence[Array]) -> list[Array]:
    """Return the tops, as copies where Caffe gives them memory of their own."""
    if layer.type in _SHARING:
        return list(tops)
    return [top.copy() if any(np.may_share_memory(top, bottom) for bottom in bottoms) else top for top in tops]
