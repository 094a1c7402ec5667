"""A zoo name or a network file as an ONNX file, or a packed ncnn network, in the cache, converted on first use.

What is converted is the folded net, for one input size, down to its scores: label maps are made from those by
`dongfeng.runtime.upsample`. Where the file is there already, neither the net nor the onnx package is touched.
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
from dongfeng.errors import ShapeError, UnsupportedLayer, WeightsUnavailable
from dongfeng.files import replacing
from dongfeng.runtime import ncnn_file
from dongfeng.runtime.metadata import ModelSpec, to_metadata
from dongfeng.runtime.nets import given_weights, zoo_net, zoo_spec, zoo_weights
from dongfeng.zoo.paths import cache_root, onnx_folder

if TYPE_CHECKING:
    from dongfeng.net import Net
    from dongfeng.zoo.manifest import ModelInfo

Size = tuple[int, int]
Format = Literal["onnx", "ncnn"]
OPSET = 17
_SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "ncnn": ncnn_file.SUFFIX}


@dataclass(frozen=True)
class Prepared:
    """A model ready for a backend.

    Attributes:
        model: ONNX file or packed ncnn network, or its content where the cache cannot be written.
        net: Makes the net with its weights, at the input size, not folded; None where only that file is known.
        source: What to call it in an error.
        spec: What its name says of it, which counts more than what the file says.
        is_random: Whether its weights are random.
    """

    model: Path | bytes
    net: Callable[[], Net] | None
    source: str
    spec: ModelSpec = ModelSpec()
    is_random: bool = False


def prepare_zoo(info: ModelInfo, weights: object, size_hw: Size | None, format_: Format = "onnx") -> Prepared:
    """A model of the zoo.

    Args:
        info: The model.
        weights: None for the released file, a path, or "random" or "random:SEED".
        size_hw: Input size; None: the published one.
        format_: What to make of it.

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
    model = _converted(info.architecture, (prototxt, source.identity(), size_hw), shared, net, format_)
    return Prepared(model, net, info.name, spec, source.path is None)


def prepare_prototxt(path: Path, weights: object, size_hw: Size | None, format_: Format = "onnx") -> Prepared:
    """A Caffe network file; see `prepare_zoo`.

    Raises:
        PrototxtError: the file cannot be read as a network.
        WeightsUnavailable: `weights` is None.
        WeightsMismatch: the weights are another net's.
        ShapeError: the network does not fit the size, or leaves it open and `size_hw` is None.
    """
    if weights is None:
        raise WeightsUnavailable(
            f'{path}: a prototxt holds no weights; give weights=FILE.caffemodel or weights="random"'
        )
    source = given_weights(weights)

    def net() -> Net:
        from dongfeng.converters.caffe import read_caffe
        from dongfeng.converters.random_weights import random_weights

        plain = _sized(read_caffe(path), size_hw, path)
        if source.path is None:
            return random_weights(plain, source.seed)
        from dongfeng.converters.weights import load_caffemodel

        return load_caffemodel(plain, source.path)

    key = (path.read_bytes(), source.identity(), size_hw)
    model = _converted(path.stem, key, ModelSpec(name=path.stem), net, format_)
    return Prepared(model, net, str(path), is_random=source.path is None)


def prepare_ncnn(path: Path, weights: object, size_hw: Size | None, format_: Format = "onnx") -> Prepared:
    """An ncnn network, text or binary; its weights are in the `.bin` of the same name unless given.

    One that Caffe's layers cannot express runs on ncnn as it is, at its own size, its weights beside it.

    Raises:
        ConversionError: the files cannot be read as a network.
        WeightsUnavailable: there is no weight file.
        ShapeError: the network does not fit the size, or leaves it open and `size_hw` is None.
    """
    stem = path.name.removesuffix(".bin").removesuffix(".param")
    source = given_weights(weights if weights is not None else path.with_name(f"{stem}.bin"))

    def net() -> Net:
        from dongfeng.converters.ncnn import read_ncnn
        from dongfeng.converters.random_weights import random_weights

        if source.path is None:
            return random_weights(_sized(read_ncnn(path), size_hw, path), source.seed)
        return _sized(read_ncnn(path, source.path), size_hw, path)

    key = (path.read_bytes(), source.identity(), size_hw)
    try:
        model = _converted(stem, key, ModelSpec(name=stem), net, format_)
    except UnsupportedLayer:
        if format_ != "ncnn" or weights is not None or size_hw is not None:
            raise
        return Prepared(path, None, str(path), ModelSpec(name=stem))
    return Prepared(model, net, str(path), is_random=source.path is None)


def _sized(net: Net, size_hw: Size | None, path: Path) -> Net:
    if size_hw is not None:
        return net.resize(*size_hw)
    if net.is_open:
        raise ShapeError(f"{path}: the file leaves the input size open; give size=(height, width)")
    return net


def _converted(
    name: str, key: tuple[object, ...], spec: ModelSpec, net: Callable[[], Net], format_: Format
) -> Path | bytes:
    """The file for `key`, written if it is not in the cache; its content where the cache cannot be written."""
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    path = onnx_folder() / f"{stem}-{_digest(key, spec)}{_SUFFIXES[format_]}"
    if path.is_file():
        return path
    with _lock(path):
        if path.is_file():
            return path
        model = _convert(net(), spec, format_)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                temporary.write_bytes(model)
        except OSError:  # only costs the conversion, each time
            return model
    return path


def _digest(key: tuple[object, ...], spec: ModelSpec) -> str:
    """Everything that changes the converted file, in 20 hexadecimal digits."""
    from dongfeng.converters.onnx import CONVERTER_VERSION

    plain = [hashlib.sha256(part).hexdigest() if isinstance(part, bytes) else part for part in key]
    text = json.dumps([plain, to_metadata(spec), "fp32", OPSET, CONVERTER_VERSION, __version__])
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


def _convert(net: Net, spec: ModelSpec, format_: Format) -> bytes:
    """The folded net down to its scores."""
    from dongfeng.converters.fold import fold
    from dongfeng.runtime.score_blob import find_score_blob

    recipe = spec.recipe or net.recipe
    net = fold(net)
    score_blob = spec.score_blob or find_score_blob(net)
    spec = replace(spec, recipe=recipe, score_blob=score_blob)
    metadata = to_metadata(spec)
    if format_ == "ncnn":
        from dongfeng.converters.ncnn.write import to_ncnn

        return ncnn_file.pack(*to_ncnn(net, outputs=[score_blob]), metadata, {score_blob: net.shapes()[score_blob]})
    from dongfeng.converters.onnx import to_onnx

    return to_onnx(net, opset=OPSET, outputs=[score_blob], metadata=metadata).SerializeToString()
