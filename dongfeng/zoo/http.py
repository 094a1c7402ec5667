"""Downloads over HTTP: streamed, hashed on the way, resumed where the server can prove the file is the same."""

from __future__ import annotations

import hashlib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dongfeng.errors import WeightsUnavailable
from dongfeng.support.json_dataclass import Text, as_json, read_as
from dongfeng.support.json_layout import json_text
from dongfeng.support.progress import Progress
from dongfeng.support.strict_json import JsonFormat, Node
from dongfeng.zoo import transfer
from dongfeng.zoo.transfer import TransferError, html_page, network_reason

if TYPE_CHECKING:
    import requests

CHUNK_BYTES = 1 << 16
_NOTE = JsonFormat(WeightsUnavailable, "delete it", max_bytes=1 << 16)


@dataclass(frozen=True)
class _Source:
    """A version of a file on a server.

    Attributes:
        url: Its address.
        validator: ETag or date that identifies the version byte by byte; empty where the server offers neither.
        total: Its size in bytes, where the server says it.
    """

    url: Text
    validator: Text
    total: Annotated[int, Node.count] | None


@dataclass(frozen=True)
class HttpTransfer:
    """A download over HTTP; a part left by an earlier attempt is continued where that is safe.

    Attributes:
        url: http(s) address.
        path: The file to write; complete only when `download` returns. A JSON note beside it names its source.
        size_bytes: Exact size, where known.
    """

    url: str
    path: Path
    size_bytes: int | None

    def is_begun(self) -> bool:
        """Tell whether an earlier attempt left a part."""
        return self.path.is_file()

    def forget(self) -> None:
        """Delete what finished and unfinished attempts left."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def download(self, progress: Progress) -> str:
        """Download the file; see `Transfer.download`.

        Network errors are retried a few times; the part is kept for the next call when they persist.
        """
        import requests

        lasting = (requests.exceptions.SSLError, requests.exceptions.ProxyError)  # both are ConnectionErrors
        passing = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
        failures = 0
        while True:
            try:
                return self._attempt(progress)
            except requests.RequestException as error:
                reason, failures = network_reason(error), failures + 1
                if isinstance(error, lasting) or not isinstance(error, passing) or failures == transfer.ATTEMPTS:
                    raise TransferError(reason) from error
            delay_s = transfer.BACKOFF_S * 2 ** (failures - 1)
            progress.note(f"{reason}; trying again in {delay_s:g} s")
            time.sleep(delay_s)

    def _attempt(self, progress: Progress) -> str:
        import requests

        source = self._noted_source()
        kept = self.path.stat().st_size if source else 0
        headers = {"Accept-Encoding": "identity"}
        if source and kept:
            headers |= {"Range": f"bytes={kept}-", "If-Range": source.validator}
        with requests.get(self.url, headers=headers, stream=True, timeout=transfer.TIMEOUT_S) as response:
            if source and kept and not _continues(response, kept, source):
                self.forget()
                if response.status_code != 200:
                    return self._attempt(progress)
                kept = 0
            if response.status_code not in ((206,) if kept else (200,)):
                raise TransferError(f"HTTP {response.status_code} {response.reason or ''}".strip())
            total = _total(response, kept)
            if None not in (total, self.size_bytes) and total != self.size_bytes and not _is_html(response):
                raise TransferError(f"the server's file has {total} bytes, the released one {self.size_bytes}")
            if not kept:
                self._begin(_Source(self.url, _validator(response), total))
            return self._save(response, kept, total, progress)

    def _save(self, response: requests.Response, kept: int, total: int | None, progress: Progress) -> str:
        """Append the body to the part; return the hash of the whole."""
        import requests

        digest = hashlib.sha256()
        with self.path.open("r+b") as file:
            for start in range(0, kept, CHUNK_BYTES):
                digest.update(file.read(min(CHUNK_BYTES, kept - start)))
            done = kept
            for chunk in response.iter_content(CHUNK_BYTES):
                page = None if done else html_page(chunk)
                if page:
                    self.forget()
                    raise TransferError(page)
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                progress.update(done, total)
            file.flush()
            os.fsync(file.fileno())
        if total is not None and done != total:
            raise requests.exceptions.ChunkedEncodingError(f"incomplete: {done} of {total} bytes")
        return digest.hexdigest()

    @property
    def _note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def _noted_source(self) -> _Source | None:
        """Read the source of the part; None where the part is no beginning of a file at this address."""
        try:
            source = read_as(_Source, _NOTE.read(self._note))
            kept = self.path.stat().st_size
        except OSError:  # WeightsUnavailable is one
            return None
        return source if source.url == self.url and (source.total is None or kept < source.total) else None

    def _begin(self, source: _Source) -> None:
        """Empty the part and note its source."""
        # Emptied before the note is renewed: a kill in between must not lend old bytes to a new source.
        self.path.write_bytes(b"")
        self._note.write_text(json_text(as_json(source)), encoding="utf-8")


def _continues(response: requests.Response, kept: int, source: _Source) -> bool:
    """Tell whether the answer is the rest of the very file whose first bytes are kept."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", ""))
    if response.status_code != 206 or found is None or int(found[1]) != kept or _is_encoded(response):
        return False
    if found[3] != "*" and (int(found[2]) != int(found[3]) - 1 or source.total not in (None, int(found[3]))):
        return False
    return _validator(response) in ("", source.validator)


def _validator(response: requests.Response) -> str:
    """Return what identifies this version of the file byte by byte; empty where the server offers nothing."""
    tag = response.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        return tag
    return response.headers.get("Last-Modified", "")


def _total(response: requests.Response, kept: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return kept + int(length) if length.isdigit() and not _is_encoded(response) else None


def _is_encoded(response: requests.Response) -> bool:
    return response.headers.get("Content-Encoding", "identity").lower() != "identity"


def _is_html(response: requests.Response) -> bool:
    return response.headers.get("Content-Type", "").lower().startswith("text/html")
