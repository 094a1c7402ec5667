"""What an ONNX file, ours or another's, has to look like to be run on images."""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dongfeng.backends.base import Tensor
from dongfeng.errors import ConversionError, ShapeError
from dongfeng.runtime.spec import FileSpec, from_metadata

if TYPE_CHECKING:
    import onnx

    from dongfeng.backends.base import Shape

_QUANTIZED_NODES = (b"QuantizeLinear", b"QLinearConv", b"ConvInteger")


def is_quantized(path: Path) -> bool:
    """Whether a file computes in int8: whether it names such a node, found without parsing it.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        try:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:  # it is empty
            return False
        with content:
            return any(content.find(name) >= 0 for name in _QUANTIZED_NODES)


def inputs_of(model: onnx.ModelProto) -> dict[str, Tensor]:
    """The inputs of a model that are no weights."""
    from onnx import TensorProto

    weights = {tensor.name for tensor in model.graph.initializer}
    return {
        value.name: Tensor(
            tuple(dim.dim_value or None for dim in value.type.tensor_type.shape.dim),
            value.type.tensor_type.elem_type == TensorProto.FLOAT,
        )
        for value in model.graph.input
        if value.name not in weights
    }


def spec_of(model: onnx.ModelProto, label: str) -> FileSpec:
    """Return what a model's metadata says of running it on images; see `from_metadata`."""
    return from_metadata({entry.key: entry.value for entry in model.metadata_props}, label)


def with_output(path: Path, blob: str) -> bytes:
    """The model of a file with one of its inner values as its only output.

    Raises:
        ConversionError: the file computes no such value.
    """
    import onnx

    model = onnx.load(path)
    if not any(blob in node.output for node in model.graph.node):
        raise ConversionError(
            f'{path}: its metadata says that "{blob}" holds the scores, but it computes no such value'
        )
    known = [value for value in (*model.graph.output, *model.graph.value_info) if value.name == blob]
    del model.graph.output[:]
    model.graph.output.append(known[0] if known else onnx.helper.make_empty_tensor_value_info(blob))
    return bytes(model.SerializeToString())


def choose_output(outputs: Mapping[str, Tensor], score_blob: str | None, source: str) -> tuple[str, tuple[int, ...]]:
    """Name and shape of the output that holds the scores.

    Args:
        outputs: The model's outputs.
        score_blob: Which one it is, where the file says so.
        source: What to call the file in an error.

    Returns:
        The name, and the shape: (1, C, h, w) or (1, C, ...), 0 where dynamic.

    Raises:
        ConversionError: there is no float32 output, or more than one.
        ShapeError: its shape is not that of scores.
    """
    names = [score_blob] if score_blob in outputs else [name for name, value in outputs.items() if value.is_float32]
    listed = ", ".join(f"{name} {_show(value.shape)}" for name, value in outputs.items())
    if len(names) != 1:
        what = "more than one output may hold the scores" if names else "no output holds float32 scores"
        raise ConversionError(
            f"{source}: {what} ({listed}); write a file whose only output is the scores, before argmax"
        )
    name = str(names[0])
    shape = outputs[name].shape
    n_classes = shape[1] if len(shape) in (2, 4) else None
    if shape[:1] not in ((1,), (None,)) or not n_classes:
        raise ShapeError(f"{source}: the scores are {_show(shape)}; expected (1, C, h, w) or (1, C), C known")
    return name, (1, n_classes, *(dim or 0 for dim in shape[2:]))


def takes_images(metadata: Mapping[str, str]) -> bool:
    """Whether a model's input are images as they are in memory, (1, H, W, 3) uint8, BGR: its metadata says so."""
    from dongfeng.passes.head import METADATA_IMAGE

    try:
        about = json.loads(metadata.get(METADATA_IMAGE, "null"))
    except ValueError:
        return False
    return isinstance(about, dict) and about.get("layout") == "NHWC"


def check_input(
    inputs: Mapping[str, Tensor],
    size_hw: tuple[int, int] | None,
    default_hw: tuple[int, int] | None,
    source: str,
    *,
    of_images: bool = False,
) -> tuple[int, int]:
    """Height and width of the input.

    Args:
        inputs: The model's inputs.
        size_hw: The size asked for, if any.
        default_hw: The size where the file has it dynamic and none is asked for.
        source: What to call the file in an error.
        of_images: Whether the input is (1, H, W, 3) uint8; see `takes_images`.

    Raises:
        ShapeError: the model does not take one image of three channels, or not of this size.
    """
    listed = ", ".join(f"{name} {_show(value.shape)}" for name, value in inputs.items())
    (first, *others) = inputs.values()
    shape = first.shape
    if of_images and len(shape) == 4:
        shape = (shape[0], shape[3], shape[1], shape[2])
    if (
        others
        or first.is_float32 == of_images
        or len(shape) != 4
        or shape[0] not in (1, None)
        or shape[1] not in (3, None)
    ):
        raise ShapeError(f"{source}: the inputs are {listed}; expected one float32 image (1, 3, H, W)")
    wanted = size_hw or (None, None)
    for have, want in zip(shape[2:], wanted, strict=True):
        if have is not None and want is not None and have != want:
            raise ShapeError(f"{source}: this file takes images of {shape[2]}x{shape[3]}, not {wanted[0]}x{wanted[1]}")
    height, width = (
        have or want or default
        for have, want, default in zip(shape[2:], wanted, default_hw or (None, None), strict=True)
    )
    if height is None or width is None:
        raise ShapeError(f"{source}: the file has a dynamic input size; give size=(height, width)")
    return height, width


def _show(shape: Shape) -> str:
    return f"({', '.join('?' if dim is None else str(dim) for dim in shape)})"
