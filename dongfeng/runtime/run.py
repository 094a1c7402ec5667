"""Any blob of a net on ONNX Runtime, for checking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from dongfeng.formats.onnx import to_onnx
from dongfeng.layers.layer import Array
from dongfeng.net.feeds import feed_arrays, shaped_like
from dongfeng.net.graph import Net


def run(net: Net, feeds: Mapping[str, npt.ArrayLike], outputs: Sequence[str] | None = None) -> dict[str, Array]:
    """Compute blobs of a net in fp32 on ONNX Runtime's CPU provider.

    Args:
        net: The net; layers without weights get Caffe's fillers.
        feeds: Input blob -> array; where the net's input size is dynamic, or another, the array's shape counts. An
            input that no layer reads may be missing, and is no output then.
        outputs: Blobs to return, private in-place versions included; default: the net's outputs.

    Returns:
        Blob -> float32 array in Caffe's shape.

    Raises:
        ConversionError: a feed is missing or unknown, or an output is not a blob of the net.
        ShapeError: the net does not fit the feeds' shapes.
    """
    arrays = feed_arrays(net, feeds)
    net = shaped_like(net, arrays)
    wanted = list(net.outputs if outputs is None else outputs)
    # ONNX Runtime 1.23 hands out freed memory for an output that is an input.
    found = {blob: arrays[blob].copy() for blob in wanted if blob in arrays}
    computed = [blob for blob in wanted if blob not in found]
    if computed or not wanted:
        found |= _compute(net, arrays, computed)
    return {blob: found[blob] for blob in wanted}


def _compute(net: Net, arrays: Mapping[str, Array], blobs: list[str]) -> dict[str, Array]:
    """Return blobs that layers compute."""
    import onnxruntime

    model = to_onnx(net, outputs=blobs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
    )
    read = {value.name for value in session.get_inputs()}
    results = session.run(blobs, {blob: array for blob, array in arrays.items() if blob in read})
    return {blob: np.asarray(result, np.float32) for blob, result in zip(blobs, results, strict=True)}
