"""A zoo name or a network file as an ONNX file, or a packed ncnn network, in the cache, converted on first use.

What is converted is the folded net, for one input size, down to its scores: label maps are made from those by
`dongfeng.runtime.labels`. For int8 it is quantized with the calibration images. Where the file is there already,
neither the net nor the onnx package is touched.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dongfeng._version import __version__
from dongfeng.errors import (
    BackendUnavailable,
    ConversionError,
    ShapeError,
    UnsupportedLayer,
    WeightsUnavailable,
)
from dongfeng.formats.ncnn import archive as ncnn_file
from dongfeng.net.preprocessing import Preprocessing, for_size
from dongfeng.runtime.calibration import Calibration
from dongfeng.runtime.metadata import ModelSpec, from_metadata, to_metadata
from dongfeng.runtime.nets import given_weights, zoo_net, zoo_spec, zoo_weights
from dongfeng.runtime.onnx_file import is_quantized
from dongfeng.support.files import replacing
from dongfeng.zoo.paths import cache_root, onnx_folder

if TYPE_CHECKING:
    import onnx

    from dongfeng.net.graph import Net
    from dongfeng.zoo.manifest import ModelInfo

Size = tuple[int, int]
Format = Literal["onnx", "ncnn", "tensorrt"]  # for TensorRT it is ONNX, quantized in its own way
OPSET = 17
_SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "ncnn": ncnn_file.SUFFIX, "tensorrt": ".onnx"}


@dataclass(frozen=True)
class Form:
    """What to make of a network.

    Attributes:
        format: What the backend reads.
        calibration: The images to quantize it with; None: it stays in float.
        takes_images: Whether its input shall be images as they are in memory, the arithmetic in the graph; and for
            TensorRT the labels as well.
        preprocessing: Turns what is known of how an image becomes the input into all of it, or raises what is missing.
    """

    format: Format
    calibration: Calibration | None
    takes_images: bool
    preprocessing: Callable[[Preprocessing | None, str], Preprocessing]


@dataclass(frozen=True)
class Prepared:
    """A model ready for a backend.

    Attributes:
        model: ONNX file or packed ncnn network, or its content where the cache cannot be written.
        net: Makes the net with its weights, at the input size, not folded; None where only that file is known.
        source: What to call it in an error.
        spec: What its name says of it, which counts more than what the file says.
        is_random: Whether its weights are random.
        is_quantized: Whether it computes in int8.
    """

    model: Path | bytes
    net: Callable[[], Net] | None
    source: str
    spec: ModelSpec = ModelSpec()
    is_random: bool = False
    is_quantized: bool = False


def prepare_zoo(info: ModelInfo, weights: object, size_hw: Size | None, form: Form) -> Prepared:
    """A model of the zoo.

    Args:
        info: The model.
        weights: None for the released file, a path, or "random" or "random:SEED".
        size_hw: Input size; None: the published one.
        form: What to make of it.

    Raises:
        WeightsUnavailable: the weights are not there.
        WeightsMismatch: they are another model's.
        ShapeError: the network does not fit the size.
        UnsupportedLayer: naming all layers that the format cannot express.
    """
    from dongfeng.zoo.paths import data_root

    size_hw = size_hw or info.size_hw
    source = zoo_weights(info, weights)
    spec = zoo_spec(info, size_hw)

    def net() -> Net:
        return zoo_net(info, source).resize(*size_hw)

    prototxt = (data_root() / "prototxt" / info.prototxt).read_bytes()
    # Names that differ only in what is done with the scores share one file.
    shared = replace(spec, name=info.architecture, head="x8" if info.head else None)
    model = _converted(info.architecture, (prototxt, source.identity(), size_hw), shared, net, form)
    return Prepared(model, net, info.name, spec, source.path is None, form.calibration is not None)


def prepare_prototxt(path: Path, weights: object, size_hw: Size | None, form: Form) -> Prepared:
    """A Caffe network file; see `prepare_zoo`.

    Raises:
        PrototxtError: the file cannot be read as a network.
        WeightsUnavailable: `weights` is None.
        WeightsMismatch: the weights are another net's.
        ShapeError: the network does not fit the size, or has it dynamic and `size_hw` is None.
    """
    if weights is None:
        raise WeightsUnavailable(
            f'{path}: a prototxt holds no weights; give weights=FILE.caffemodel or weights="random"'
        )
    source = given_weights(weights)

    def net() -> Net:
        from dongfeng.formats.caffe import read_caffe
        from dongfeng.net.random_weights import random_weights

        plain = _sized(read_caffe(path), size_hw, path)
        if source.path is None:
            return random_weights(plain, source.seed)
        from dongfeng.net.weights import load_caffemodel

        return load_caffemodel(plain, source.path)

    key = (path.read_bytes(), source.identity(), size_hw)
    model = _converted(path.stem, key, ModelSpec(name=path.stem), net, form)
    return Prepared(model, net, str(path), ModelSpec(), source.path is None, form.calibration is not None)


def prepare_ncnn(path: Path, weights: object, size_hw: Size | None, form: Form) -> Prepared:
    """An ncnn network, text or binary; its weights are in the `.bin` of the same name unless given.

    One that Caffe's layers cannot express runs on ncnn as it is, at its own size, its weights beside it.

    Raises:
        ConversionError: the files cannot be read as a network.
        WeightsUnavailable: there is no weight file.
        ShapeError: the network does not fit the size, or has it dynamic and `size_hw` is None.
    """
    stem = path.name.removesuffix(".bin").removesuffix(".param")
    source = given_weights(weights if weights is not None else path.with_name(f"{stem}.bin"))

    def net() -> Net:
        from dongfeng.formats.ncnn import read_ncnn
        from dongfeng.net.random_weights import random_weights

        if source.path is None:
            return random_weights(_sized(read_ncnn(path), size_hw, path), source.seed)
        return _sized(read_ncnn(path, source.path), size_hw, path)

    key = (path.read_bytes(), source.identity(), size_hw)
    try:
        model = _converted(stem, key, ModelSpec(name=stem), net, form)
    except UnsupportedLayer:
        if form.format != "ncnn" or weights is not None or size_hw is not None:
            raise
        return Prepared(path, None, str(path), ModelSpec(name=stem))
    return Prepared(model, net, str(path), ModelSpec(), source.path is None, form.calibration is not None)


def prepare_onnx(path: Path, weights: object, size_hw: Size | None, form: Form) -> Prepared:
    """An ONNX file, which runs as it is, or quantized where images to calibrate with are given.

    Raises:
        ConversionError: the weights are given besides, or the file lacks what quantizing needs.
        BackendUnavailable: the backend does not run ONNX files, or the file is quantized already.
    """
    if form.format == "ncnn":
        raise BackendUnavailable(f'{path}: ncnn does not run ONNX files; use backend="onnxruntime" or "openvino"')
    if weights is not None:
        raise ConversionError(f"{path}: an ONNX file holds its weights; leave out weights={weights!r}")
    if is_quantized(path):
        if form.calibration is not None:
            raise BackendUnavailable(f"{path}: is quantized already; leave out calibration=")
        return Prepared(path, None, str(path), is_quantized=True)
    if form.calibration is None:
        return Prepared(path, None, str(path))

    def quantized() -> bytes:
        import onnx

        from dongfeng.runtime.onnx_file import check_input, inputs_of

        model = onnx.load(path)
        spec = from_metadata({entry.key: entry.value for entry in model.metadata_props}, str(path))
        preprocessing = form.preprocessing(spec.preprocessing, str(path))
        size = check_input(inputs_of(model), size_hw, preprocessing.crop_hw, str(path))
        return _quantized(model, form, preprocessing, size).SerializeToString()

    key = (path.read_bytes(), size_hw, repr(form.preprocessing(Preprocessing(), str(path))))
    return Prepared(
        _cached(path.stem, _digest(key, ModelSpec(), form), quantized, ".onnx"), None, str(path), is_quantized=True
    )


def _sized(net: Net, size_hw: Size | None, path: Path) -> Net:
    if size_hw is not None:
        return net.resize(*size_hw)
    if net.is_dynamic:
        raise ShapeError(f"{path}: the file has a dynamic input size; give size=(height, width)")
    return net


def _converted(name: str, key: tuple[object, ...], spec: ModelSpec, net: Callable[[], Net], form: Form) -> Path | bytes:
    """The file for `key`, written if it is not in the cache; its content where the cache cannot be written."""
    return _cached(name, _digest(key, spec, form), lambda: _convert(net(), spec, form, name), _SUFFIXES[form.format])


def _cached(name: str, digest: str, make: Callable[[], bytes], suffix: str) -> Path | bytes:
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    path = onnx_folder() / f"{stem}-{digest}{suffix}"
    if path.is_file():
        return path
    with _lock(path):
        if path.is_file():
            return path
        model = make()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                temporary.write_bytes(model)
        except OSError:  # only costs the conversion, each time
            return model
    return path


def _digest(key: tuple[object, ...], spec: ModelSpec, form: Form) -> str:
    """Everything that changes the converted file, in 20 hexadecimal digits."""
    from dongfeng.formats.onnx import CONVERTER_VERSION

    plain = [hashlib.sha256(part).hexdigest() if isinstance(part, bytes) else part for part in key]
    precision: object = "fp32"
    if form.calibration is not None:
        from dongfeng.passes.quantize.calibrate import QUANTIZER_VERSION
        from dongfeng.passes.quantize.saturation import saturates

        precision = ["int8", _target(form), form.calibration.digest(), QUANTIZER_VERSION, saturates()]
    heads = [form.takes_images, form.format == "tensorrt"]
    text = json.dumps([plain, to_metadata(spec), precision, heads, OPSET, CONVERTER_VERSION, __version__])
    return hashlib.sha256(text.encode()).hexdigest()[:20]


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One process at a time converts a model; where there can be no lock, each does."""
    from filelock import FileLock

    lock = FileLock(cache_root() / "locks" / f"{path.name}.lock")
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _convert(net: Net, spec: ModelSpec, form: Form, source: str) -> bytes:
    """The folded net down to its scores."""
    from dongfeng.net.fold import fold
    from dongfeng.net.score_blob import find_score_blob

    preprocessing = spec.preprocessing or net.preprocessing
    net = fold(net)
    score_blob = spec.score_blob or find_score_blob(net)
    spec = replace(spec, preprocessing=preprocessing, score_blob=score_blob)
    metadata = to_metadata(spec)
    if form.format == "ncnn":
        from dongfeng.formats.ncnn.write import to_ncnn

        return ncnn_file.pack(*to_ncnn(net, outputs=[score_blob]), metadata, {score_blob: net.shapes()[score_blob]})
    from dongfeng.formats.onnx import to_onnx

    model = to_onnx(net, opset=OPSET, outputs=[score_blob], metadata=metadata)
    height, width = next(iter(net.inputs.values()))[2:]  # that there is one image is checked by who runs it
    size_hw = height or 0, width or 0
    if form.calibration is not None:
        model = _quantized(model, form, form.preprocessing(preprocessing, source), size_hw)
    if form.takes_images and preprocessing is not None:
        model = _with_head(model, form, spec, preprocessing, size_hw)
    return model.SerializeToString()


def _with_head(
    model: onnx.ModelProto, form: Form, spec: ModelSpec, preprocessing: Preprocessing, size_hw: Size
) -> onnx.ModelProto:
    """The model with what can be computed beside the network: the input arithmetic, and the labels on a GPU."""
    from dongfeng.passes.head import Head

    has_labels = form.format == "tensorrt" and spec.task == "segmentation"
    return Head(preprocessing, labels_hw=size_hw if has_labels else None, keep_scores=True).put_on(model)


def _quantized(model: onnx.ModelProto, form: Form, preprocessing: Preprocessing, size_hw: Size) -> onnx.ModelProto:
    """The model in int8."""
    from dongfeng.passes.quantize import quantize

    images = form.calibration.batches(for_size(preprocessing, size_hw), size_hw) if form.calibration else ()
    return quantize(model, images, target=_target(form)).model


def _target(form: Form) -> str:
    return "tensorrt" if form.format == "tensorrt" else "cpu"
