"""A network from what a command line calls it: a zoo name, or Caffe or ncnn files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dongfeng.errors import ConversionError, UnknownModel

if TYPE_CHECKING:
    from dongfeng.net.graph import Net
    from dongfeng.zoo.models import ModelInfo

NET_HELP = "a zoo name, a .prototxt, or ncnn's .param or .param.bin"
WEIGHTS_HELP = "a .caffemodel or ncnn's .bin; or random or random:SEED"


@dataclass(frozen=True)
class Source:
    """A network and where it comes from.

    Attributes:
        net: The network, at the size it was published or written with; that may be dynamic.
        info: What the zoo knows of it; None for files.
        files: The files that were read.
    """

    net: Net
    info: ModelInfo | None
    files: tuple[Path, ...]


def read_source(name: str, weights: str | None, *, released: bool) -> Source:
    """The network that `name` stands for.

    Args:
        name: A zoo name or a path.
        weights: A path, "random", "random:SEED", or None.
        released: Without `weights`, a zoo name takes its released weights; else it has none.

    Raises:
        UnknownModel: no such name, and no such file.
        DongfengError: a file cannot be read.
    """
    path = Path(name)
    if path.suffix == ".prototxt" or path.name.endswith((".param", ".param.bin")):
        if not path.is_file():
            raise UnknownModel(f"{path}: no such file")
        return _from_file(path, weights)
    if path.suffix in (".onnx", ".engine"):
        raise ConversionError(f"{path}: expected {NET_HELP}; what became ONNX or an engine is a network no longer")
    if path.is_file():
        raise UnknownModel(f"{path}: expected {NET_HELP}")
    return _from_zoo(name, weights, released=released)


def _from_zoo(name: str, weights: str | None, *, released: bool) -> Source:
    from dongfeng.architectures import build
    from dongfeng.runtime.nets import zoo_net, zoo_weights
    from dongfeng.zoo.models import model_info

    info = model_info(name)
    if weights is None and not released:
        return Source(build(info.architecture, folded=info.folded), info, ())
    source = zoo_weights(info, weights)
    return Source(zoo_net(info, source), info, () if source.path is None else (source.path,))


def _from_file(path: Path, weights: str | None) -> Source:
    from dongfeng.formats.caffe import read_caffe
    from dongfeng.formats.ncnn import read_ncnn
    from dongfeng.net.random_weights import random_weights
    from dongfeng.runtime.nets import given_weights

    read = read_caffe if path.suffix == ".prototxt" else read_ncnn
    if weights is None:
        beside = path.with_name(f"{path.name.removesuffix('.bin').removesuffix('.param')}.bin")
        if read is read_caffe or not beside.is_file():
            return Source(read(path), None, (path,))
        weights = str(beside)
    source = given_weights(weights)
    if source.path is None:
        return Source(random_weights(read(path), source.seed), None, (path,))
    return Source(read(path, source.path), None, (path, source.path))
