"""Downloading over HTTP: streamed, hashed on the way, resumed where the server can prove the file is the same."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dongfeng.support.progress import Progress
from dongfeng.zoo import transfer
from dongfeng.zoo.transfer import TransferError, html_page, network_reason

if TYPE_CHECKING:
    import requests

CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class _Partial:
    """A download in progress: `path` holds the first bytes, a JSON file beside it says of what."""

    path: Path

    @property
    def note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def resumable(self, url: str) -> tuple[int, dict[str, Any]]:
        """Bytes that may be kept and what is known of their source; 0 where nothing may."""
        try:
            known = json.loads(self.note.read_text(encoding="utf-8"))
            size = self.path.stat().st_size
        except (OSError, ValueError):
            return 0, {}
        if not isinstance(known, dict) or known.get("url") != url or not known.get("validator"):
            return 0, {}
        total = known.get("total")
        return (size, known) if total is None or size < total else (0, {})

    def begin(self, url: str, response: requests.Response, total: int | None) -> None:
        # Emptied before the note is renewed: a kill in between must not lend old bytes to a new source.
        self.path.write_bytes(b"")
        known = {"url": url, "validator": _validator(response), "total": total}
        self.note.write_text(json.dumps(known), encoding="utf-8")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def download(url: str, path: Path, *, size_bytes: int | None, progress: Progress) -> str:
    """Download `url` to `path`; a part left there by an earlier attempt is continued where that is safe.

    Network errors are retried a few times; the part is kept for the next call when they persist.

    Args:
        url: http(s) address.
        path: The file to write; complete only when this function returns.
        size_bytes: Exact size where known.
        progress: Shows the bytes and the attempts.

    Returns:
        SHA-256 of the file, hexadecimal.

    Raises:
        TransferError: the address does not give the file.
        OSError: the file cannot be written.
    """
    import requests

    partial = _Partial(path)
    for attempt in range(1, transfer.ATTEMPTS + 1):
        try:
            return _attempt(url, partial, size_bytes, progress)
        except (requests.exceptions.SSLError, requests.exceptions.ProxyError) as error:
            raise TransferError(network_reason(error)) from error
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            reason = network_reason(error)
            if attempt == transfer.ATTEMPTS:
                raise TransferError(reason) from error
        except requests.RequestException as error:
            raise TransferError(network_reason(error)) from error
        delay_s = transfer.BACKOFF_S * 2 ** (attempt - 1)
        progress.note(f"{reason}; trying again in {delay_s:g} s")
        time.sleep(delay_s)
    raise TransferError("no attempt was allowed")


def forget(path: Path) -> None:
    """Delete what an unfinished download to `path` left."""
    _Partial(path).discard()


def _attempt(url: str, partial: _Partial, size_bytes: int | None, progress: Progress) -> str:
    import requests

    kept, known = partial.resumable(url)
    headers = {"Accept-Encoding": "identity"}
    if kept:
        headers |= {"Range": f"bytes={kept}-", "If-Range": known["validator"]}
    with requests.get(url, headers=headers, stream=True, timeout=transfer.TIMEOUT_S) as response:
        if kept and not _continues(response, kept, known):
            partial.discard()
            if response.status_code != 200:
                return _attempt(url, partial, size_bytes, progress)
            kept = 0
        if response.status_code not in ((206,) if kept else (200,)):
            raise TransferError(f"HTTP {response.status_code} {response.reason or ''}".strip())
        total = _total(response, kept)
        if None not in (total, size_bytes) and total != size_bytes and not _is_html(response):
            raise TransferError(f"the server's file has {total} bytes, the released one {size_bytes}")
        if not kept:
            partial.begin(url, response, total)
        return _save(response, partial, kept, total, progress)


def _save(response: requests.Response, partial: _Partial, kept: int, total: int | None, progress: Progress) -> str:
    """Append the body to the part; returns the hash of the whole."""
    import requests

    digest = hashlib.sha256()
    with partial.path.open("r+b") as file:
        for block in _blocks(file, kept):
            digest.update(block)
        done = kept
        for chunk in response.iter_content(CHUNK_BYTES):
            page = None if done else html_page(chunk)
            if page:
                partial.discard()
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


def _blocks(file: Any, count: int) -> Iterator[bytes]:
    """The first `count` bytes of an open file, leaving it positioned behind them."""
    while count > 0:
        block = file.read(min(CHUNK_BYTES, count))
        if not block:
            return
        count -= len(block)
        yield block


def _continues(response: requests.Response, kept: int, known: dict[str, Any]) -> bool:
    """Whether the answer is the rest of the very file whose first bytes are kept."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", ""))
    if response.status_code != 206 or found is None or int(found[1]) != kept or _is_encoded(response):
        return False
    if found[3] != "*" and (int(found[2]) != int(found[3]) - 1 or known.get("total") not in (None, int(found[3]))):
        return False
    return _validator(response) in ("", known["validator"])


def _validator(response: requests.Response) -> str:
    """What identifies this version of the file byte by byte; empty where the server offers nothing."""
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
