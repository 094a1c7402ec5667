"""Weights that ship with the package: they lie beside the network files, and are never downloaded."""

from __future__ import annotations

from pathlib import Path

from dongfeng.errors import WeightsUnavailable
from dongfeng.support.files import sha256_of
from dongfeng.zoo.manifest import FileInfo
from dongfeng.zoo.paths import data_root
from dongfeng.zoo.verify import Rejected, check_file


def shipped_path(file: FileInfo) -> Path:
    """Return the path of a shipped file, in a wheel, an installed sdist and a checkout alike."""
    return data_root() / "prototxt" / file.name


def shipped_file(file: FileInfo) -> Path:
    """Return the path of a shipped file, checked against the manifest; neither network nor cache is needed.

    Raises:
        WeightsUnavailable: it is missing or damaged; the message says to reinstall.
    """
    path = shipped_path(file)
    try:
        # Its hash is always known, so its content needs no check.
        check_file(path, file, sha256_of(path), None, lambda _: None)
    except (OSError, Rejected) as error:
        known = "no such file" if isinstance(error, FileNotFoundError) else getattr(error, "strerror", None)
        raise WeightsUnavailable(f"{path}: {known or error}; it ships with the package: reinstall dongfeng") from error
    return path
