"""Any blob of a net on ONNX Runtime, for checking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dongfeng.converters.onnx import to_onnx
from dongfeng.errors import ConversionError, ShapeError
from dongfeng.layers.layer import Array, Shape, show
from dongfeng.layers.resize import reshaped
from dongfeng.net import Net


def run(net: Net, feeds: Mapping[str, npt.ArrayLike], outputs: Sequence[str] | None = None) -> dict[str, Array]:
    """Compute blobs of a net in fp32 on ONNX Runtime's CPU provider.

    Args:
        net: The net; layers without weights get Caffe's fillers.
        feeds: Input blob -> array; where the net's input size is open, or another, the array's shape counts.
        outputs: Blobs to return, private in-place versions included; default: the net's outputs.

    Returns:
        Blob -> float32 array in Caffe's shape.

    Raises:
        ConversionError: a feed is missing or unknown, or an output is not a blob of the net.
        ShapeError: the net does not fit the feeds' shapes.
    """
    import onnxruntime

    arrays = feed_arrays(net, feeds)
    net = shaped_like(net, arrays)
    wanted = list(net.outputs if outputs is None else outputs)
    model = to_onnx(net, outputs=wanted)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
    )
    read = {value.name for value in session.get_inputs()}
    results = session.run(wanted, {blob: array for blob, array in arrays.items() if blob in read})
    return {blob: _float32(result) for blob, result in zip(wanted, results, strict=True)}


def _float32(result: Any) -> Array:
    return np.asarray(result, dtype=np.float32)


def feed_arrays(net: Net, feeds: Mapping[str, npt.ArrayLike]) -> dict[str, Array]:
    """Float32 arrays under the net's own input names; a name from the file serves for an input overwritten in place.

    Raises:
        ConversionError: a feed is missing or unknown.
    """
    own_names = {public: private for private, public in net.aliases.items() if private in net.inputs}
    arrays = {own_names.get(blob, blob): _float32(value) for blob, value in feeds.items()}
    if set(arrays) != set(net.inputs):
        raise ConversionError(f"the net's inputs are {sorted(net.inputs)}, got feeds for {sorted(feeds)}")
    return arrays


def shaped_like(net: Net, arrays: Mapping[str, Array]) -> Net:
    """The net for inputs of the arrays' shapes.

    Raises:
        ShapeError: the arrays do not fit the net's inputs, or the net does not fit their size.
    """
    shapes: dict[str, Shape] = {blob: array.shape for blob, array in arrays.items()}
    for blob, shape in net.inputs.items():
        got = shapes[blob]
        is_free = all(dim is None for dim in shape)
        if not is_free and (len(got) != len(shape) or (len(shape) > 1 and shape[1] not in (None, got[1]))):
            raise ShapeError(f'input "{blob}": expected {show(shape)}, got an array of {show(got)}')
    if dict(net.inputs) == shapes:
        return net
    sizes = {shape[2:] for shape in shapes.values() if len(shape) == 4}
    size_hw = sizes.pop() if len(sizes) == 1 else None
    layers = reshaped(net.inputs, net.layers, shapes, size_hw=size_hw)  # type: ignore[arg-type]
    return replace(net, inputs=shapes, layers=tuple(layers))
