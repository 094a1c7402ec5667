"""What a backend opens: an ONNX file, a packed ncnn network or an engine, converted on first use and kept in the cache.

What is converted is the folded net, for one input size, down to its scores: label maps are made from those by
`dongfeng.runtime.labels`. For int8 it is quantized with the calibration images. Where the file is there already,
neither the net nor the onnx package is touched.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dongfeng._version import __version__
from dongfeng.errors import BackendUnavailable, UnsupportedLayer
from dongfeng.formats import versions
from dongfeng.net.preprocessing import Preprocessing, for_size
from dongfeng.runtime.calibration import Calibration
from dongfeng.runtime.onnx_file import check_input, inputs_of, is_quantized, spec_of
from dongfeng.runtime.source import NcnnSource, NetSource, OnnxSource, Size, require_size
from dongfeng.runtime.spec import CallerSpec, FileSpec, to_metadata
from dongfeng.support.build_once import build_once
from dongfeng.support.files import write_whole
from dongfeng.zoo.paths import onnx_folder

if TYPE_CHECKING:
    import onnx

    from dongfeng.backends.tensorrt.engine_file import Engine
    from dongfeng.net.graph import Net

Format = Literal["onnx", "ncnn", "tensorrt"]  # for TensorRT it is ONNX, quantized in its own way


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a network is converted into.

    Attributes:
        format: What the backend reads.
        size_hw: Input size that the user asks for; None: the network's own.
        calibration: Images to quantize it with; None: it stays in float.
        takes_images: Whether its input are images as they are in memory, the arithmetic in the graph; and for TensorRT
            whether the labels are computed there as well.
        caller: What the caller says of a file that does not say it.
    """

    format: Format
    size_hw: Size | None = None
    calibration: Calibration | None = None
    takes_images: bool = False
    caller: CallerSpec = CallerSpec()

    @property
    def quantizes_for(self) -> Literal["cpu", "tensorrt"]:
        """The hardware that int8 is made for."""
        return "tensorrt" if self.format == "tensorrt" else "cpu"


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A network as a backend opens it.

    Attributes:
        model: ONNX file, packed ncnn network or ncnn file, or its content where the cache cannot be written; or an
            engine.
        spec: What its source says of it, which counts more than what the file says.
        source: Where it can be read as a `Net`; None where it cannot.
        is_quantized: Whether it computes in int8.
    """

    model: Path | bytes | Engine
    spec: FileSpec
    source: NetSource | None = None
    is_quantized: bool = False


def convert_cached(source: NetSource | OnnxSource, target: Target) -> Artifact:
    """Return a network in the form that a backend opens, converted if it is not in the cache.

    Raises:
        WeightsUnavailable: the weights are not there.
        WeightsMismatch: they are another network's.
        ShapeError: the network does not fit the size, or has a dynamic size and none is given.
        UnsupportedLayer: naming all layers that the format cannot express.
        BackendUnavailable: the format cannot hold an ONNX file, or the file is quantized already.
    """
    return _from_net(source, target) if isinstance(source, NetSource) else _from_onnx(source, target)


def _from_net(source: NetSource, target: Target) -> Artifact:
    size_hw = source.sized(target.size_hw)
    spec = source.file_spec(target.size_hw)

    def make() -> bytes:
        return _convert(require_size(source.net(size_hw), source.label), spec, target, source.label)

    try:
        digest = _digest((*source.cache_key(target.size_hw), to_metadata(spec)), target)
        model = _cached(str(spec.name), digest, ".ncnn.zip" if target.format == "ncnn" else ".onnx", make)
    except UnsupportedLayer:
        is_as_released = source.given is None and target.size_hw is None
        if target.format == "ncnn" and isinstance(source, NcnnSource) and is_as_released:
            return Artifact(model=source.path, spec=FileSpec(name=source.name))  # it runs on ncnn as it is
        raise
    spec = source.spec(target.size_hw)
    return Artifact(model=model, spec=spec, source=source, is_quantized=target.calibration is not None)


def _convert(net: Net, spec: FileSpec, target: Target, label: str) -> bytes:
    """Return the content of the file: the folded net down to its scores."""
    if target.format == "ncnn":
        return _packed_for_ncnn(net, spec)
    from dongfeng.runtime.export import export_onnx

    model = export_onnx(net, spec)
    known = spec.preprocessing or net.preprocessing
    height, width = next(iter(net.inputs.values()))[2:]  # that there is one image is checked by who runs it
    size_hw = height or 0, width or 0
    if target.calibration is not None:
        model = _quantized(model, target, target.caller.preprocessing(known, label), size_hw)
    if target.takes_images and known is not None:
        from dongfeng.passes.head import Head

        has_labels = target.format == "tensorrt" and spec.task == "segmentation"
        model = Head(known, labels_hw=size_hw if has_labels else None, keep_scores=True).put_on(model)
    return model.SerializeToString()


def _packed_for_ncnn(net: Net, spec: FileSpec) -> bytes:
    from dongfeng.formats.ncnn.archive import pack
    from dongfeng.formats.ncnn.write import to_ncnn
    from dongfeng.net.fold import fold
    from dongfeng.runtime.export import complete_spec

    net = fold(net)
    spec = complete_spec(net, spec)
    scores = str(spec.score_blob)
    return pack(*to_ncnn(net, outputs=[scores]), to_metadata(spec), {scores: net.shapes()[scores]})


def _from_onnx(source: OnnxSource, target: Target) -> Artifact:
    """An ONNX file runs as it is, or quantized where there are images to calibrate with."""
    path = source.path
    if target.format == "ncnn":
        raise BackendUnavailable(f'{path}: ncnn does not run ONNX files; use backend="onnxruntime" or "openvino"')
    if is_quantized(path):
        if target.calibration is not None:
            raise BackendUnavailable(f"{path}: is quantized already; leave out calibration=")
        return Artifact(model=path, spec=FileSpec(), is_quantized=True)
    if target.calibration is None:
        return Artifact(model=path, spec=FileSpec())

    def make() -> bytes:
        import onnx

        model = onnx.load(path)
        spec = spec_of(model, source.label)
        preprocessing = target.caller.preprocessing(spec.preprocessing, source.label)
        size_hw = check_input(inputs_of(model), target.size_hw, preprocessing.crop_hw, source.label)
        return _quantized(model, target, preprocessing, size_hw).SerializeToString()

    said = repr(target.caller.preprocessing(Preprocessing(), source.label))
    digest = _digest((path.read_bytes(), target.size_hw, said), target)
    return Artifact(model=_cached(path.stem, digest, ".onnx", make), spec=FileSpec(), is_quantized=True)


def _quantized(model: onnx.ModelProto, target: Target, preprocessing: Preprocessing, size_hw: Size) -> onnx.ModelProto:
    from dongfeng.passes.quantize import quantize

    images = target.calibration.batches(for_size(preprocessing, size_hw), size_hw) if target.calibration else ()
    return quantize(model, images, target=target.quantizes_for).model


def _cached(name: str, digest: str, suffix: str, make: Callable[[], bytes]) -> Path | bytes:
    """Return the file of that digest in the cache, or its content where the cache cannot be written."""
    path = onnx_folder() / f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)}-{digest}{suffix}"
    content = functools.cache(make)

    def build(file: Path) -> None:
        if file != path:
            file.write_bytes(content())
            return
        write_whole(file, content())

    return build_once(path, build, lambda file: file if file == path else file.read_bytes())


def _digest(key: tuple[object, ...], target: Target) -> str:
    """Return everything that changes the converted file, in 20 hexadecimal digits."""
    plain = [hashlib.sha256(part).hexdigest() if isinstance(part, bytes) else part for part in key]
    precision: object = "fp32"
    if target.calibration is not None:
        from dongfeng.passes.quantize.calibrate import QUANTIZER_VERSION
        from dongfeng.passes.quantize.saturation import saturates

        precision = ["int8", target.quantizes_for, target.calibration.digest(), QUANTIZER_VERSION, saturates()]
    heads = [target.takes_images, target.format == "tensorrt"]
    text = json.dumps([plain, precision, heads, versions.OPSET, versions.CONVERTER_VERSION, __version__])
    return hashlib.sha256(text.encode()).hexdigest()[:20]
