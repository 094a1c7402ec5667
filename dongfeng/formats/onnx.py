"""From a `Net` to an ONNX model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from typing import TYPE_CHECKING, Literal

from dongfeng.errors import ConversionError, Problems
from dongfeng.formats.onnx_dynamic import Sizes, dynamic_sizes, static_sizes
from dongfeng.formats.versions import OPSET
from dongfeng.layers.infer import layer_types
from dongfeng.layers.layer import Layer
from dongfeng.layers.onnx_graph import OnnxGraph
from dongfeng.net.cut import needed_layers, requested_outputs
from dongfeng.net.graph import Net
from dongfeng.net.preprocessing import METADATA_PREPROCESSING
from dongfeng.net.weights import fill
from dongfeng.support.files import replacing

if TYPE_CHECKING:
    import onnx

MIN_OPSET, MAX_OPSET = 11, 28  # checked on all of the golden corpus; 28 is the newest that ONNX Runtime 1.32 reads
_AXES = ("batch", "channels", "height", "width")  # names of dynamic input axes


def to_onnx(
    net: Net,
    path: str | PathLike[str] | None = None,
    *,
    opset: int = OPSET,
    outputs: Sequence[str] | None = None,
    dynamic: bool | Literal["batch"] = False,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Convert a net to ONNX; blobs keep their names, nothing is folded.

    Args:
        net: A net; layers without weights get Caffe's fillers.
        path: File to write, complete or not at all; None: only return the model.
        opset: ONNX opset, 11 to 28 or the newest that onnx knows. TensorRT 8.2 (Jetson TX2) reads 13 at most.
        outputs: Blobs to compute; default: the net's outputs. Layers they do not need are left out.
        dynamic: True: batch, height and width are dynamic (only the batch, with a warning, where an inner product
            fixes the size); "batch": only the batch; False: all sizes are the net's.
        metadata: Further entries of the model's metadata; the net's preprocessing is always there.

    Returns:
        The model. ArgMax outputs are int64; everything else is float32.

    Raises:
        ConversionError: the opset is out of range, or an output is not a blob of the net.
        ShapeError: the input size is dynamic (use `Net.resize`, or `dynamic`).
        UnsupportedLayer: naming all layers that cannot be expressed.
        WeightsMismatch: a layer has no weights.
    """
    import onnx

    newest = min(MAX_OPSET, onnx.defs.onnx_opset_version())
    if not MIN_OPSET <= opset <= newest:
        raise ConversionError(f"opset {opset} is out of range: {MIN_OPSET} to {newest} with onnx {onnx.__version__}")
    requested = requested_outputs(net, outputs)
    sizes = dynamic_sizes(net, dynamic) if dynamic else static_sizes(net)
    net = fill(net)
    layers = needed_layers(net.layers, requested)
    graph = _emit(layers, opset, sizes, {*net.inputs, *requested})
    model = _completed(graph, net, layers, requested)
    known = {} if net.preprocessing is None else {METADATA_PREPROCESSING: json.dumps(asdict(net.preprocessing))}
    onnx.helper.set_model_props(model, {**known, **(metadata or {})})
    if path is not None:
        with replacing(path) as temporary:
            onnx.save_model(model, temporary)
    return model


def _completed(graph: OnnxGraph, net: Net, layers: Sequence[Layer], outputs: Sequence[str]) -> onnx.ModelProto:
    """Add inputs, outputs, the shapes of all blobs between, and versions to the graph's model."""
    from onnx import helper

    read = {bottom for layer in layers for bottom in layer.bottoms} | set(outputs)
    between = [top for layer in layers for top in layer.tops if top not in outputs and top in read]
    model, opset_id = graph.model, helper.make_opsetid("", graph.opset)
    model.graph.name = net.name or "net"
    model.graph.input.extend(_info(blob, graph, _AXES) for blob in net.inputs if blob in read)
    model.graph.output.extend(_info(blob, graph) for blob in outputs)
    model.graph.value_info.extend(_info(blob, graph) for blob in between)
    model.opset_import.append(opset_id)
    model.ir_version = helper.find_min_ir_version_for([opset_id])
    model.producer_name = "dongfeng"
    return model


def _emit(layers: Sequence[Layer], opset: int, sizes: Sizes, reserved: set[str]) -> OnnxGraph:
    """Emit the nodes of all layers.

    Raises:
        UnsupportedLayer: naming every layer that has no form in this opset, or none with dynamic sizes.
    """
    graph = OnnxGraph(opset, sizes.shapes, reserved)
    graph.size_of.update(sizes.size_of)
    problems = Problems()
    for type_ in layer_types(layers):
        graph.scope = type_.layer.name
        with problems.collected(type_.layer.where):
            type_.emit(graph)
    problems.refuse()
    return graph


def _info(blob: str, graph: OnnxGraph, names: Sequence[str] = ()) -> onnx.ValueInfoProto:
    """Describe a blob by its type and shape; dynamic axes are named where `names` has one for them."""
    from onnx import TensorProto, helper

    element = TensorProto.INT64 if blob in graph.integer_blobs else TensorProto.FLOAT
    axes = [*names, *[None] * len(graph.shapes[blob])]
    dims = [name if dim is None else dim for dim, name in zip(graph.shapes[blob], axes, strict=False)]
    return helper.make_tensor_value_info(blob, element, dims)
