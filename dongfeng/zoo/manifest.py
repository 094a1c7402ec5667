"""`weights_manifest.json` as frozen dataclasses, strictly read; the file is their only source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from dongfeng.errors import ManifestError
from dongfeng.net.preprocessing import Preprocessing
from dongfeng.support.json_dataclass import PositiveInteger, SizeHw, Text, read_as
from dongfeng.support.strict_json import JsonFormat, Node
from dongfeng.zoo.paths import MANIFEST, data_root

SCHEMA = 1
_JSON = JsonFormat(ManifestError, "mend the file, or reinstall dongfeng")
Task = Literal["classification", "segmentation"]
Head = Literal["x8", "d8"]


def _url(node: Node) -> str:
    if not re.match(r"https?://[^/\s]+/", node.text()):
        node.fail(f"{node.value} is no http(s) URL")
    return node.text()


def _sha256(node: Node) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", node.text()):
        node.fail("expected 64 hexadecimal digits in lower case")
    return node.text()


def _prototxt(node: Node) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*\.prototxt", node.text()):
        node.fail(f"expected the name of a .prototxt file, got {node.value}")
    return node.text()


@dataclass(frozen=True)
class FileInfo:
    """A released file.

    Attributes:
        name: Its name, in the release and in the cache.
        urls: Its addresses, best first.
        format: "caffemodel" or "ncnn".
        size_bytes: Exact size; None where unknown.
        sha256: Hexadecimal digest; None where unknown (such a file is verified by its content).
        licence: As stated by its publisher; None where nothing is stated.
        shipped: Whether it comes with the package, beside the network files; its size and hash are known then.
    """

    name: str
    urls: tuple[Annotated[str, _url], ...]
    format: Literal["caffemodel", "ncnn"]
    size_bytes: PositiveInteger | None = None
    sha256: Annotated[str, _sha256] | None = None
    licence: Text | None = None
    shipped: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        row = asdict(self)
        name, urls = row.pop("name"), row.pop("urls")
        return {"file": name, **row, "urls": list(urls)}


@dataclass(frozen=True)
class Published:
    """A result as its authors published it.

    Attributes:
        metric: "top1", "top5", "miou", "mniou" (instance-level IoU), "fps", "latency", "gpu_memory" or "flops".
        value: In `unit`; for results with `per_class`, their mean as published.
        unit: "fraction" (0..1), "frames/s", "ms", "MB" or "count".
        source: The release's README or logs, or the paper.
        dataset: "imagenet" or "cityscapes".
        split: "val" or "test".
        device: The device it was measured on.
        framework: The framework that ran it.
        size_hw: Input height and width in pixels.
        batch: Images per pass.
        group: For IoU, "class" or "category".
        per_class: Value of each class or category.
    """

    metric: str
    value: float
    unit: str
    source: Text
    dataset: Text | None = None
    split: Text | None = None
    device: Text | None = None
    framework: Text | None = None
    size_hw: SizeHw | None = None
    batch: PositiveInteger | None = None
    group: Text | None = None
    per_class: dict[str, float] = field(default_factory=dict, hash=False)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object, with the value under a key that ends in its unit."""
        row = asdict(self)
        height, width = row.pop("size_hw") or (None, None)
        unit = row.pop("unit").replace("frames/s", "frames_per_s").lower()
        return row | {"height": height, "width": width, f"value_{unit}": row.pop("value")}


_UNITS = {
    "top1": "fraction",
    "top5": "fraction",
    "miou": "fraction",
    "mniou": "fraction",
    "fps": "frames/s",
    "latency": "ms",
    "gpu_memory": "MB",
    "flops": "count",
}


def _published(node: Node) -> Published:
    metric = node.member("metric").choice(tuple(_UNITS))
    node.member("unit").choice((_UNITS[metric],))
    result = read_as(Published, node, {} if "per_class" in node.members() else {"per_class": {}})
    if result.unit == "fraction" and not all(0 <= number <= 1 for number in (result.value, *result.per_class.values())):
        node.fail("a fraction lies in 0..1")
    return result


@dataclass(frozen=True)
class ModelInfo:
    """A model of the zoo.

    Attributes:
        name: Its name, or that of an alias that has files of its own.
        task: "classification" or "segmentation".
        architecture: Name for `dongfeng.architectures.build`.
        folded: Whether BatchNorm is folded into the weights.
        prototxt: File name in `prototxt/`.
        weights: The released files; the first alone holds all weights.
        head: "x8": scores are interpolated to full size before argmax; "d8": argmax at 1/8; None: classification.
        score_blob: Blob of the scores in the folded net.
        size_hw: Input height and width in pixels.
        preprocessing: How an image becomes the input.
        classes: "cityscapes" or "imagenet".
        published: Results as published.
    """

    name: str
    task: Task
    architecture: Text
    folded: bool
    prototxt: Annotated[str, _prototxt]
    weights: tuple[FileInfo, ...]
    head: Head | None
    score_blob: Text
    size_hw: SizeHw
    preprocessing: Preprocessing
    classes: Literal["cityscapes", "imagenet"]
    published: tuple[Annotated[Published, _published], ...]

    def result(self, metric: str, **where: object) -> Published | None:
        """Find the first published result of a metric whose fields equal `where`; None where there is none.

        Example:
            >>> from dongfeng.zoo.models import model_info
            >>> model_info("df1seg").result("miou", split="val").value
            0.741
        """
        where["metric"] = metric
        found = (each for each in self.published if all(getattr(each, key) == value for key, value in where.items()))
        return next(found, None)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object, with every published result."""
        return {
            "model": self.name,
            "task": self.task,
            "architecture": self.architecture,
            "height": self.size_hw[0],
            "width": self.size_hw[1],
            "classes": self.classes,
            "weights": [file.to_json() for file in self.weights],
            "published": [result.to_json() for result in self.published],
        }


@dataclass(frozen=True)
class Manifest:
    """The whole manifest.

    Attributes:
        files: By name.
        models: By name, in the order of the file; without aliases.
        aliases: By name; released file names that stand for a model.
    """

    files: Mapping[str, FileInfo]
    models: Mapping[str, ModelInfo]
    aliases: Mapping[str, ModelInfo]


def canonical(name: str) -> str:
    """Reduce a name to what lookup compares: case, `-` and `_` do not matter."""
    return name.lower().replace("-", "").replace("_", "")


@cache
def manifest() -> Manifest:
    """Return the manifest of this installation, read once.

    Raises:
        ManifestError: it is missing or damaged.
    """
    return read_manifest(data_root() / MANIFEST)


def read_manifest(path: Path) -> Manifest:
    """Read a manifest file.

    Raises:
        ManifestError: the message gives the path in the JSON, what was expected and what is there.
    """
    try:
        root = _JSON.read(path).fields(("schema", "files", "models"))
    except FileNotFoundError as error:
        raise ManifestError(f"{path}: cannot be read ({error}); reinstall dongfeng") from error
    if root["schema"].positive_integer() != SCHEMA:
        root["schema"].fail(f"schema {root['schema'].value} is not {SCHEMA}, the one this version reads")
    files = {name: _file(name, node) for name, node in root["files"].members().items()}
    models: dict[str, ModelInfo] = {}
    aliases: dict[str, ModelInfo] = {}
    taken: set[str] = set()
    for name, node in root["models"].members().items():
        models[name] = _model(name, node, files)
        mine = {name: node, **node.member("aliases").members()}
        for spelling, where in mine.items():
            if canonical(spelling) in taken:
                where.fail(f'the name "{spelling}" is taken')
            taken.add(canonical(spelling))
        aliases.update({key: _alias(key, where, models[name], files) for key, where in mine.items() if key != name})
    return Manifest(MappingProxyType(files), MappingProxyType(models), MappingProxyType(aliases))


def _file(name: str, node: Node) -> FileInfo:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        node.fail("a file name has letters, digits, '.', '_' and '-' only")
    node.fields(("urls", "format", "size_bytes", "sha256", "licence"), ("shipped",))
    file = read_as(FileInfo, node, {"name": name})
    if file.sha256 is None and file.format != "caffemodel":
        node.member("sha256").fail("only a caffemodel can be verified without a hash")
    if file.shipped and (file.urls or file.size_bytes is None or file.sha256 is None):
        node.fail("a shipped file has no urls, and its size_bytes and sha256 are known")
    return file


def _model(name: str, node: Node, files: Mapping[str, FileInfo]) -> ModelInfo:
    given = {
        "name": name,
        "folded": node.member("merged").boolean(),
        "weights": _weights(node.member("weights"), files),
        "preprocessing": _preprocessing(node),
    }
    rest = node.without("merged", "weights", "mean_bgr", "scale", "shorter_side", "aliases")
    return read_as(ModelInfo, rest, given)


def _preprocessing(model: Node) -> Preprocessing:
    means, side, size_hw = model.member("mean_bgr"), model.member("shorter_side"), model.member("size_hw").size_hw()
    if len(means.items()) not in (1, 3):
        means.fail(f"expected 1 or 3 values, got {len(means.items())}")
    shorter_side = None if side.is_null else side.positive_integer()
    if shorter_side is not None and shorter_side < max(size_hw):
        side.fail(f"{shorter_side} is smaller than the crop, {size_hw[0]}x{size_hw[1]}")
    return Preprocessing(
        mean_bgr=tuple(value.number() for value in means.items()),
        scale=model.member("scale").number(),
        shorter_side=shorter_side,
        crop_hw=None if shorter_side is None else size_hw,
    )


def _alias(name: str, node: Node, model: ModelInfo, files: Mapping[str, FileInfo]) -> ModelInfo:
    """Return the model itself, or the model with the files that the alias names instead."""
    if not node.members():
        return model
    fields = node.fields(("merged", "prototxt", "weights"))
    return replace(
        model,
        name=name,
        folded=fields["merged"].boolean(),
        prototxt=_prototxt(fields["prototxt"]),
        weights=_weights(fields["weights"], files),
    )


def _weights(node: Node, files: Mapping[str, FileInfo]) -> tuple[FileInfo, ...]:
    items = node.items()
    if not items:
        node.fail("expected at least one file")
    for item in items:
        if item.text() not in files:
            item.fail(f'"{item.value}" is not listed under files')
    return tuple(files[item.text()] for item in items)
