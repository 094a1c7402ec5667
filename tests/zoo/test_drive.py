"""Google Drive, played by the loopback server: real gdown, whose requests are sent there instead."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import requests

from dongfeng.errors import WeightsUnavailable
from dongfeng.zoo import drive, transfer
from dongfeng.zoo.fetch import INCOMPLETE, fetch_file
from dongfeng.zoo.manifest import FileInfo
from tests.zoo.conftest import Server

BODY = b"\x0a\x03net" + bytes(range(256)) * 400
FILE = FileInfo("net.caffemodel", ("https://drive.google.com/open?id=1a-B_c",), "caffemodel")
ATTACHED = {"Content-Disposition": 'attachment; filename="net.caffemodel"', "Content-Type": "application/octet-stream"}
PAGE = {"Content-Type": "text/html; charset=utf-8"}

CONFIRM = (
    b"<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>"
    b'<form id="download-form" action="https://drive.usercontent.google.com/download" method="get">'
    b'<input type="hidden" name="id" value="1a-B_c"><input type="hidden" name="confirm" value="t"></form></body></html>'
)
QUOTA = b"""<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>
<p class="uc-error-caption">Sorry, you can't view or download this file at this time.</p>
<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently.</p></body></html>"""
DENIED = b"<html><head><title>Google Drive: Sign-in</title></head><body>Request access</body></html>"


@pytest.fixture(autouse=True)
def google(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Google's hosts lead to the loopback server."""
    send = requests.adapters.HTTPAdapter.send

    def redirected(self: Any, request: requests.PreparedRequest, **how: Any) -> requests.Response:
        parts = urlsplit(request.url or "")
        assert str(parts.hostname).endswith("google.com"), f"asked {parts.hostname}"
        ours = urlsplit(server.url)
        request.url = urlunsplit((ours.scheme, ours.netloc, parts.path, parts.query, ""))
        return send(self, request, **how)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", redirected)
    monkeypatch.setattr(transfer, "ATTEMPTS", 1)
    return server


def fetch() -> Path:
    return fetch_file(FILE, lambda path: None, progress=False)


def refused(cache: Path) -> str:
    with pytest.raises(WeightsUnavailable) as caught:
        fetch()
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(f"fetch {FILE.urls[0]} by hand and put it at {cache / 'net.caffemodel'}")
    assert not (cache / "net.caffemodel").exists()
    return message


def test_file(google: Server, cache: Path) -> None:
    google.serve("uc", BODY, headers=ATTACHED)
    assert fetch().read_bytes() == BODY
    assert google.asked[0][0] == "/uc?id=1a-B_c"
    assert (cache / "net.caffemodel.sha256").read_text().startswith(hashlib.sha256(BODY).hexdigest())
    assert [path.name for path in (cache / INCOMPLETE).iterdir() if path.suffix != ".lock"] == []


def test_large_file_behind_the_virus_scan_page(google: Server) -> None:
    google.serve("uc", CONFIRM, headers=PAGE)
    google.serve("download", BODY, headers=ATTACHED)
    assert fetch().read_bytes() == BODY
    assert google.asked[1][0] == "/download?id=1a-B_c&confirm=t"


def test_quota_page(google: Server, cache: Path) -> None:
    google.serve("uc", QUOTA, headers=PAGE)
    message = refused(cache)
    assert "drive.google.com: Google Drive sent an HTML page instead of the file: Too many users have viewed" in message


def test_permission_page(google: Server, cache: Path) -> None:
    google.serve("uc", DENIED, headers=PAGE)
    assert "change the permission" in refused(cache)


def test_page_sent_as_an_attachment(google: Server, cache: Path) -> None:
    google.serve("uc", QUOTA, headers=ATTACHED)
    assert 'HTML page "Google Drive - Quota exceeded"' in refused(cache)
    assert [path.name for path in (cache / INCOMPLETE).iterdir() if path.suffix != ".lock"] == []


def test_error_status(google: Server, cache: Path) -> None:
    google.serve("uc", b"", status=404, headers=ATTACHED)
    assert "HTTP 404 Not Found" in refused(cache)


def test_cut_file_is_kept_and_resumed(google: Server, cache: Path) -> None:
    body = BODY * 12
    google.serve("uc", body, headers=ATTACHED, cut_after=1_000_000, cut_times=1)
    assert "the connection was cut before the end of the file" in refused(cache)
    assert len(drive.parts(cache / INCOMPLETE / "net.caffemodel.drive")) == 1
    assert fetch().read_bytes() == body
    assert google.ranges()[-1] == "bytes=524288-"  # gdown writes blocks of 512 KiB
    assert drive.parts(cache / INCOMPLETE / "net.caffemodel.drive") == []


def test_silent_server(google: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT_S", (0.2, 0.2))
    google.serve("uc", BODY, headers=ATTACHED, delay_s=0.5)
    assert "no answer within 0.2 s" in refused(cache)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://drive.google.com/open?id=1a-B_c", "1a-B_c"),
        ("https://drive.google.com/uc?export=download&id=1a-B_c", "1a-B_c"),
        ("https://drive.google.com/file/d/1a-B_c/view?usp=sharing", "1a-B_c"),
        ("https://drive.google.com/", None),
        ("https://example.org/open?id=1a-B_c", None),
    ],
)
def test_file_id(url: str, found: str | None) -> None:
    assert drive.file_id(url) == found
