"""What a user's word for a network means: a name of the zoo, Caffe or ncnn files, an ONNX file, an engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from dongfeng.errors import ConversionError, ShapeError, UnknownModel, WeightsMismatch, WeightsUnavailable
from dongfeng.net.preprocessing import for_size
from dongfeng.runtime.given_weights import GivenWeights, parse_weights
from dongfeng.runtime.spec import FileSpec

if TYPE_CHECKING:
    from dongfeng.net.graph import Net
    from dongfeng.zoo.manifest import ModelInfo

Size: TypeAlias = tuple[int, int]  # height and width in pixels
NetworkName: TypeAlias = "str | PathLike[str]"

NETWORKS = "a zoo name, a .prototxt, or ncnn's .param or .param.bin"
ENGINES = (".engine", ".plan")
_WEIGHT_FILES = (".caffemodel", ".bin")


@dataclass(frozen=True)
class NetSource(ABC):
    """A network that can be read as a `Net`.

    Attributes:
        label: What messages call it.
        name: What a model made from it is called.
        given: The weights that the user names; None: those that belong to it.
    """

    label: str
    name: str
    given: GivenWeights | None

    @abstractmethod
    def weights(self) -> GivenWeights | None:
        """Return the weights: those given, else those that belong to it, fetched if need be; None: there are none.

        Raises:
            WeightsUnavailable: they cannot be fetched.
        """

    @abstractmethod
    def structure(self, size_hw: Size | None = None) -> Net:
        """Return the network without weights, as published or written, or for another input size.

        Raises:
            DongfengError: it cannot be read, or does not fit the size.
        """

    def template(self) -> Net:
        """Return the structure as it is trained: with BatchNorm, also where the released weights are folded."""
        return self.structure()

    @abstractmethod
    def net(self, size_hw: Size | None = None) -> Net:
        """Return the network with its weights, if there are any.

        Raises:
            WeightsUnavailable: the weights are not there and cannot be fetched.
            WeightsMismatch: the weights are another network's.
            ShapeError: the network does not fit the size; the message names the nearest that does.
        """

    @abstractmethod
    def cache_key(self, size_hw: Size | None) -> tuple[object, ...]:
        """Return everything that changes `net(size_hw)`, as bytes or JSON values."""

    def spec(self, size_hw: Size | None = None) -> FileSpec:
        """Return what is known of running it on images at that input size."""
        return FileSpec(name=self.name)

    def file_spec(self, size_hw: Size | None) -> FileSpec:
        """Return what a converted file in the cache says of itself."""
        return self.spec(size_hw)

    def sized(self, size_hw: Size | None) -> Size | None:
        """Return the input size to run at where the user asks for `size_hw`; None: that of the file."""
        return size_hw

    def files(self) -> tuple[Path, ...]:
        """Return the files that `net` reads."""
        found = self.weights()
        return () if found is None or found.path is None else (found.path,)


@dataclass(frozen=True)
class ZooSource(NetSource):
    """A model of the zoo."""

    info: ModelInfo

    def weights(self) -> GivenWeights:
        """Return the weights: those given, else the released file."""
        return self.given or self._released

    @cached_property
    def _released(self) -> GivenWeights:
        """The released file; each fetch hashes it, though it is in the cache."""
        from dongfeng.zoo.fetch import fetch_weights

        return GivenWeights(fetch_weights(self.info))

    def structure(self, size_hw: Size | None = None) -> Net:
        """Return the architecture, BatchNorm folded or not as its released weights are."""
        from dongfeng.architectures import build

        return _resized(build(self.info.architecture, folded=self.info.folded), size_hw)

    def template(self) -> Net:
        """Return the architecture with BatchNorm."""
        from dongfeng.architectures import build

        return build(self.info.architecture)

    def net(self, size_hw: Size | None = None) -> Net:
        """Return the architecture with its weights, BatchNorm folded or not as these weights are."""
        weights = self.weights()
        net = weights.put_on(self.structure()) if weights.path is None else _zoo_net(self.info, weights.path)
        return _resized(net, size_hw)

    def cache_key(self, size_hw: Size | None) -> tuple[object, ...]:
        """See `NetSource.cache_key`."""
        from dongfeng.zoo.paths import data_root

        prototxt = (data_root() / "prototxt" / self.info.prototxt).read_bytes()
        return prototxt, self.weights().identity(), self.sized(size_hw)

    def spec(self, size_hw: Size | None = None) -> FileSpec:
        """Return what the manifest says."""
        info = self.info
        preprocessing = for_size(info.preprocessing, self.sized(size_hw))
        return FileSpec(info.name, info.task, preprocessing, info.head, info.classes, info.score_blob)

    def file_spec(self, size_hw: Size | None) -> FileSpec:
        """Return the same for all names that differ only in what is done with the scores: they share one file."""
        head = "x8" if self.info.head else None
        return self.spec(size_hw).updated(FileSpec(name=self.info.architecture, head=head))

    def sized(self, size_hw: Size | None) -> Size:
        """Return the published size where none is asked for."""
        return size_hw or self.info.size_hw


@dataclass(frozen=True)
class NetFileSource(NetSource):
    """A network file."""

    path: Path

    @abstractmethod
    def required_weights(self) -> GivenWeights:
        """Return the weights.

        Raises:
            WeightsUnavailable: there are none; the message says how to give them.
        """

    def cache_key(self, size_hw: Size | None) -> tuple[object, ...]:
        """See `NetSource.cache_key`."""
        return self.path.read_bytes(), self.required_weights().identity(), size_hw

    def files(self) -> tuple[Path, ...]:
        """Return the network file and its weight file."""
        return self.path, *super().files()


@dataclass(frozen=True)
class PrototxtSource(NetFileSource):
    """A Caffe network file."""

    def weights(self) -> GivenWeights | None:
        """Return the weights given: a prototxt has none of its own."""
        return self.given

    def structure(self, size_hw: Size | None = None) -> Net:
        """Return the network of the file."""
        from dongfeng.formats.caffe import read_caffe

        return _resized(read_caffe(self.path), size_hw)

    def net(self, size_hw: Size | None = None) -> Net:
        """Return the network of the file with its weights."""
        net = self.structure(size_hw)
        return net if self.given is None else self.given.put_on(net)

    def required_weights(self) -> GivenWeights:
        """See `NetFileSource.required_weights`."""
        if self.given is None:
            raise WeightsUnavailable(
                f'{self.label}: a prototxt holds no weights; give weights=FILE.caffemodel or weights="random"'
            )
        return self.given


@dataclass(frozen=True)
class NcnnSource(NetFileSource):
    """An ncnn network file, text or binary, with its weights beside it."""

    def weights(self) -> GivenWeights | None:
        """Return the weights: those given, else the `.bin` of the same name."""
        from dongfeng.formats.ncnn.archive import weights_beside

        beside = weights_beside(self.path)
        return self.given or (GivenWeights(beside) if beside.is_file() else None)

    def structure(self, size_hw: Size | None = None) -> Net:
        """Return the network of the file."""
        from dongfeng.formats.ncnn import read_ncnn

        return _resized(read_ncnn(self.path), size_hw)

    def net(self, size_hw: Size | None = None) -> Net:
        """Return the network of the file with its weights."""
        from dongfeng.formats.ncnn import read_ncnn

        weights = self.weights()
        if weights is not None and weights.path is not None:
            return _resized(read_ncnn(self.path, weights.path), size_hw)
        net = self.structure(size_hw)
        return net if weights is None else weights.put_on(net)

    def required_weights(self) -> GivenWeights:
        """Return the weights; the error names the file where they are expected."""
        from dongfeng.formats.ncnn.archive import weights_beside

        return self.weights() or parse_weights(weights_beside(self.path))


@dataclass(frozen=True)
class ModelFile:
    """A file that runs as it is.

    Attributes:
        path: The file.
    """

    path: Path

    @property
    def label(self) -> str:
        """What messages call it."""
        return str(self.path)


class OnnxSource(ModelFile):
    """An ONNX file, ours or another's."""


class EngineSource(ModelFile):
    """An engine of TensorRT-RTX or TensorRT, for the machine it was built on."""


Source: TypeAlias = NetSource | OnnxSource | EngineSource


def find_source(name: NetworkName, weights: NetworkName | None = None) -> Source:
    """Return what a user means by the name of a network.

    Args:
        name: A zoo name (`dongfeng.list_models`), or a path to a .prototxt, .param, .param.bin, .onnx or .engine file.
        weights: A weight file, "random" or "random:SEED"; None: those that belong to the network.

    Raises:
        UnknownModel: no such name, and no such file.
        WeightsUnavailable: no such weight file.
        ConversionError: weights are given for a file that holds its own.
    """
    path = Path(name)
    if path.suffix == ".onnx":
        return find_onnx(name, weights)
    if path.suffix in ENGINES:
        return EngineSource(_model_file(path, weights, "an engine"))
    return find_net(name, weights, expected=f"{NETWORKS}, or an .onnx file")


def find_onnx(path: NetworkName, weights: NetworkName | None = None) -> OnnxSource:
    """Return an ONNX file.

    Raises:
        UnknownModel: no such file.
        ConversionError: weights are given besides.
    """
    return OnnxSource(_model_file(Path(path), weights, "an ONNX file"))


def find_net(name: NetworkName, weights: NetworkName | None = None, *, expected: str = NETWORKS) -> NetSource:
    """Return what a user means by the name of a network that has to be readable as a `Net`.

    Args:
        name: A zoo name, or a path to a .prototxt, .param or .param.bin file.
        weights: See `find_source`.
        expected: What messages say that the name may be.

    Raises:
        UnknownModel: no such name, and no such file.
        WeightsUnavailable: no such weight file.
        ConversionError: it is an ONNX file or an engine.
    """
    path = Path(name)
    given = None if weights is None else parse_weights(weights)
    if path.suffix == ".prototxt":
        _require_file(path)
        return PrototxtSource(str(path), path.stem, given, path)
    if path.name.endswith((".param", ".param.bin")):
        _require_file(path)
        from dongfeng.formats.ncnn.archive import weights_beside

        return NcnnSource(str(path), weights_beside(path).stem, given, path)
    if path.suffix in (".onnx", *ENGINES):
        raise ConversionError(f"{path}: expected {expected}; what became ONNX or an engine is a network no longer")
    from dongfeng.zoo.models import model_info

    try:
        info = model_info(fspath(name))
    except UnknownModel:
        if not path.is_file():
            raise
        hint = f"; for its weights give weights={str(path)!r} beside it" if path.suffix in _WEIGHT_FILES else ""
        raise UnknownModel(f"{path}: expected {expected}{hint}") from None
    return ZooSource(info.name, info.name, given, info)


def require_size(net: Net, label: str) -> Net:
    """Return the net itself.

    Raises:
        ShapeError: its input size is dynamic.
    """
    if net.is_dynamic:
        raise ShapeError(f"{label}: the file has a dynamic input size; give size=(height, width)")
    return net


def _model_file(path: Path, weights: NetworkName | None, what: str) -> Path:
    _require_file(path)
    if weights is not None:
        raise ConversionError(f"{path}: {what} holds its weights; leave out weights={fspath(weights)!r}")
    return path


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise UnknownModel(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}")


def _resized(net: Net, size_hw: Size | None) -> Net:
    return net if size_hw is None else net.resize(*size_hw)


def _zoo_net(info: ModelInfo, path: Path) -> Net:
    """Return a zoo model's architecture with the weights of a file, BatchNorm folded or not as these are.

    Raises:
        WeightsMismatch: the weights are another model's.
    """
    from dongfeng.architectures import build

    if path.suffix == ".bin":
        if info.weights[0].format != "ncnn":
            raise WeightsMismatch(f"{path}: {info.name} takes a .caffemodel; only pl1a_seg was released for ncnn")
        from dongfeng.formats.ncnn import load_ncnn_weights

        return load_ncnn_weights(build(info.architecture), path)
    from dongfeng.caffe import caffemodel
    from dongfeng.net.weights import assign_weights

    records = caffemodel.read(path)
    unfolded = build(info.architecture)
    norms = {layer.name for layer in unfolded.layers if layer.type == "BatchNorm"}
    is_folded = norms.isdisjoint(record.name for record in records if record.blobs)
    net = build(info.architecture, folded=True) if is_folded else unfolded
    return assign_weights(net, records, source=str(path), require_all=True)
