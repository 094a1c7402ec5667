"""The arrays that a net is fed with when it is checked, given or random, and the net for their shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dongfeng.errors import ConversionError, ShapeError
from dongfeng.layers.layer import Array, Shape, show
from dongfeng.layers.resize import reshaped
from dongfeng.net.graph import Net


def required_inputs(net: Net) -> dict[str, Shape]:
    """Return the inputs that some layer reads, and their shapes; the others, such as labels, need no feed."""
    read = {bottom for layer in net.layers for bottom in layer.bottoms}
    return {blob: shape for blob, shape in net.inputs.items() if blob in read}


def feed_arrays(net: Net, feeds: Mapping[str, npt.ArrayLike]) -> dict[str, Array]:
    """Return float32 arrays under the net's own input names.

    Args:
        net: The net.
        feeds: Input blob -> array. An input that is overwritten in place may go by its name in the file; one that no
            layer reads may be missing.

    Raises:
        ConversionError: a feed is missing or unknown.
    """
    own_names = {public: private for private, public in net.aliases.items() if private in net.inputs}
    arrays = {own_names.get(blob, blob): np.asarray(value, dtype=np.float32) for blob, value in feeds.items()}
    if not required_inputs(net).keys() <= arrays.keys() <= net.inputs.keys():
        raise ConversionError(f"the net's inputs are {sorted(net.inputs)}, got feeds for {sorted(feeds)}")
    return arrays


def shaped_like(net: Net, arrays: Mapping[str, Array]) -> Net:
    """Return the net for inputs of the arrays' shapes; inputs without an array are left out.

    Raises:
        ShapeError: the arrays do not fit the net's inputs, or the net does not fit their size.
    """
    inputs = {blob: shape for blob, shape in net.inputs.items() if blob in arrays}
    shapes: dict[str, Shape] = {blob: arrays[blob].shape for blob in inputs}
    for blob, shape in inputs.items():
        got = shapes[blob]
        is_free = all(dim is None for dim in shape)
        if not is_free and (len(got) != len(shape) or (len(shape) > 1 and shape[1] not in (None, got[1]))):
            raise ShapeError(f'input "{blob}": expected {show(shape)}, got an array of {show(got)}')
    sizes = {array.shape[2:] for array in arrays.values() if array.ndim == 4}
    size_hw = sizes.pop() if len(sizes) == 1 else None
    layers = reshaped(inputs, net.layers, shapes, size_hw=size_hw)
    return replace(net, inputs=shapes, layers=tuple(layers))


def random_feeds(net: Net, seed: int = 0) -> dict[str, Array]:
    """Draw values for every input that is read: standard normal, or whole numbers where a layer takes them for indices.

    Raises:
        ShapeError: the input size is dynamic.
    """
    net = replace(net, inputs=required_inputs(net))
    shapes = net.shapes()
    rng = np.random.default_rng(seed)
    feeds = {}
    for blob in net.inputs:
        below = _index_range(net, blob, shapes)
        if below is None:
            feeds[blob] = rng.standard_normal(shapes[blob], dtype=np.float32)
        else:
            feeds[blob] = rng.integers(0, below, shapes[blob]).astype(np.float32)
    return feeds


def _index_range(net: Net, blob: str, shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """Return the number of whole numbers, from 0 on, that an input may hold; None where it may hold any value."""
    for layer in net.layers:
        if layer.bottoms[:1] == (blob,) and layer.type == "Embed":
            return int(layer.params.embed_param.input_dim)
        if layer.bottoms[1:2] == (blob,) and layer.type == "BatchReindex":
            return shapes[layer.bottoms[0]][0]
        if layer.bottoms[1:2] == (blob,) and layer.type in ("LSTM", "RNN"):
            return 2  # 0 where a sequence begins, else 1
    return None
