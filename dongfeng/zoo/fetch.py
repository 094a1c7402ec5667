"""Weight files of a model: shipped, or in the cache, else downloaded; never a bad file, never half a file."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dongfeng.errors import WeightsUnavailable
from dongfeng.support.files import sha256_of, sync_folder
from dongfeng.support.progress import Progress, show_progress
from dongfeng.zoo import drive
from dongfeng.zoo.checksums import remember_checksum, remembered_checksum
from dongfeng.zoo.drive import DriveTransfer
from dongfeng.zoo.http import HttpTransfer
from dongfeng.zoo.manifest import FileInfo, ModelInfo
from dongfeng.zoo.models import model_info
from dongfeng.zoo.paths import weights_folder
from dongfeng.zoo.shipped import shipped_file, shipped_path
from dongfeng.zoo.transfer import Transfer, TransferError, one_line
from dongfeng.zoo.verify import Rejected, check_file, verify_weights

INCOMPLETE = ".incomplete"  # folder, inside the weights folder, of unfinished downloads and locks


def fetch_weights(info: ModelInfo, *, progress: bool = True) -> Path:
    """Return the file that holds a model's weights, downloaded on first use unless it ships with the package.

    A file put into the cache by hand under its released name is verified like a download, and used.
    `DONGFENG_MIRROR` (an address that file names are appended to) is tried before the manifest's addresses;
    `DONGFENG_OFFLINE=1` forbids any download.

    Args:
        info: The model, from `dongfeng.zoo.models.model_info`.
        progress: False keeps stderr quiet; otherwise a bar is shown on a terminal, plain lines elsewhere.

    Raises:
        WeightsUnavailable: the message says what happened, where to get the file by hand and where to put it.
    """
    return _fetch(info.weights[0], info, progress)


def local_weights(info: ModelInfo) -> Path | None:
    """Return the file that holds a model's weights if it is here; nothing is downloaded or checked."""
    file = info.weights[0]
    path = shipped_path(file) if file.shipped else weights_folder() / file.name
    return path if path.is_file() else None


def fetch_files(info: ModelInfo, *, progress: bool = True) -> tuple[Path, ...]:
    """Return all released files of a model, downloaded on first use; see `fetch_weights`."""
    return tuple(_fetch(file, info, progress) for file in info.weights)


@dataclass(frozen=True)
class FetchedModel:
    """The outcome of fetching a model.

    Attributes:
        model: Its name.
        paths: Its files; none where one of them is not to be had.
        problem: Why that is so.
    """

    model: str
    paths: tuple[Path, ...]
    problem: WeightsUnavailable | None = None

    def to_json(self) -> list[dict[str, Any]]:
        """Return a JSON object for each file."""
        return [{"model": self.model, "path": str(path), "size_bytes": path.stat().st_size} for path in self.paths]


def fetch_models(names: Iterable[str], *, progress: bool = True) -> Iterator[FetchedModel]:
    """Fetch all released files of some models, each whatever happens to the others.

    Args:
        names: Zoo names.
        progress: As for `fetch_weights`.

    Yields:
        Each model when it is done.

    Raises:
        UnknownModel: there is no such model; nothing is fetched then.
    """
    for info in [model_info(name) for name in names]:
        try:
            yield FetchedModel(info.name, fetch_files(info, progress=progress))
        except WeightsUnavailable as error:
            yield FetchedModel(info.name, (), error)


def fetch_file(file: FileInfo, verify: Callable[[Path], None], *, progress: bool = True) -> Path:
    """Return one file: that of the package, or from the cache or downloaded into it.

    Args:
        file: The file.
        verify: Raises CaffemodelError or WeightsMismatch for a file whose content is wrong; called where the
            manifest gives no hash.
        progress: As for `fetch_weights`.

    Raises:
        WeightsUnavailable: as for `fetch_weights`.
    """
    if file.shipped:
        return shipped_file(file)
    return _CachedFile(file, verify, weights_folder() / file.name).fetch(progress=progress)


def _fetch(file: FileInfo, info: ModelInfo, progress: bool) -> Path:
    return fetch_file(file, lambda path: verify_weights(path, info), progress=progress)


@dataclass(frozen=True)
class _CachedFile:
    """A file of the cache, at `target`, which `verify` checks."""

    file: FileInfo
    verify: Callable[[Path], None]
    target: Path

    def fetch(self, *, progress: bool) -> Path:
        try:
            if self.target.is_file():
                return self._cached()
            if _is_offline():
                raise self._unavailable("DONGFENG_OFFLINE is set, so nothing is downloaded")
            with show_progress(self.file.name, "bytes", enabled=progress) as shown:
                self._download_locked(shown)
        except WeightsUnavailable:
            raise
        except (OSError, NotImplementedError) as error:  # the latter from a file system without locks
            raise self._disk_failure(error) from error
        return self.target

    def _cached(self) -> Path:
        """Check the file that is in the cache; a changed one is reported, not replaced."""
        sha256 = sha256_of(self.target)
        try:
            is_new = self._check(self.target, sha256)
        except Rejected as error:
            where = f"fetch {self._address()} by hand and put it there" if self.file.urls else "put the right one there"
            raise WeightsUnavailable(
                f"{self.target}: {error}; delete it to have it fetched again, or {where}"
            ) from error
        if is_new:
            remember_checksum(self.target, sha256)
        return self.target

    def _check(self, path: Path, sha256: str) -> bool:
        return check_file(path, self.file, sha256, remembered_checksum(self.target), self.verify)

    def _download_locked(self, shown: Progress) -> None:
        from filelock import FileLock, Timeout

        folder = self.target.parent / INCOMPLETE
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{self.file.name}.lock")
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            shown.note("another process is fetching it; waiting")
            held = lock.acquire()
        with held:
            if self.target.is_file():
                self._cached()
            else:
                self._download(folder, shown)

    def _download(self, folder: Path, shown: Progress) -> None:
        """Try every address in turn."""
        reasons = []
        for url in self._urls():
            host = urlsplit(url).hostname or url
            shown.note(f"fetching from {host}")
            try:
                self._from(self._transfer(url, folder), shown)
                return
            except (TransferError, Rejected) as error:
                reasons.append(f"{host}: {error}")
                shown.note(reasons[-1])
        raise self._unavailable("; ".join(reasons) or "no address is known")

    def _transfer(self, url: str, folder: Path) -> Transfer:
        drive_id = drive.file_id(url)
        if drive_id:
            return DriveTransfer(drive_id, folder / f"{self.file.name}.drive")
        return HttpTransfer(url, folder / f"{self.file.name}.part", self.file.size_bytes)

    def _from(self, transfer: Transfer, shown: Progress) -> None:
        """Download, check, and move into the cache."""
        is_resumed = transfer.is_begun()
        try:
            sha256 = transfer.download(shown)
            is_new = self._check(transfer.path, sha256)
            transfer.path.replace(self.target)
        except Rejected:
            transfer.forget()
            if not is_resumed:
                raise
            # The kept part may have been the bad half.
            self._from(transfer, shown)
            return
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                transfer.forget()
            raise
        transfer.forget()
        sync_folder(self.target.parent)
        if is_new:
            remember_checksum(self.target, sha256)

    def _urls(self) -> list[str]:
        mirror = os.environ.get("DONGFENG_MIRROR", "").strip()
        first = [f"{mirror.rstrip('/')}/{self.file.name}"] if mirror else []
        return first + list(self.file.urls)

    def _address(self) -> str:
        return self.file.urls[0] if self.file.urls else self.file.name

    def _unavailable(self, reason: str) -> WeightsUnavailable:
        return WeightsUnavailable(
            f"{self.file.name}: {reason}; fetch {self._address()} by hand and put it at {self.target}"
        )

    def _disk_failure(self, error: OSError | NotImplementedError) -> WeightsUnavailable:
        what = getattr(error, "strerror", None) or one_line(str(error))
        at = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        return WeightsUnavailable(
            f"{self.file.name}: the cache cannot be used: {what}{at}; make room there or set DONGFENG_HOME to a folder "
            f"that can be written to, or fetch {self._address()} by hand and put it at {self.target}"
        )


def _is_offline() -> bool:
    return os.environ.get("DONGFENG_OFFLINE", "").strip().lower() not in ("", "0", "false", "no", "off")
