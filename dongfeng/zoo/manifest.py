"""`weights_manifest.json` as frozen dataclasses, strictly read; the file is their only source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast

from dongfeng.errors import ManifestError
from dongfeng.net.preprocessing import Preprocessing
from dongfeng.support.strict_json import JsonFormat, Node
from dongfeng.zoo.paths import MANIFEST, data_root

SCHEMA = 1
_JSON = JsonFormat(ManifestError, "mend the file, or reinstall dongfeng")
Task = Literal["classification", "segmentation"]
Head = Literal["x8", "d8"]


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
    urls: tuple[str, ...]
    format: Literal["caffemodel", "ncnn"]
    size_bytes: int | None = None
    sha256: str | None = None
    licence: str | None = None
    shipped: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            "file": self.name,
            "format": self.format,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "licence": self.licence,
            "shipped": self.shipped,
            "urls": list(self.urls),
        }


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
    source: str
    dataset: str | None = None
    split: str | None = None
    device: str | None = None
    framework: str | None = None
    size_hw: tuple[int, int] | None = None
    batch: int | None = None
    group: str | None = None
    per_class: dict[str, float] = field(default_factory=dict, hash=False)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object, with the value under a key that ends in its unit."""
        row = asdict(self)
        height, width = row.pop("size_hw") or (None, None)
        unit = row.pop("unit").replace("frames/s", "frames_per_s").lower()
        return row | {"height": height, "width": width, f"value_{unit}": row.pop("value")}


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
    architecture: str
    folded: bool
    prototxt: str
    weights: tuple[FileInfo, ...]
    head: Head | None
    score_blob: str
    size_hw: tuple[int, int]
    preprocessing: Preprocessing
    classes: Literal["cityscapes", "imagenet"]
    published: tuple[Published, ...] = ()

    def result(self, metric: str, **where: object) -> Published | None:
        """Find the first published result of a metric whose fields equal `where`; None where there is none.

        Example:
            >>> from dongfeng.zoo.models import model_info
            >>> model_info("df1seg").result("miou", split="val").value
            0.741
        """
        for result in self.published:
            if result.metric == metric and all(getattr(result, key) == value for key, value in where.items()):
                return result
        return None

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
        mine = {name: node, **node.members()["aliases"].members()}
        for spelling, where in mine.items():
            if canonical(spelling) in taken:
                where.fail(f'the name "{spelling}" is taken')
            taken.add(canonical(spelling))
        aliases.update({key: _alias(key, where, models[name], files) for key, where in mine.items() if key != name})
    return Manifest(MappingProxyType(files), MappingProxyType(models), MappingProxyType(aliases))


def _file(name: str, node: Node) -> FileInfo:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        node.fail("a file name has letters, digits, '.', '_' and '-' only")
    fields = node.fields(("urls", "format", "size_bytes", "sha256", "licence"), ("shipped",))
    urls = tuple(url.text() for url in fields["urls"].items())
    for url, where in zip(urls, fields["urls"].items(), strict=True):
        if not re.match(r"https?://[^/\s]+/", url):
            where.fail(f"{url} is no http(s) URL")
    form = cast("Literal['caffemodel', 'ncnn']", fields["format"].choice(("caffemodel", "ncnn")))
    size, digest, licence = fields["size_bytes"], fields["sha256"], fields["licence"]
    if digest.is_null and form != "caffemodel":
        digest.fail("only a caffemodel can be verified without a hash")
    if not digest.is_null and not re.fullmatch(r"[0-9a-f]{64}", digest.text()):
        digest.fail("expected 64 hexadecimal digits in lower case")
    shipped = "shipped" in fields and fields["shipped"].boolean()
    if shipped and (urls or size.is_null or digest.is_null):
        node.fail("a shipped file has no urls, and its size_bytes and sha256 are known")
    return FileInfo(
        name=name,
        urls=urls,
        format=form,
        size_bytes=None if size.is_null else size.positive_integer(),
        sha256=None if digest.is_null else digest.text(),
        licence=None if licence.is_null else licence.text(),
        shipped=shipped,
    )


_MODEL_KEYS = (
    *("task", "architecture", "merged", "prototxt", "weights", "head", "score_blob"),
    *("size_hw", "mean_bgr", "scale", "shorter_side", "classes", "aliases", "published"),
)


def _model(name: str, node: Node, files: Mapping[str, FileInfo]) -> ModelInfo:
    fields = node.fields(_MODEL_KEYS)
    head, size_hw = fields["head"], fields["size_hw"].size_hw()
    return ModelInfo(
        name=name,
        task=cast("Task", fields["task"].choice(("classification", "segmentation"))),
        architecture=fields["architecture"].text(),
        folded=fields["merged"].boolean(),
        prototxt=_prototxt(fields["prototxt"]),
        weights=_weights(fields["weights"], files),
        head=None if head.is_null else cast("Head", head.choice(("x8", "d8"))),
        score_blob=fields["score_blob"].text(),
        size_hw=size_hw,
        preprocessing=_preprocessing(fields, size_hw),
        classes=cast("Literal['cityscapes', 'imagenet']", fields["classes"].choice(("cityscapes", "imagenet"))),
        published=tuple(_published(result) for result in fields["published"].items()),
    )


def _preprocessing(fields: Mapping[str, Node], size_hw: tuple[int, int]) -> Preprocessing:
    mean_bgr = tuple(value.number() for value in fields["mean_bgr"].items())
    if len(mean_bgr) not in (1, 3):
        fields["mean_bgr"].fail(f"expected 1 or 3 values, got {len(mean_bgr)}")
    side = fields["shorter_side"]
    shorter_side = None if side.is_null else side.positive_integer()
    if shorter_side is not None and shorter_side < max(size_hw):
        side.fail(f"{shorter_side} is smaller than the crop, {size_hw[0]}x{size_hw[1]}")
    return Preprocessing(
        mean_bgr=mean_bgr,
        scale=fields["scale"].number(),
        shorter_side=shorter_side,
        crop_hw=None if shorter_side is None else size_hw,
    )


def _alias(name: str, node: Node, model: ModelInfo, files: Mapping[str, FileInfo]) -> ModelInfo:
    """Return the model itself, or the model with the files that the alias names instead."""
    fields = node.fields((), ("merged", "prototxt", "weights"))
    if not fields:
        return model
    node.fields(("merged", "prototxt", "weights"))
    return replace(
        model,
        name=name,
        folded=fields["merged"].boolean(),
        prototxt=_prototxt(fields["prototxt"]),
        weights=_weights(fields["weights"], files),
    )


def _prototxt(node: Node) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*\.prototxt", node.text()):
        node.fail(f"expected the name of a .prototxt file, got {node.value}")
    return node.text()


def _weights(node: Node, files: Mapping[str, FileInfo]) -> tuple[FileInfo, ...]:
    items = node.items()
    if not items:
        node.fail("expected at least one file")
    for item in items:
        if item.text() not in files:
            item.fail(f'"{item.value}" is not listed under files')
    return tuple(files[item.text()] for item in items)


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
    fields = node.fields(
        ("metric", "value", "unit", "source"),
        ("dataset", "split", "device", "framework", "size_hw", "batch", "group", "per_class"),
    )
    metric = fields["metric"].choice(tuple(_UNITS))
    unit = fields["unit"].choice((_UNITS[metric],))
    value = fields["value"].number()
    per_class = {key: at.number() for key, at in fields["per_class"].members().items()} if "per_class" in fields else {}
    if unit == "fraction" and not all(0 <= number <= 1 for number in (value, *per_class.values())):
        node.fail("a fraction lies in 0..1")
    return Published(
        metric=metric,
        value=value,
        unit=unit,
        source=fields["source"].text(),
        size_hw=fields["size_hw"].size_hw() if "size_hw" in fields else None,
        batch=fields["batch"].positive_integer() if "batch" in fields else None,
        per_class=per_class,
        **{key: fields[key].text() for key in ("dataset", "split", "device", "framework", "group") if key in fields},
    )
