"""Between a `Net` and Caffe's files."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Sequence
from os import PathLike, fspath
from typing import Any

from dongfeng.caffe import caffemodel as caffemodel_file
from dongfeng.caffe import prototxt as prototxt_file
from dongfeng.caffe.caffemodel import LayerBlobs
from dongfeng.caffe.message import Message, message
from dongfeng.caffe.rules import filter_net
from dongfeng.caffe.upgrade import upgrade
from dongfeng.errors import DongfengWarning, PrototxtError, UnsupportedLayer
from dongfeng.formats.caffe_inputs import IMAGE_SOURCES, TRAINING_ENDS, read_inputs
from dongfeng.layers.base import is_known, problem_of_type
from dongfeng.layers.infer import weight_shapes
from dongfeng.layers.layer import Layer
from dongfeng.net.aliasing import refuse_aliasing
from dongfeng.net.graph import Net
from dongfeng.net.preprocessing import Preprocessing
from dongfeng.net.sharing import owners
from dongfeng.net.weights import load_caffemodel
from dongfeng.support.files import write_whole

# Fields that Layer holds itself, and those that are used up once the phase is chosen.
_OWN_FIELDS = ("name", "type", "bottom", "top", "blobs", "include", "exclude")

_PHASED = ("BatchNorm", "Dropout")  # types that compute otherwise in training


def read_caffe(
    prototxt: str | PathLike[str],
    caffemodel: str | PathLike[str] | None = None,
    *,
    phase: str = "TEST",
    stages: Sequence[str] = (),
    level: int = 0,
    strict: bool = True,
) -> Net:
    """Read a Caffe network, with or without its weights.

    Args:
        prototxt: Network text file; phase rules are applied, data layers become inputs.
        caffemodel: Weight file; without one the net has structure only.
        phase: "TEST" or "TRAIN".
        stages: Stages for the include/exclude rules, besides those in the file's `state`.
        level: Level for the same rules.
        strict: An unknown field is an error; otherwise it is warned of and skipped.

    Returns:
        The net, phase `phase`.

    Raises:
        PrototxtError: the text is no Caffe network; the message has file, line and column.
        CaffemodelError: the weight file cannot be read.
        WeightsMismatch: the weights are not of this net.
        UnsupportedLayer: naming all layers that are not supported.
        ShapeError: blobs do not fit together, as far as sizes are known.
        OSError: a file cannot be opened.

    Source: Caffe, Net::Net, Net::FilterNet, Net::Init, Net::CopyTrainedLayersFrom.
    """
    path = fspath(prototxt)
    text = _read_text(path, strict)
    text = filter_net(text, phase=phase, stages=stages, level=level, filename=path)
    net = net_from_message(text, phase=phase, filename=path)
    return net if caffemodel is None else load_caffemodel(net, caffemodel)


def _read_text(path: str, strict: bool) -> Message:
    """Read and upgrade a network file.

    Raises:
        PrototxtError: the file is no network, or has unknown fields.
        UnsupportedLayer: it has unknown fields, and layers of unknown types, to which they mostly belong.
    """
    try:
        return upgrade(prototxt_file.read(path, strict=strict), filename=path)
    except PrototxtError as exc:
        if strict and (problems := _unknown_types(path)):
            raise UnsupportedLayer([*problems, str(exc)]) from exc
        raise


def _unknown_types(path: str) -> list[str]:
    """List what to do about each layer of unknown type, whatever else is wrong with the file."""
    with warnings.catch_warnings(), contextlib.suppress(PrototxtError):
        warnings.simplefilter("ignore", DongfengWarning)
        text = upgrade(prototxt_file.read(path, strict=False), filename=path)
        return [problem_of_type(_layer(part, "TEST", path)) for part in text.layer if not _is_known(part.type)]
    return []


def _is_known(type_name: str) -> bool:
    return is_known(type_name) or type_name in IMAGE_SOURCES | TRAINING_ENDS | {"Input", "HDF5Data"}


def net_from_message(net: Message, *, phase: str = "TEST", filename: str | None = None) -> Net:
    """Build a `Net` from a filtered, upgraded NetParameter."""
    inputs = read_inputs(net, filename=filename)
    layers = [_layer(part, phase, filename) for part in inputs.layers]
    if not layers and not inputs.shapes:
        raise PrototxtError("the network has no layers in this phase", file=filename)
    result = Net.from_inplace(net.name, inputs.shapes, layers, preprocessing=inputs.preprocessing, source=filename)
    refuse_aliasing(result)
    owners(weight_shapes(result.inputs, result.layers))  # refuses blobs that cannot be shared
    return result


def _layer(part: Message, phase: str, filename: str | None) -> Layer:
    if phase == "TRAIN" and part.type in _PHASED and not part.has("phase"):
        part = part.replace(phase=phase)  # a layer inherits its net's phase
    return Layer(
        name=part.name,
        type=part.type,
        bottoms=part.bottom,
        tops=part.top,
        params=part.replace(**dict.fromkeys(_OWN_FIELDS)),
        line=part.line(),
        file=filename,
    )


def write_caffe(
    net: Net, prototxt: str | PathLike[str], caffemodel: str | PathLike[str] | None = None, *, half: bool = False
) -> None:
    """Write a net as Caffe files that Caffe itself loads; reading them gives the same net.

    The prototxt begins with `Input` layers, which carry the preprocessing as transform_param (Caffe ignores it there).
    A dynamic dimension is written as 0, for which Caffe wants a number. The caffemodel holds names, types, bottoms,
    tops and blobs, never parameters. Each file appears complete or not at all.

    Args:
        net: The net.
        prototxt: Network file to write.
        caffemodel: Weight file to write, if any.
        half: Store weights in half precision, in NVCaffe's form.

    Raises:
        OSError: a file cannot be written.
    """
    text = prototxt_file.format_text(net_message(net))
    if caffemodel is not None:
        records = [
            LayerBlobs(layer.name, layer.type, layer.bottoms, layer.tops, layer.blobs, (False,) * len(layer.blobs))
            for layer in [*_input_layers(net), *net.inplace_layers()]
        ]
        caffemodel_file.write(caffemodel, net.name, records, half=half)
    write_whole(prototxt, text)


def net_message(net: Net) -> Message:
    """Return a net's NetParameter: its name, an `Input` layer per input, its layers in Caffe's in-place form."""
    layers = [*_input_layers(net), *net.inplace_layers()]
    return message("NetParameter", name=net.name or None, layer=[_layer_message(layer) for layer in layers])


def _layer_message(layer: Layer) -> Message:
    own: dict[str, Any] = {"name": layer.name, "type": layer.type, "bottom": layer.bottoms, "top": layer.tops}
    return message("LayerParameter", **own, **dict(layer.params.items()))


def _input_layers(net: Net) -> Iterable[Layer]:
    for blob, shape in net.inplace_inputs().items():
        fields: dict[str, Any] = {"input_param": {"shape": {"dim": [dim or 0 for dim in shape]}}}
        if net.preprocessing is not None:
            fields["transform_param"] = _transform(net.preprocessing)
        yield Layer(blob, "Input", (), (blob,), message("LayerParameter", **fields))


def _transform(preprocessing: Preprocessing) -> dict[str, Any]:
    height, width = preprocessing.crop_hw or (None, None)
    crop = {"crop_size": height} if height == width else {"crop_h": height, "crop_w": width}
    return {"scale": preprocessing.scale, "mean_value": preprocessing.mean_bgr, **crop}
