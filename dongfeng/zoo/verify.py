"""Check of a file before it may enter the cache, or be used from it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

from dongfeng.errors import CaffemodelError, WeightsMismatch
from dongfeng.zoo.checksums import checksum_path
from dongfeng.zoo.manifest import FileInfo, ModelInfo
from dongfeng.zoo.transfer import html_page

_HEAD_BYTES = 4096


class Rejected(Exception):
    """A file is not the released one; the message is a clause that fits into a line."""


def check_file(path: Path, file: FileInfo, sha256: str, remembered: str | None, verify: Callable[[Path], None]) -> bool:
    """Check a complete file against all that is known of it.

    Args:
        path: The file.
        file: Its entry in the manifest.
        sha256: The file's hash.
        remembered: The hash remembered from its first use, if any.
        verify: Checks the content where the manifest has no hash and none is remembered.

    Returns:
        Whether the hash is new and should be remembered.

    Raises:
        Rejected: the file is not the released one.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        page = html_page(stream.read(_HEAD_BYTES))
    if page:
        raise Rejected(page)
    size_bytes = path.stat().st_size
    if file.size_bytes is not None and size_bytes != file.size_bytes:
        raise Rejected(f"it has {size_bytes} bytes, the released file {file.size_bytes}")
    if file.sha256 is not None:
        if sha256 != file.sha256:
            raise Rejected(f"its sha256 is {sha256[:16]}..., that of the released file {file.sha256[:16]}...")
        return False
    if remembered is not None:
        if sha256 != remembered:
            raise Rejected(
                f"its sha256 is {sha256[:16]}..., but {remembered[:16]}... was pinned when the file was first used "
                f"(to accept the new one, delete {checksum_path(Path(file.name))} beside it)"
            )
        return False
    try:
        verify(path)
    except (CaffemodelError, WeightsMismatch) as error:
        # A file of another net differs everywhere; a few differences tell enough.
        reason = textwrap.shorten(str(error).replace(f"{path}: ", ""), 240, placeholder=" ...")
        raise Rejected(f"it is not the released file: {reason}") from error
    return True


def verify_weights(path: Path, info: ModelInfo) -> None:
    """Check that a caffemodel holds the weights of a model: every learnable layer, in the right shape, all finite.

    Args:
        path: The file.
        info: The model it is meant for.

    Raises:
        CaffemodelError: it is not a caffemodel, or holds NaN or infinite values.
        WeightsMismatch: its layers are not those of the model's architecture.
        OSError: it cannot be read.
    """
    import numpy as np

    from dongfeng.architectures import build
    from dongfeng.net.weights import load_caffemodel

    net = build(info.architecture, folded=info.folded)
    for layer in load_caffemodel(net, path, require_all=True).layers:
        if not all(np.isfinite(blob).all() for blob in layer.blobs):
            raise CaffemodelError(f'{path}: layer "{layer.name}" holds NaN or infinite values; the file is damaged')
