"""The inputs of a Caffe net: headers, Input and data layers as named inputs, and the preprocessing they carry."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

from dongfeng.caffe.message import Message
from dongfeng.errors import DongfengWarning, PrototxtError, UnsupportedLayer
from dongfeng.layers.layer import Layer, Shape
from dongfeng.net.preprocessing import Preprocessing

_DYNAMIC: Shape = (None, None, None, None)  # of an image whose shape the file leaves out

# Data layers whose first top is the image and whose others are labels.
IMAGE_SOURCES = frozenset(
    {
        *("AnnotatedData", "Data", "DenseImageData", "ImageData", "ImageSegData", "MemoryData"),
        *("VideoData", "WindowData"),
    }
)
# Losses, metrics and sinks, which end a training net and are left out for inference.
TRAINING_ENDS = frozenset(
    {
        *("Accuracy", "ContrastiveLoss", "DetectionEvaluate", "EuclideanLoss", "HDF5Output", "HingeLoss"),
        *("InfogainLoss", "L1Loss", "MultiBoxLoss", "MultinomialLogisticLoss", "RegionLoss", "SegAccuracy"),
        *("SigmoidCrossEntropyLoss", "SmoothL1Loss", "SoftmaxWithLoss"),
    }
)


@dataclass
class NetInputs:
    """The inputs of a net, its computing layers, and its preprocessing."""

    shapes: dict[str, Shape] = field(default_factory=dict)
    layers: list[Message] = field(default_factory=list)
    preprocessing: Preprocessing | None = None


def read_inputs(net: Message, *, filename: str | None = None) -> NetInputs:
    """Split a NetParameter into its inputs and its computing layers.

    Data layers become inputs with batch 1. Losses and metrics are left out, and so are labels, whatever else reads
    them, and inputs that feed nothing else.

    Raises:
        PrototxtError: headers and shapes do not match in number, or an input is named twice.
        UnsupportedLayer: there is nothing but losses and metrics.
    """
    result = NetInputs()
    labels: set[str] = set()
    dropped: list[Message] = []
    for blob, shape in zip(net.input, _header_shapes(net, filename), strict=True):
        _declare(result, blob, shape, filename, net.line("input"))
    for layer in net.layer:
        sources = _sources(layer, net.layer, filename)
        if sources is not None:
            for blob, source_shape in sources.items():
                if source_shape is None:
                    labels.add(blob)
                else:
                    _declare(result, blob, source_shape, filename, layer.line())
            if layer.has("transform_param"):
                result.preprocessing = _preprocessing(layer.transform_param)
        elif layer.type in TRAINING_ENDS or labels.intersection(layer.bottom):
            labels.update(set(layer.top) - set(layer.bottom))
            dropped.append(layer)
        else:
            result.layers.append(layer)
    _drop_inputs_of(dropped, result, filename)
    return result


def _declare(result: NetInputs, blob: str, shape: Shape, filename: str | None, line: int | None) -> None:
    if blob in result.shapes:
        raise PrototxtError(f'input "{blob}" is declared twice', file=filename, line=line)
    result.shapes[blob] = shape


def _sources(layer: Message, layers: Sequence[Message], filename: str | None) -> dict[str, Shape | None] | None:
    """Map the tops of a data layer to their shapes, None for a label; a layer that computes has None."""
    if layer.type == "Input":
        return dict(zip(layer.top, _input_shapes(layer, filename), strict=True))
    if layer.bottom:
        return None
    if layer.type in IMAGE_SOURCES:
        return {top: None if index else _data_shape(layer) for index, top in enumerate(layer.top)}
    if layer.type == "HDF5Data":
        return {top: None if _only_feeds_losses(top, layers) else _DYNAMIC for top in layer.top}
    return None


def _drop_inputs_of(dropped: Sequence[Message], result: NetInputs, filename: str | None) -> None:
    """Remove the inputs that only dropped layers read."""
    if dropped and not result.layers:
        first = Layer(dropped[0].name, dropped[0].type, (), (), line=dropped[0].line(), file=filename)
        raise UnsupportedLayer([f"{first.where}: the net has nothing but losses and metrics"])
    kept = {blob for layer in result.layers for blob in layer.bottom}
    for blob in {blob for layer in dropped for blob in layer.bottom} - kept:
        result.shapes.pop(blob, None)


def _dims(values: Sequence[int]) -> Shape:
    return tuple(value if value > 0 else None for value in values)  # `write_caffe` writes a dynamic dimension as 0


def _header_shapes(net: Message, filename: str | None) -> list[Shape]:
    """Return the shapes of `input:` headers, from input_shape or groups of four input_dim."""
    count = len(net.input)
    shapes = [_dims(shape.dim) for shape in net.input_shape]
    if not shapes:
        dims = net.input_dim
        shapes = [_dims(dims[start : start + 4]) for start in range(0, len(dims), 4)]
        if len(dims) % 4:
            shapes.append(())
    if len(shapes) != count:
        given = f"{len(net.input_shape)} input_shape" if net.input_shape else f"{len(net.input_dim)} input_dim"
        line = net.line("input") if net.input else None
        raise PrototxtError(
            f"{count} input and {given}: expected one input_shape, or four input_dim, for each input",
            file=filename,
            line=line,
        )
    return shapes


def _input_shapes(layer: Message, filename: str | None) -> list[Shape]:
    """Return the shapes of an Input layer's tops: the file has none, one for all, or one each."""
    count = len(layer.top)
    shapes = [_dims(shape.dim) for shape in layer.input_param.shape] or [_DYNAMIC]
    if len(shapes) not in (1, count):
        raise PrototxtError(
            f'layer "{layer.name}" (Input): {count} tops and {len(shapes)} shapes: expected one shape, or one each',
            file=filename,
            line=layer.line(),
        )
    return shapes if len(shapes) == count else shapes * count


def _data_shape(layer: Message) -> Shape:
    """Return the shape of a data layer's image, batch 1; None where its parameters leave a dimension out."""
    if layer.type == "MemoryData":
        memory = layer.memory_data_param
        return (1, *_dims((memory.channels, memory.height, memory.width)))
    transform, image = layer.transform_param, layer.image_data_param
    channels: int | None = None
    if transform.force_gray or (layer.type == "ImageData" and not image.is_color):
        channels = 1
    elif layer.type in ("ImageData", "WindowData") or transform.force_color or len(transform.mean_value) == 3:
        channels = 3
    crop_hw = _crop(transform) or _crop(layer.window_data_param)
    if crop_hw:
        return (1, channels, *crop_hw)
    resize = transform.resize_param
    size = (resize.height, resize.width) if resize.resize_mode == "WARP" else (0, 0)
    return (1, channels, *_dims((image.new_height or size[0], image.new_width or size[1])))


def _crop(param: Message) -> tuple[int, int] | None:
    """Return the height and width that a message crops to: `crop_size`, or one field each (the release's Caffe)."""
    if param.crop_size:
        return (param.crop_size, param.crop_size)
    if param.type_name == "TransformationParameter" and param.crop_h and param.crop_w:
        return (param.crop_h, param.crop_w)
    return None


def _preprocessing(transform: Message) -> Preprocessing:
    if transform.has("mean_file"):
        warnings.warn(
            f"mean_file {transform.mean_file!r} is not read; the preprocessing has mean 0: pass mean=... instead",
            DongfengWarning,
            stacklevel=2,
        )
    return Preprocessing(mean_bgr=transform.mean_value or (0.0,), scale=transform.scale, crop_hw=_crop(transform))


def _only_feeds_losses(blob: str, layers: Sequence[Message]) -> bool:
    readers = [layer for layer in layers if blob in layer.bottom]
    return bool(readers) and all(layer.type in TRAINING_ENDS and layer.bottom[0] != blob for layer in readers)
