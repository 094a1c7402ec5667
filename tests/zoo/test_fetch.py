from __future__ import annotations

import errno
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from dongfeng.errors import CaffemodelError, UnknownModel, WeightsUnavailable
from dongfeng.support.progress import Bar, Progress, show_progress
from dongfeng.zoo import checksums, transfer
from dongfeng.zoo.fetch import INCOMPLETE, fetch_file, fetch_models
from dongfeng.zoo.http import HttpTransfer
from dongfeng.zoo.manifest import FileInfo
from tests.zoo.conftest import Server

GOOD = b"\x0a\x04good" + bytes(range(256)) * 400
OTHER = GOOD[::-1]
PAGE = b"<!DOCTYPE html>\n<html><head><title>Google Drive -\n Quota exceeded</title></head><body>...</body></html>"
Make = Callable[..., FileInfo]


def verify(path: Path) -> None:
    if path.read_bytes() != GOOD:
        raise CaffemodelError(f"{path}: truncated in layer 3\nof 5")


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def refused(file: FileInfo) -> str:
    """The message of a fetch that must fail."""
    with pytest.raises(WeightsUnavailable) as caught:
        fetch_file(file, verify, progress=False)
    message = str(caught.value)
    assert "\n" not in message
    return message


def assert_nothing_cached(cache: Path) -> None:
    assert not [path.name for path in cache.glob("*") if path.name != INCOMPLETE]


def assert_nothing_left(cache: Path) -> None:
    """Neither in the cache nor on its way there."""
    assert_nothing_cached(cache)
    assert not [path.name for path in (cache / INCOMPLETE).glob("*") if path.suffix != ".lock"]


# --- what works -------------------------------------------------------------------------------------------------


def test_download_is_verified_cached_and_pinned(server: Server, cache: Path, file_info: Make) -> None:
    file = file_info(server.serve("net.caffemodel", GOOD))
    path = fetch_file(file, verify, progress=False)
    assert path == cache / "net.caffemodel"
    assert path.read_bytes() == GOOD
    assert (cache / "net.caffemodel.sha256").read_text() == f"{sha256(GOOD)}  net.caffemodel\n"
    assert sorted(p.name for p in cache.iterdir()) == [INCOMPLETE, "net.caffemodel", "net.caffemodel.sha256"]
    assert [p.name for p in (cache / INCOMPLETE).iterdir() if p.suffix != ".lock"] == []
    fetch_file(file, verify, progress=False)
    assert len(server.asked) == 1


def test_known_hash_is_enough(server: Server, cache: Path, file_info: Make) -> None:
    def never(path: Path) -> None:
        pytest.fail("a file whose hash is known needs no other check")

    file = file_info(server.serve("net.caffemodel", GOOD), sha256=sha256(GOOD), size=len(GOOD))
    assert fetch_file(file, never, progress=False).read_bytes() == GOOD
    assert not (cache / "net.caffemodel.sha256").exists()


def test_mirror_comes_first(server: Server, file_info: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    server.serve("mirror/net.caffemodel", GOOD)
    monkeypatch.setenv("DONGFENG_MIRROR", f"{server.url}/mirror/")
    fetch_file(file_info(server.serve("net.caffemodel", GOOD)), verify, progress=False)
    assert [path for path, _ in server.asked] == ["/mirror/net.caffemodel"]


def test_manifest_address_is_used_where_the_mirror_fails(
    server: Server, file_info: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("mirror/net.caffemodel", PAGE)
    monkeypatch.setenv("DONGFENG_MIRROR", f"{server.url}/mirror")
    path = fetch_file(file_info(server.serve("net.caffemodel", GOOD)), verify, progress=False)
    assert path.read_bytes() == GOOD


def test_answer_without_length_is_taken_whole(server: Server, file_info: Make) -> None:
    file = file_info(server.serve("net.caffemodel", GOOD, announce_length=False))
    assert fetch_file(file, verify, progress=False).read_bytes() == GOOD


def test_file_put_there_by_hand_is_verified_and_used(cache: Path, file_info: Make) -> None:
    cache.mkdir(parents=True)
    (cache / "net.caffemodel").write_bytes(GOOD)
    assert fetch_file(file_info(), verify, progress=False).read_bytes() == GOOD
    assert checksums.remembered_checksum(cache / "net.caffemodel") == sha256(GOOD)


def test_offline_uses_what_is_there_and_asks_nobody(
    server: Server, cache: Path, file_info: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DONGFENG_OFFLINE", "1")
    file = file_info(server.serve("net.caffemodel", GOOD))
    message = refused(file)
    assert "DONGFENG_OFFLINE is set" in message
    assert file.urls[0] in message
    assert str(cache / "net.caffemodel") in message
    cache.mkdir(parents=True)
    (cache / "net.caffemodel").write_bytes(GOOD)
    fetch_file(file, verify, progress=False)
    assert server.asked == []


# --- what the network does --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "says"),
    [
        pytest.param({"body": PAGE}, r'HTML page "Google Drive - Quota exceeded" \(a quota', id="quota page"),
        pytest.param({"body": b"no", "status": 404}, "HTTP 404 Not Found", id="404"),
        pytest.param({"body": b"no", "status": 503}, "HTTP 503", id="503"),
        pytest.param({"body": OTHER}, "truncated in layer 3 of 5", id="content"),
        pytest.param({"body": b""}, "truncated in layer", id="empty"),
        pytest.param({"body": GOOD[:500], "announce_length": False}, "truncated in layer", id="cut, length unknown"),
    ],
)
def test_bad_answers_never_reach_the_cache(
    server: Server, cache: Path, file_info: Make, how: dict[str, object], says: str
) -> None:
    body = how.pop("body")
    assert isinstance(body, bytes)
    file = file_info(server.serve("net.caffemodel", body, **how))
    message = refused(file)
    assert re.search(says, message), message
    assert message.startswith("net.caffemodel: 127.0.0.1: ")
    assert message.endswith(f"; fetch {file.urls[0]} by hand and put it at {cache / 'net.caffemodel'}")
    assert_nothing_left(cache)


def test_wrong_hash_is_refused(server: Server, cache: Path, file_info: Make) -> None:
    message = refused(file_info(server.serve("net.caffemodel", OTHER), sha256=sha256(GOOD)))
    assert sha256(OTHER)[:16] in message
    assert sha256(GOOD)[:16] in message
    assert_nothing_left(cache)


def test_wrong_size_is_refused_before_the_body_is_read(server: Server, cache: Path, file_info: Make) -> None:
    message = refused(file_info(server.serve("net.caffemodel", GOOD), size=17))
    assert f"has {len(GOOD)} bytes, the released one 17" in message
    assert_nothing_left(cache)


def test_cut_connection_is_resumed_in_the_same_call(server: Server, file_info: Make) -> None:
    file = file_info(server.serve("net.caffemodel", GOOD, cut_after=40000, cut_times=1))
    assert fetch_file(file, verify, progress=False).read_bytes() == GOOD
    assert server.ranges() == [None, "bytes=40000-"]
    assert server.asked[1][1]["If-Range"] == '"v1"'


def test_part_is_kept_and_resumed_by_the_next_call(server: Server, cache: Path, file_info: Make) -> None:
    file = file_info(server.serve("net.caffemodel", GOOD, cut_after=20000, cut_times=transfer.ATTEMPTS))
    message = refused(file)
    assert "cut before the end" in message
    assert_nothing_cached(cache)
    part = cache / INCOMPLETE / "net.caffemodel.part"
    assert part.read_bytes() == GOOD[: part.stat().st_size]
    assert fetch_file(file, verify, progress=False).read_bytes() == GOOD
    assert server.ranges() == [None, "bytes=20000-", "bytes=40000-", "bytes=60000-"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({}, {"ranges": False}, id="server ignores Range"),
        pytest.param({}, {"refuse_ranges": True}, id="server refuses Range"),
        pytest.param({}, {"shift": -1}, id="server sends another range"),
        pytest.param({}, {"etag": '"v2"'}, id="file changed"),
        pytest.param({}, {"etag": '"v2"', "if_range": False}, id="file changed, server ignores If-Range"),
        pytest.param({"etag": None}, {"etag": None}, id="nothing to tell versions apart"),
        pytest.param({"etag": 'W/"v1"'}, {"etag": 'W/"v1"'}, id="weak etag"),
    ],
)
def test_resume_starts_again_where_it_cannot_be_right(
    server: Server, file_info: Make, before: dict[str, object], after: dict[str, object]
) -> None:
    name = "net.caffemodel"
    file = file_info(server.serve(name, OTHER, cut_after=9000, cut_times=transfer.ATTEMPTS, **before))
    refused(file)
    server.serve(name, GOOD, **after)
    # Nothing is verified here: the transfer alone must not mix two files.
    assert fetch_file(file, lambda path: None, progress=False).read_bytes() == GOOD


def test_page_is_noticed_at_its_first_bytes(server: Server, tmp_path: Path) -> None:
    url = server.serve("net.caffemodel", PAGE + b" " * 4_000_000, pause_s=0.01)
    with pytest.raises(transfer.TransferError, match="HTML page"):
        HttpTransfer(url, tmp_path / "net.part", None).download(Progress())
    assert list(tmp_path.iterdir()) == []


def test_bad_kept_part_is_thrown_away_once(server: Server, cache: Path, file_info: Make) -> None:
    file = file_info(server.serve("net.caffemodel", GOOD, cut_after=9000, cut_times=transfer.ATTEMPTS))
    refused(file)
    part = cache / INCOMPLETE / "net.caffemodel.part"
    part.write_bytes(b"\0" * part.stat().st_size)  # what a power cut can leave
    assert fetch_file(file, verify, progress=False).read_bytes() == GOOD
    assert server.ranges()[-2:] == ["bytes=27000-", None]


def test_slow_server_times_out_with_a_clear_word(
    server: Server, cache: Path, file_info: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT_S", (0.2, 0.2))
    monkeypatch.setattr(transfer, "ATTEMPTS", 2)
    message = refused(file_info(server.serve("net.caffemodel", GOOD, delay_s=0.6)))
    assert "no answer within 0.2 s" in message
    assert len(server.asked) == 2
    assert_nothing_left(cache)


def test_only_network_errors_are_tried_again(server: Server, file_info: Make) -> None:
    refused(file_info(server.serve("net.caffemodel", b"", status=500)))
    assert len(server.asked) == 1


def test_nobody_listening(cache: Path, file_info: Make) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    message = refused(file_info(f"http://127.0.0.1:{port}/net.caffemodel"))
    assert "connection refused" in message
    assert_nothing_left(cache)


def test_no_network(file_info: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert "cannot be resolved (no network?)" in refused(file_info("http://files.example/net.caffemodel"))


def test_every_address_is_tried_and_named(server: Server, file_info: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DONGFENG_MIRROR", "not a url")
    message = refused(file_info(f"{server.url}/a", server.serve("b", PAGE)))
    assert "not a url" in message
    assert "HTTP 404" in message
    assert "HTML page" in message


# --- what is in the cache ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "known", "says"),
    [
        pytest.param(PAGE, {}, "HTML page", id="saved quota page"),
        pytest.param(OTHER, {}, "truncated in layer 3 of 5", id="content"),
        pytest.param(OTHER, {"sha256": sha256(GOOD)}, "that of the released file", id="hash"),
        pytest.param(GOOD[:-1], {"size": len(GOOD)}, f"has {len(GOOD) - 1} bytes", id="size"),
    ],
)
def test_bad_file_put_there_by_hand_is_reported_and_left(
    server: Server, cache: Path, file_info: Make, body: bytes, known: dict[str, object], says: str
) -> None:
    cache.mkdir(parents=True)
    path = cache / "net.caffemodel"
    path.write_bytes(body)
    file = file_info(server.serve("net.caffemodel", GOOD), **known)
    message = refused(file)
    assert message.startswith(f"{path}: ")
    assert says in message
    assert f"delete it to have it fetched again, or fetch {file.urls[0]} by hand" in message
    assert path.read_bytes() == body
    assert server.asked == []


def test_file_that_changes_after_first_use_is_reported(server: Server, cache: Path, file_info: Make) -> None:
    file = file_info(server.serve("net.caffemodel", GOOD))
    path = fetch_file(file, verify, progress=False)
    path.write_bytes(OTHER)
    message = refused(file)
    assert "pinned when the file was first used" in message
    assert "delete net.caffemodel.sha256 beside it" in message
    assert path.read_bytes() == OTHER
    checksums.checksum_path(path).unlink()
    assert "truncated in layer" in refused(file)


def test_download_that_differs_from_the_pin_is_refused(server: Server, cache: Path, file_info: Make) -> None:
    file = file_info(server.serve("net.caffemodel", GOOD))
    fetch_file(file, verify, progress=False).unlink()
    server.serve("net.caffemodel", OTHER)
    assert "pinned" in refused(file)
    server.serve("net.caffemodel", GOOD)
    fetch_file(file, verify, progress=False)


# --- what the disk does -----------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk(server: Server, cache: Path, file_info: Make) -> None:
    (cache / INCOMPLETE).mkdir(parents=True)
    part = cache / INCOMPLETE / "net.caffemodel.part"
    part.symlink_to("/dev/full")
    file = file_info(server.serve("net.caffemodel", GOOD))
    message = refused(file)
    assert "No space left on device" in message
    assert "make room there or set DONGFENG_HOME" in message
    assert message.endswith(f"fetch {file.urls[0]} by hand and put it at {cache / 'net.caffemodel'}")
    assert_nothing_left(cache)
    assert Path("/dev/full").exists()
    fetch_file(file, verify, progress=False)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder that this process really cannot write to; root gives up its rights meanwhile."""
    folder.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        if os.access(folder, os.W_OK, effective_ids=True) or not os.access(folder, os.R_OK, effective_ids=True):
            pytest.skip("this file system has no permissions")
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.fixture
def public_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A weights folder that every user can reach, unlike pytest's own temporary folders."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        monkeypatch.setenv("DONGFENG_HOME", name)
        folder = Path(name, "weights")
        folder.mkdir()
        yield folder


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_read_only_cache_that_holds_the_file_works(public_folder: Path, file_info: Make) -> None:
    (public_folder / "net.caffemodel").write_bytes(GOOD)
    with read_only(public_folder):
        assert fetch_file(file_info(), verify, progress=False).read_bytes() == GOOD
    assert [path.name for path in public_folder.iterdir()] == ["net.caffemodel"]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_read_only_cache_without_the_file(server: Server, public_folder: Path, file_info: Make) -> None:
    file = file_info(server.serve("net.caffemodel", GOOD))
    with read_only(public_folder):
        message = refused(file)
    assert "Permission denied" in message
    assert "set DONGFENG_HOME to a folder that can be written to" in message
    assert server.asked == []


def test_cache_folder_that_is_a_file(tmp_path: Path, file_info: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DONGFENG_HOME", str(tmp_path / "file"))
    assert "Not a directory" in refused(file_info("http://127.0.0.1:9/x"))


def test_other_disk_errors_keep_the_part(
    server: Server, cache: Path, file_info: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Path, target: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", str(target))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        assert "Input/output error" in refused(file_info(server.serve("net.caffemodel", GOOD)))
    assert_nothing_cached(cache)


# --- other processes --------------------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from dongfeng.zoo.fetch import fetch_file
from dongfeng.zoo.manifest import FileInfo
path = fetch_file(FileInfo("net.caffemodel", (sys.argv[1],), "caffemodel"), lambda path: None)
print(path)
"""


def start(url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(CHILD), url]
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root)


def wait_for(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit, "the other process did nothing"
        time.sleep(0.01)


def test_two_processes_at_once_download_once(server: Server, cache: Path) -> None:
    gate = threading.Event()
    url = server.serve("net.caffemodel", GOOD, gate=gate)
    first = start(url)
    wait_for(lambda: len(server.asked) == 1)
    second = start(url)
    assert second.stderr is not None
    assert "another process is fetching it; waiting" in second.stderr.readline()
    gate.set()
    for child in (first, second):
        out, err = child.communicate(timeout=30)
        assert child.returncode == 0, err
        assert out.strip() == str(cache / "net.caffemodel")
    assert (cache / "net.caffemodel").read_bytes() == GOOD
    assert len(server.asked) == 1


def test_killed_process_harms_nothing_and_is_resumed(server: Server, cache: Path, file_info: Make) -> None:
    url = server.serve("net.caffemodel", GOOD, pause_s=0.02)
    part = cache / INCOMPLETE / "net.caffemodel.part"
    child = start(url)
    wait_for(lambda: part.exists() and part.stat().st_size > 0)
    child.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    child.communicate(timeout=10)
    assert_nothing_cached(cache)
    server.replies["/net.caffemodel"].pause_s = 0
    kept_bytes = part.stat().st_size
    assert fetch_file(file_info(url), verify, progress=False).read_bytes() == GOOD
    assert server.ranges() == [None, f"bytes={kept_bytes}-"]


def test_process_killed_after_the_last_byte(server: Server, cache: Path, file_info: Make) -> None:
    file = file_info(server.serve("net.caffemodel", GOOD))

    def interrupted(_: Path) -> None:
        raise KeyboardInterrupt  # as Ctrl-C would, without a signal that could hit the test runner

    with pytest.raises(KeyboardInterrupt):
        fetch_file(file, interrupted, progress=False)
    assert_nothing_cached(cache)
    assert fetch_file(file, verify, progress=False).read_bytes() == GOOD


def test_waiting_process_uses_what_the_other_fetched(cache: Path, file_info: Make, server: Server) -> None:
    """The file appears while the lock is waited for."""
    (cache / INCOMPLETE).mkdir(parents=True)
    lock = FileLock(cache / INCOMPLETE / "net.caffemodel.lock")
    url = server.serve("net.caffemodel", GOOD)
    with lock:
        child = start(url)
        assert child.stderr is not None
        assert "waiting" in child.stderr.readline()
        (cache / "net.caffemodel").write_bytes(GOOD)
    out, err = child.communicate(timeout=20)
    assert child.returncode == 0, err
    assert out.strip() == str(cache / "net.caffemodel")
    assert server.asked == []


# --- several models -----------------------------------------------------------------------------------------------


def test_models_are_fetched_whatever_happens_to_the_others(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DONGFENG_OFFLINE", "1")
    missing, shipped = fetch_models(["df1", "toytown_seg"], progress=False)
    assert (missing.model, missing.paths, missing.to_json()) == ("df1", (), [])
    assert "DONGFENG_OFFLINE is set" in str(missing.problem)
    assert shipped.problem is None
    assert [row["path"] for row in shipped.to_json()] == [str(shipped.paths[0])]


def test_an_unknown_name_is_found_before_anything_is_fetched(cache: Path) -> None:
    with pytest.raises(UnknownModel, match="no model is called"):
        next(fetch_models(["toytown_seg", "df9"]))


# --- what the user sees -----------------------------------------------------------------------------------------


def test_progress_in_plain_lines(
    server: Server, file_info: Make, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_file(file_info(server.serve("net.caffemodel", GOOD)), verify)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "net.caffemodel: fetching from 127.0.0.1\nnet.caffemodel: 0.1 MB of 0.1 MB\n"


def test_progress_as_a_bar_on_a_terminal(
    server: Server, file_info: Make, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert isinstance(show_progress("net", "bytes"), Bar)
    fetch_file(file_info(server.serve("net.caffemodel", GOOD, cut_after=5000, cut_times=1)), verify)
    out, err = capsys.readouterr()
    assert out == ""
    assert "trying again in 0 s" in err
    assert re.search(r"102\.\d/102\.\d kB", err), err


def test_progress_can_be_silent(server: Server, file_info: Make, capsys: pytest.CaptureFixture[str]) -> None:
    fetch_file(file_info(server.serve("net.caffemodel", GOOD)), verify, progress=False)
    assert capsys.readouterr() == ("", "")
