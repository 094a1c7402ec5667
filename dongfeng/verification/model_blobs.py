"""The blobs of an ONNX model: which blob of the net each stands for, and what ONNX Runtime computes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from dongfeng.errors import ConversionError
from dongfeng.layers.layer import Array
from dongfeng.net.fold import Counterpart, folded_blobs
from dongfeng.net.graph import Net
from dongfeng.passes.graph import copied

if TYPE_CHECKING:
    import onnx


def copy_of(model: str | PathLike[str] | onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a model, or the model of a file, that may be changed.

    Raises:
        ConversionError: the file is no ONNX model.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if isinstance(model, onnx.ModelProto):
        return copied(model)
    try:
        proto = onnx.load_model(model)
    except DecodeError as exc:
        raise ConversionError(f"{model}: not an ONNX model") from exc
    if not proto.graph.node:
        raise ConversionError(f"{model}: not an ONNX model, or one without nodes")
    return proto


def leave_out_inputs(model: onnx.ModelProto, unread: Collection[str]) -> None:
    """Take inputs that nothing reads out of the model."""
    for value in [value for value in model.graph.input if value.name in unread]:
        model.graph.input.remove(value)


def origins_of(net: Net, model: onnx.ModelProto, folded: bool | None) -> dict[str, Counterpart]:
    """Map each blob of the model to its counterpart in the net, in the net's order.

    Raises:
        ConversionError: the model is another net's.
    """
    computed = {name for node in model.graph.node for name in node.output}
    plain = {blob: Counterpart(blob, None) for blob in net.inputs}
    plain.update({top: Counterpart(top, layer) for layer in net.layers for top in layer.tops})
    with_folded = folded_blobs(net)
    if folded is None:
        folded = computed.isdisjoint(plain.keys() - with_folded.keys())
    blobs = with_folded if folded else plain
    inputs = {value.name for value in model.graph.input}
    if not inputs <= {name for name, origin in blobs.items() if origin.layer is None}:
        raise ConversionError(f"the model's inputs are {sorted(inputs)}, the net's {sorted(net.inputs)}")
    if computed.isdisjoint(name for name, origin in blobs.items() if origin.layer is not None):
        raise ConversionError(f"the model computes no blob of the net {net.name!r}")
    return {name: origin for name, origin in blobs.items() if origin.layer is None or name in computed}


def compute_blobs(
    model: onnx.ModelProto, origins: Mapping[str, Counterpart], arrays: Mapping[str, Array]
) -> dict[str, Array]:
    """Run the model with every blob as an output; its outputs are changed.

    Returns:
        Blob of the net -> what the model computes, float32.

    Raises:
        ConversionError: ONNX Runtime refuses the model or fails.
    """
    import onnxruntime
    from onnx import helper

    names = [name for name, origin in origins.items() if origin.layer is not None]
    feeds = {value.name: arrays[origins[value.name].blob] for value in model.graph.input}
    known = {value.name: value for value in (*model.graph.output, *model.graph.value_info)}
    outputs = [known.get(name) or helper.make_empty_tensor_value_info(name) for name in names]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
        )
        values = session.run(names, feeds)
    except Exception as exc:  # ONNX Runtime's exceptions have no base class of their own
        raise ConversionError(f"ONNX Runtime cannot run the model: {' '.join(str(exc).split())}") from exc
    return {origins[name].blob: np.asarray(value, np.float32) for name, value in zip(names, values, strict=True)}
