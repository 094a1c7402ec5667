"""An ncnn network as one file: a plain zip of its param, its weights, and the facts that ncnn's files cannot hold."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Annotated

from dongfeng.errors import ConversionError
from dongfeng.support.json_dataclass import as_json, read_as
from dongfeng.support.strict_json import JsonFormat, Node

SUFFIX = ".ncnn.zip"
_PARAM, _WEIGHTS, _FACTS = "net.param", "net.bin", "about.json"
_FACTS_FORMAT = JsonFormat(ConversionError, "not a network packed for ncnn, or damaged; delete it", max_bytes=1 << 20)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # equal networks make equal files

OutputShapes = Mapping[str, tuple[Annotated[int, Node.positive_integer], ...]]


@dataclass(frozen=True)
class _Facts:
    """The member `about.json`; see `NcnnFiles`."""

    metadata: Mapping[str, Annotated[str, Node.text]]
    output_shapes: OutputShapes


@dataclass(frozen=True)
class NcnnFiles:
    """An ncnn network on the disk.

    Attributes:
        param: Network file, text or binary.
        weights: Weight file.
        metadata: Entries that `dongfeng.load` needs to run it on images.
        output_shapes: Shapes of its outputs, where they are known.
    """

    param: Path
    weights: Path
    metadata: Mapping[str, str]
    output_shapes: OutputShapes


def pack(param: str, weights: bytes, metadata: Mapping[str, str], output_shapes: OutputShapes) -> bytes:
    """Return the content of an archive; equal networks give equal bytes."""
    facts = json.dumps(as_json(_Facts(metadata, output_shapes)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in ((_PARAM, param), (_WEIGHTS, weights), (_FACTS, facts)):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return buffer.getvalue()


@contextmanager
def unpacked(model: Path | bytes) -> Iterator[NcnnFiles]:
    """Give the files of an archive (a path or its content), or a user's `.param` with its `.bin` beside it.

    ncnn reads from files only, so those of an archive are on the disk until the block ends.

    Raises:
        ConversionError: the archive is damaged.
    """
    if isinstance(model, Path) and not model.name.endswith(SUFFIX):
        yield NcnnFiles(model, weights_beside(model), {}, {})
        return
    with tempfile.TemporaryDirectory(prefix="dongfeng-") as folder:
        yield _unpack(model, Path(folder))


def weights_beside(param: str | PathLike[str]) -> Path:
    """Name the weight file that belongs to a network file: `NAME.bin` for `NAME.param` and `NAME.param.bin`."""
    path = Path(param)
    return path.with_name(f"{path.name.removesuffix('.bin').removesuffix('.param')}.bin")


def _unpack(model: Path | bytes, folder: Path) -> NcnnFiles:
    source = "the model" if isinstance(model, bytes) else str(model)
    try:
        with zipfile.ZipFile(io.BytesIO(model) if isinstance(model, bytes) else model) as archive:
            for name in (_PARAM, _WEIGHTS):
                with archive.open(name) as packed, (folder / name).open("wb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
            with archive.open(_FACTS) as packed:
                content = packed.read(_FACTS_FORMAT.max_bytes + 1)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ConversionError(f"{source}: {error}; {_FACTS_FORMAT.advice}") from error
    facts = read_as(_Facts, _FACTS_FORMAT.parse(content, source=f"{source}/{_FACTS}"))
    return NcnnFiles(folder / _PARAM, folder / _WEIGHTS, facts.metadata, facts.output_shapes)
