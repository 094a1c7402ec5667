"""Folders of dongfeng's own data files, and of downloaded and converted ones."""

from __future__ import annotations

from pathlib import Path

from dongfeng.errors import ManifestError
from dongfeng.support.cache_folder import cache_root

__all__ = ["MANIFEST", "cache_root", "data_root", "engines_folder", "onnx_folder", "weights_folder"]

MANIFEST = "weights_manifest.json"
_PACKAGE = Path(__file__).resolve().parent.parent


def data_root() -> Path:
    """Return the folder that holds `weights_manifest.json` and `prototxt/`.

    That is `dongfeng/data` in an installed wheel, else the checkout (an editable install).

    Raises:
        ManifestError: neither is there; the installation is damaged.
    """
    for folder in (_PACKAGE / "data", _PACKAGE.parent):
        if (folder / MANIFEST).is_file():
            return folder
    raise ManifestError(f"{_PACKAGE / 'data' / MANIFEST}: no such file; reinstall dongfeng")


def weights_folder() -> Path:
    """Return the folder of verified weight files, each under its released name; a file may be put here by hand."""
    return cache_root() / "weights"


def onnx_folder() -> Path:
    """Return the folder of converted models."""
    return cache_root() / "onnx"


def engines_folder() -> Path:
    """Return the folder of engines of converted models."""
    return cache_root() / "engines"
