"""An ncnn network as one file: a plain zip of its param, its weights, and what the runtime has to know besides."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from dongfeng.errors import ConversionError
from dongfeng.formats.ncnn.read import weights_beside

SUFFIX = ".ncnn.zip"
_PARAM, _WEIGHTS, _ABOUT = "net.param", "net.bin", "about.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # equal networks make equal files

Shapes = dict[str, tuple[int, ...]]


class NcnnFiles(NamedTuple):
    """An ncnn network on the disk.

    Attributes:
        param: Network file, text or binary.
        weights: Weight file.
        metadata: What `dongfeng.load` has to know to run it.
        output_shapes: Shapes of its outputs, where they are known.
    """

    param: Path
    weights: Path
    metadata: Mapping[str, str]
    output_shapes: Shapes


def pack(param: str, weights: bytes, metadata: Mapping[str, str], output_shapes: Shapes) -> bytes:
    """The content of such a file."""
    about = json.dumps({"metadata": dict(metadata), "output_shapes": output_shapes})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in ((_PARAM, param), (_WEIGHTS, weights), (_ABOUT, about)):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return buffer.getvalue()


@contextmanager
def opened(model: Path | bytes) -> Iterator[NcnnFiles]:
    """The network of such a file or its content, or of a user's `.param` with its `.bin` beside it.

    ncnn reads from files only, so the packed ones are on the disk until the block ends.

    Raises:
        ConversionError: the file is damaged.
    """
    if isinstance(model, Path) and not model.name.endswith(SUFFIX):
        yield NcnnFiles(model, weights_beside(model), {}, {})
        return
    with tempfile.TemporaryDirectory(prefix="dongfeng-") as name:
        yield _unpack(model, Path(name))


def _unpack(model: Path | bytes, folder: Path) -> NcnnFiles:
    try:
        with zipfile.ZipFile(io.BytesIO(model) if isinstance(model, bytes) else model) as archive:
            for name in (_PARAM, _WEIGHTS):
                with archive.open(name) as packed, (folder / name).open("wb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
            about = json.loads(archive.read(_ABOUT))
        shapes = {name: tuple(shape) for name, shape in about["output_shapes"].items()}
        return NcnnFiles(folder / _PARAM, folder / _WEIGHTS, about["metadata"], shapes)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        what = "the model" if isinstance(model, bytes) else str(model)
        raise ConversionError(f"{what}: not a network packed for ncnn, or damaged ({error}); delete it") from error
