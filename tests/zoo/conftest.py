"""A real HTTP server on the loopback that misbehaves on request, and an empty cache of its own for every test."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dongfeng.zoo import http, transfer
from dongfeng.zoo.manifest import FileInfo


@dataclass
class Reply:
    """How the server answers for one path."""

    body: bytes = b""
    status: int = 200
    etag: str | None = '"v1"'
    ranges: bool = True
    if_range: bool = True
    refuse_ranges: bool = False  # answer 416
    shift: int = 0  # answer with another range than asked for
    cut_after: int | None = None  # bytes sent before the connection is dropped
    cut_times: int = 10**6  # how many answers are cut
    delay_s: float = 0.0  # before the answer
    gate: threading.Event | None = None  # the answer waits for it
    pause_s: float = 0.0  # between packets of 4 kB
    headers: dict[str, str] = field(default_factory=dict)
    announce_length: bool = True


@dataclass
class Server:
    """A running server: what it serves, and what it was asked."""

    url: str
    replies: dict[str, Reply] = field(default_factory=dict)
    asked: list[tuple[str, Message]] = field(default_factory=list)

    def serve(self, name: str, body: bytes, **how: Any) -> str:
        self.replies[f"/{name}"] = Reply(body, **how)
        return f"{self.url}/{name}"

    def ranges(self) -> list[str | None]:
        """The Range header of every request so far."""
        return [headers["Range"] for _, headers in self.asked]


def _answer(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    time.sleep(reply.delay_s)
    if reply.gate:
        reply.gate.wait(20)
    start = 0
    asked = handler.headers["Range"]
    if asked and reply.ranges and (not reply.if_range or handler.headers["If-Range"] in (None, "", reply.etag)):
        start = int(asked.removeprefix("bytes=").removesuffix("-")) + reply.shift
        if reply.refuse_ranges:
            handler.send_error(416)
            return
    handler.send_response(206 if start else reply.status)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(reply.body) - 1}/{len(reply.body)}")
    if reply.etag:
        handler.send_header("ETag", reply.etag)
    if reply.announce_length:
        handler.send_header("Content-Length", str(len(reply.body) - start))
    for key, value in reply.headers.items():
        handler.send_header(key, value)
    handler.end_headers()
    stop = len(reply.body)
    if reply.cut_after is not None and reply.cut_times > 0:
        reply.cut_times -= 1
        stop = start + reply.cut_after
    for at in range(start, min(stop, len(reply.body)), 4096):
        handler.wfile.write(reply.body[at : min(at + 4096, stop)])
        time.sleep(reply.pause_s)


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append((self.path, self.headers))
            reply = found.replies.get(self.path.split("?")[0], Reply(b"nothing here", status=404))
            # The client may have been killed, or have had enough.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                _answer(self, reply)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        found = Server(f"http://127.0.0.1:{running.server_address[1]}")
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield found
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, network allowed (the loopback), no waiting between attempts; gives the weights folder."""
    monkeypatch.setenv("DONGFENG_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DONGFENG_OFFLINE", raising=False)
    monkeypatch.setattr(transfer, "BACKOFF_S", 0.0)
    monkeypatch.setattr(http, "CHUNK_BYTES", 1000)
    return tmp_path / "home" / "weights"


@pytest.fixture
def file_info() -> Callable[..., FileInfo]:
    """Make the manifest's entry of a file."""

    def make(*urls: str, name: str = "net.caffemodel", sha256: str | None = None, size: int | None = None) -> FileInfo:
        return FileInfo(name, urls, "caffemodel", size_bytes=size, sha256=sha256)

    return make
