"""Blobs that another program saved: an .npz file, a folder of .npy files, or one .npy file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from dongfeng.errors import ConversionError
from dongfeng.layers.layer import Array

_HOW_TO = "docs/verify.md has the lines that save blobs"
_DAMAGE = (ValueError, BadZipFile, EOFError)


class SavedBlobs:
    """Saved arrays by blob name, each read when it is asked for; nothing is ever unpickled.

    Args:
        path: An .npz file with one array for each blob; a folder with one `BLOB.npy` each, where everything in the name
            but letters, digits, `_`, `.` and `-` may have become `_`; or one .npy file.
        blobs: Names of the net's blobs.
        outputs: Names of the net's outputs; a single .npy file is the only one.

    Raises:
        ConversionError: the path is none of these, or cannot be read.
        OSError: it cannot be opened.
    """

    def __init__(self, path: str | PathLike[str], blobs: Iterable[str], outputs: Sequence[str]) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            self._files = _files_of(self.path, blobs)
        elif self.path.suffix == ".npz":
            self._files = dict.fromkeys(_names_in(self.path), self.path)
        elif self.path.suffix != ".npy":
            raise ConversionError(f"{path}: expected saved blobs to compare with: .npz, .npy, or a folder of .npy")
        elif len(outputs) != 1:
            raise ConversionError(
                f"{path}: one array, but the net has {len(outputs)} outputs; save an .npz file ({_HOW_TO})"
            )
        else:
            self._files = {outputs[0]: self.path}

    def __contains__(self, blob: str) -> bool:
        return blob in self._files

    def read(self, blob: str) -> Array:
        """Read a blob as float32.

        Raises:
            ConversionError: the array cannot be read, or holds no numbers.
            KeyError: it is not saved.
        """
        file = self._files[blob]
        try:
            with file.open("rb") as stream:  # NumPy leaves a damaged file open
                loaded = np.load(stream, allow_pickle=False)
                values: npt.NDArray[Any] = loaded if isinstance(loaded, np.ndarray) else loaded[blob]
        except _DAMAGE as exc:
            raise ConversionError(f'{file}: blob "{blob}" cannot be read: {_reason(exc)}; {_HOW_TO}') from exc
        if values.dtype.kind not in "fiub":
            raise ConversionError(f'{file}: blob "{blob}" holds {values.dtype}, expected numbers; {_HOW_TO}')
        return values.astype(np.float32)


def plain_name(blob: str) -> str:
    """Return a blob's name as a file name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", blob)


def _files_of(folder: Path, blobs: Iterable[str]) -> dict[str, Path]:
    """Map each blob to its file; a file name that may stand for two blobs stands for none."""
    found = {file.relative_to(folder).as_posix().removesuffix(".npy"): file for file in folder.rglob("*.npy")}
    names = {blob: blob if blob in found else plain_name(blob) for blob in blobs}
    uses = Counter(names.values())
    return {blob: found[name] for blob, name in names.items() if name in found and uses[name] == 1}


def _names_in(path: Path) -> list[str]:
    """List the arrays of an .npz file."""
    try:
        with path.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
    except _DAMAGE as exc:
        raise ConversionError(f"{path}: not an .npz file: {_reason(exc)}; {_HOW_TO}") from exc
    if isinstance(loaded, np.ndarray):
        raise ConversionError(f"{path}: one array without a name, not an .npz file; {_HOW_TO}")
    return list(loaded.files)


def _reason(exc: Exception) -> str:
    text = " ".join(str(exc).split())
    return "it is a pickle, which dongfeng never opens" if "pickle" in text else text or type(exc).__name__
