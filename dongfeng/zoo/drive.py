"""Downloads from Google Drive, by gdown, which knows its confirmation pages."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from dongfeng.support.progress import Progress
from dongfeng.zoo import transfer
from dongfeng.zoo.transfer import TransferError, network_reason, one_line


def file_id(url: str) -> str | None:
    """Return the file's id in a Google Drive address; None for any other address."""
    parts = urlsplit(url)
    if parts.hostname not in ("drive.google.com", "drive.usercontent.google.com"):
        return None
    found = re.search(r"/d/([\w-]+)", parts.path)
    return found[1] if found else parse_qs(parts.query).get("id", [None])[0]


@dataclass(frozen=True)
class DriveTransfer:
    """A download from Google Drive; a part left by an earlier attempt is continued.

    Attributes:
        drive_id: The file's id.
        path: The file to write; it appears when it is complete. Parts have longer names in the same folder.
    """

    drive_id: str
    path: Path

    def is_begun(self) -> bool:
        """Tell whether an earlier attempt left a part."""
        return bool(parts(self.path))

    def forget(self) -> None:
        """Delete what finished and unfinished attempts left."""
        for file in (self.path, *parts(self.path)):
            file.unlink(missing_ok=True)

    def download(self, progress: Progress) -> str:
        """Download the file; see `Transfer.download`."""
        import gdown
        import requests

        self.path.unlink(missing_ok=True)
        digest = hashlib.sha256()
        try:
            gdown.download(
                id=self.drive_id,
                output=str(self.path),
                quiet=True,
                resume=True,
                use_cookies=False,
                retries=transfer.ATTEMPTS - 1,
                timeout=transfer.TIMEOUT_S,
                hasher=digest,
                progress=progress.update,
            )
        except requests.RequestException as error:
            raise TransferError(_http_reason(error)) from error
        except gdown.exceptions.DownloadError as error:
            cause = error.__cause__
            known = isinstance(cause, requests.RequestException)
            raise TransferError(_http_reason(cause) if known else _gdown_reason(str(error))) from error
        except (KeyError, AssertionError) as error:
            raise TransferError("Google Drive answered in a form that gdown does not know") from error
        return digest.hexdigest()


def parts(path: Path) -> list[Path]:
    """List the parts that unfinished downloads to `path` left."""
    return [file for file in path.parent.glob(path.name + "????????.part") if file.is_file()]


def _http_reason(error: BaseException | None) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code} {response.reason or ''}".strip()
    return network_reason(error) if error is not None else "unknown error"


def _gdown_reason(text: str) -> str:
    """Return the cause in gdown's message, which spans lines and ends with advice for its own users."""
    cause = re.split(r"You may still be able|\.\nThe received bytes", text)[0]
    if "Failed to retrieve file url:" in cause:
        cause = f"Google Drive sent an HTML page instead of the file: {cause.split(':', 1)[1]}"
    return one_line(cause).removesuffix(".")
