"""`Head`: input arithmetic and label maps as parts of an ONNX model.

A device then takes the bytes of an image and returns one byte per pixel; all arithmetic between happens there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from dongfeng.errors import ConversionError, ShapeError
from dongfeng.net.preprocessing import Preprocessing
from dongfeng.passes.graph import copied

if TYPE_CHECKING:
    import onnx

Layout = Literal["NHWC", "NCHW"]
Dim = int | str  # its size, or its name where it is dynamic
Attribute = int | str | list[int]
IMAGE, LABELS = "image", "labels"  # names of the input and the output
METADATA_IMAGE, METADATA_LABELS = "dongfeng.image_input", "dongfeng.labels_output"
SCOPE = "dongfeng.head/"  # every node's name begins with it
_MOST_LABELS = 256  # a label is one byte


@dataclass(frozen=True)
class Head:
    """Input arithmetic and label map that a model gets.

    Attributes:
        preprocessing: Arithmetic of the input, which then is an 8-bit image; None: the input stays.
        layout: Layout of the images: "NHWC", as images are in memory, or "NCHW".
        labels_hw: Height and width of the label map; None: the model gets none.
        scores: Name of the output with the scores that labels are computed from; None: the only one.
        keep_scores: Whether the scores stay an output.
    """

    preprocessing: Preprocessing | None = None
    layout: Layout = "NHWC"
    labels_hw: tuple[int, int] | None = None
    scores: str | None = None
    keep_scores: bool = False

    def put_on(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """Return a copy of a model with the head; see `with_image_input` and `with_labels`."""
        if self.preprocessing is not None:
            model = with_image_input(model, self.preprocessing, layout=self.layout)
        if self.labels_hw is not None:
            model = with_labels(model, self.labels_hw, scores=self.scores, keep_scores=self.keep_scores)
        return model


def with_image_input(
    model: onnx.ModelProto, preprocessing: Preprocessing, *, layout: Layout = "NHWC"
) -> onnx.ModelProto:
    """Return a copy of a model whose input is an 8-bit image; `(image - mean) * scale` is in the graph.

    Args:
        model: A model of one float32 input, (N, 3, H, W).
        preprocessing: Mean and scale of the arithmetic; the image has to have the network's size already.
        layout: Layout of the image; its channels are in BGR order.

    Returns:
        The model; its input is `image`, uint8.

    Raises:
        ShapeError: the input is no image of three channels.
    """
    from onnx import TensorProto, helper

    graph = _GraphEditor(model, IMAGE)
    source = graph.only_input()
    name, dims = source.name, _dims(source)
    if len(dims) != 4 or dims[1] != 3:
        raise ShapeError(f'input "{name}" has shape {tuple(dims)}; expected an image (N, 3, H, W)')
    # The cast comes first: TensorRT transposes no 8-bit values.
    graph.before("Cast", [IMAGE], f"{IMAGE}@float", to=TensorProto.FLOAT)
    planes = f"{IMAGE}@float"
    if layout == "NHWC":
        planes = graph.before("Transpose", [planes], f"{IMAGE}@planes", perm=[0, 3, 1, 2])
    mean = np.array(preprocessing.mean_bgr, np.float32).reshape(1, -1, 1, 1)
    shifted = graph.before("Sub", [planes, graph.constant("mean", mean)], f"{IMAGE}@shifted")
    graph.before("Mul", [shifted, graph.constant("scale", np.float32(preprocessing.scale))], name)
    shape = [dims[0], dims[2], dims[3], dims[1]] if layout == "NHWC" else dims
    source.CopyFrom(helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, shape))
    return graph.finished({METADATA_IMAGE: {"name": IMAGE, "layout": layout, "channel_order": "bgr"}})


def with_labels(
    model: onnx.ModelProto, size_hw: tuple[int, int], *, scores: str | None = None, keep_scores: bool = False
) -> onnx.ModelProto:
    """Return a copy of a model with a label map: half-pixel bilinear resizing, then the best class of each pixel.

    The labels are those of `dongfeng.runtime.labels.upsample`, except where two classes are within float32's rounding
    of each other. Of equal classes the one of the largest index wins, as in Caffe.

    Args:
        model: A model whose scores are float32, (N, C, h, w), at most 256 classes, h and w known.
        size_hw: Height and width of the label map.
        scores: Name of the output that holds the scores; None: the only one.
        keep_scores: Whether the scores stay an output.

    Returns:
        The model; its output `labels` is (N, H, W) uint8.

    Raises:
        ConversionError: there is no such output, or more than one to choose from.
        ShapeError: the scores have another shape, or their batch is dynamic and the ratio of sizes is not whole.
    """
    from onnx import TensorProto, helper

    graph = _GraphEditor(model, LABELS)
    source = graph.output(scores)
    name, dims = source.name, _dims(source)
    known = [side for side in dims[1:] if isinstance(side, int)]
    if len(dims) != 4 or len(known) != 3 or known[0] > _MOST_LABELS:
        raise ShapeError(f'output "{name}" has shape {tuple(dims)}; expected scores (N, C, h, w), C at most 256')
    batch, (classes, *small) = dims[0], known
    # ArgMax takes the first of equal classes, and not every runtime can take the last: the classes are reversed.
    order = graph.constant("reverse", np.arange(classes - 1, -1, -1, dtype=np.int64))
    reverse = graph.after("Gather", [name, order], f"{LABELS}@reverse", axis=1)
    large = graph.after("Resize", [reverse, *_size(graph, batch, classes, small, size_hw)], f"{LABELS}@scores",
                        mode="linear", coordinate_transformation_mode="half_pixel")  # fmt: skip
    best = graph.after("ArgMax", [large], f"{LABELS}@best", axis=1, keepdims=0)
    last = graph.constant("last", np.int64(classes - 1))
    index = graph.after("Sub", [last, best], f"{LABELS}@index")
    graph.after("Cast", [index], LABELS, to=TensorProto.UINT8)
    if not keep_scores:  # they become an inner value
        graph.model.graph.value_info.append(source)
        graph.model.graph.output.remove(source)
    graph.model.graph.output.append(helper.make_tensor_value_info(LABELS, TensorProto.UINT8, [batch, *size_hw]))
    return graph.finished({METADATA_LABELS: LABELS})


def _size(graph: _GraphEditor, batch: Dim, classes: int, small: list[int], size_hw: tuple[int, int]) -> list[str]:
    """Return the further inputs of Resize: factors where they are whole, which suit any batch, else the size."""
    if all(large % side == 0 for large, side in zip(size_hw, small, strict=True)):
        factors = [1, 1, *(large / side for large, side in zip(size_hw, small, strict=True))]
        return ["", graph.constant("factors", np.array(factors, np.float32))]
    if not isinstance(batch, int):
        raise ShapeError(
            f"labels of {size_hw[0]}x{size_hw[1]} from scores of {small[0]}x{small[1]}: with a dynamic batch the ratio "
            "has to be whole"
        )
    return ["", "", graph.constant("size", np.array([batch, classes, *size_hw], np.int64))]


class _GraphEditor:
    """A copy of a model, the nodes before and after it, and `name`, a new input or output."""

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        self.model = copied(model)
        self._before: list[onnx.NodeProto] = []
        if any(name in (*node.input, *node.output) for node in model.graph.node):
            raise ConversionError(f'the model has a value of its own called "{name}"; rename that')

    def only_input(self) -> onnx.ValueInfoProto:
        weights = {tensor.name for tensor in self.model.graph.initializer}
        inputs = [value for value in self.model.graph.input if value.name not in weights]
        if len(inputs) != 1:
            raise ConversionError(f"the model has {len(inputs)} inputs; expected one image")
        return inputs[0]

    def output(self, name: str | None) -> onnx.ValueInfoProto:
        outputs = {value.name: value for value in self.model.graph.output}
        if name not in outputs and (name is not None or len(outputs) != 1):
            raise ConversionError(f"say which output holds the scores: {', '.join(outputs)}; got {name}")
        return outputs[name if name is not None else next(iter(outputs))]

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        from onnx import numpy_helper

        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), f"{SCOPE}{name}"))
        return f"{SCOPE}{name}"

    def before(self, op_type: str, inputs: list[str], output: str, **attributes: Attribute) -> str:
        self._before.append(_node(op_type, inputs, output, attributes))
        return output

    def after(self, op_type: str, inputs: list[str], output: str, **attributes: Attribute) -> str:
        self.model.graph.node.append(_node(op_type, inputs, output, attributes))
        return output

    def finished(self, metadata: Mapping[str, object]) -> onnx.ModelProto:
        """Return the model with all its nodes, and with further entries in its metadata."""
        copies = [copied(node) for node in (*self._before, *self.model.graph.node)]
        del self.model.graph.node[:]
        self.model.graph.node.extend(copies)
        for key, value in metadata.items():
            self.model.metadata_props.add(key=key, value=json.dumps(value))
        return self.model


def _node(op_type: str, inputs: list[str], output: str, attributes: Mapping[str, Attribute]) -> onnx.NodeProto:
    from onnx import helper

    node = helper.make_node(op_type, inputs, [output], name=f"{SCOPE}{output}")
    node.attribute.extend(helper.make_attribute(name, value) for name, value in sorted(attributes.items()))
    return node


def _dims(value: onnx.ValueInfoProto) -> list[Dim]:
    """Return the size of each dimension, or its name where it is dynamic."""
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else (dim.dim_param or "?") for dim in dims]
