"""Measuring on a board, against a real OpenSSH server with a stand-in for trtexec that prints what real ones print."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dongfeng.backends.tensorrt.trtexec.remote import RemoteResult, measure_remote
from dongfeng.errors import DeviceError, DongfengWarning
from tests.backends.sshd import Server, running

HELP = {
    "8": "--onnx=<file> --workspace=N --fp16 --int8 --noTF32",
    "10": "--onnx=<file> --memPoolSize=poolspec --fp16 --int8 --noTF32",
}
ONNX = b"\x08\x08onnx" * 1000

# Keeps a diary of its command lines; an engine or a profile is only had from the files that stand-in has written.
STAND_IN = """\
#!{python}
import json, os, pathlib, sys, time
said, diary = pathlib.Path({said!r}), pathlib.Path({diary!r})
if "--help" in sys.argv:
    print({help!r})
    sys.exit(0)
options = dict(word.partition("=")[::2] for word in sys.argv[1:])
with diary.open("a") as file:
    file.write(json.dumps([os.getcwd(), sys.argv[1:]]) + "\\n")
if "--onnx" in options:
    onnx = pathlib.Path(options["--onnx"]).read_bytes()
    pathlib.Path(options["--saveEngine"]).write_bytes(b"engine of " + onnx)
    print("[I] Engine built")
    sys.exit(0)
assert pathlib.Path(options["--loadEngine"]).read_bytes().startswith(b"engine of ")
if "--exportProfile" in options:
    pathlib.Path(options["--exportProfile"]).write_bytes((said / "profile.json").read_bytes())
sys.stdout.write((said / "timing.txt").read_text())
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("sshd")) as found:
        yield found


class Board:
    """The server as a board: what its trtexec is, and what a measurement there gives."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.temporary = folder / "tmp"
        self.said, self.diary, self.onnx = folder / "said", folder / "diary", folder / "my model's; copy.onnx"
        for path in (self.temporary, self.said):
            path.mkdir()
        self.onnx.write_bytes(ONNX)

    def program(self, text: str, name: str = "trtexec") -> None:
        path = self.server.programs / name
        path.write_text(text)
        path.chmod(0o755)

    def after_help(self, lines: str) -> None:
        """A trtexec that does this in place of building."""
        self.program(f"#!/bin/sh\n[ $1 = --help ] && echo {shlex.quote(HELP['8'])} && exit 0\n{lines}\n")

    def endless(self) -> Path:
        """A trtexec that never ends; the file will hold its process id."""
        pid = self.folder / "pid"
        self.after_help(f"echo $$ >{shlex.quote(str(pid))}\nexec sleep 300")
        return pid

    def stand_in(self, timing: Path | None, profile: Path | None, help_: str = HELP["8"]) -> None:
        for source, name in ((timing, "timing.txt"), (profile, "profile.json")):
            if source is not None:
                shutil.copyfile(source, self.said / name)
        fields = {"python": sys.executable, "said": str(self.said), "diary": str(self.diary), "help": help_}
        self.program(STAND_IN.format(**fields))

    def measure(self, **changes: Any) -> RemoteResult:
        settings: dict[str, Any] = {"folder": str(self.temporary), "timeout_s": 60, **self.server.account} | changes
        target = settings.pop("target", self.server.target)
        return measure_remote(target, settings.pop("onnx", self.onnx), **settings)

    def commands(self) -> list[tuple[str, list[str]]]:
        return [tuple(json.loads(line)) for line in self.diary.read_text().splitlines()]

    def is_clean(self) -> bool:
        return not list(self.temporary.iterdir())


@pytest.fixture
def board(server: Server, tmp_path: Path) -> Iterator[Board]:
    found = Board(server, tmp_path)
    yield found
    for program in server.programs.iterdir():
        program.unlink()


def fails(board: Board, **settings: Any) -> str:
    """The message, which is of one line, and nothing is left on the board."""
    with pytest.raises(DeviceError) as caught:
        board.measure(**settings)
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    assert board.is_clean()
    return message


# figures as printed in the logs
@pytest.mark.parametrize(
    ("timing", "profile", "help_", "latency_ms", "headline", "version", "layers"),
    [
        ("trt7.txt", "profile8.json", "8", 1.55896, "mean", None, 5),
        ("trt8_2.txt", "profile8.json", "8", 0.564087, "median", None, 5),
        ("trt8_4.txt", "profile8.json", "10", 0.388443, "median", "8.4.0", 5),
        ("trt10.txt", "profile10.json", "10", 7.14139, "median", None, 1),
    ],
)
def test_a_board_is_measured(
    board: Board,
    shared: Path,
    timing: str,
    profile: str,
    help_: str,
    latency_ms: float,
    headline: str,
    version: str | None,
    layers: int,
) -> None:
    folder = shared / "research/trtexec"
    board.stand_in(folder / timing, folder / profile, HELP[help_])
    steps: list[str] = []
    result = board.measure(on_step=steps.append)
    assert result.timing.latency_ms == latency_ms
    assert (result.timing.headline, result.timing.version) == (headline, version)
    assert len(result.timing.layers) == layers
    assert result.program == str(board.server.programs / "trtexec")
    assert len(steps) == 5
    assert board.is_clean()
    (_, build), (_, timed), (_, profiled) = board.commands()
    memory = {"8": "--workspace=1024", "10": "--memPoolSize=workspace:1024"}[help_]
    assert build == ["--onnx=model.onnx", "--saveEngine=model_fp16.engine", memory, "--fp16"]
    assert timed[0] == profiled[0] == "--loadEngine=model_fp16.engine"
    assert any(word.startswith("--exportProfile=") for word in profiled)
    assert not any(word.startswith("--exportProfile=") for word in timed)  # it slows the whole


def test_the_result_says_what_was_measured_where(board: Board, shared: Path) -> None:
    folder = shared / "research/trtexec"
    board.stand_in(folder / "trt8_4.txt", folder / "profile8.json")
    result = board.measure(device="tx2")
    assert (result.timing.latency_ms, result.precision) == (0.388443, "fp16")
    assert result.source == f"{board.server.target}, TensorRT 8.4.0, median GPU time"
    checksum = subprocess.run(["sha256sum", board.onnx], capture_output=True, text=True, check=True).stdout
    assert result.onnx_sha256 == checksum.lstrip("\\").split()[0]
    assert [layer.ms for layer in result.timing.layers] == [0.058695, 0.0662771, 0.109295, 0.0, 0.0627963]


def test_fp32_is_not_tf32_and_layers_can_be_left_out(board: Board, shared: Path) -> None:
    board.stand_in(shared / "research/trtexec/trt10.txt", None, HELP["10"])
    result = board.measure(precision="fp32", with_layers=False)
    assert result.timing.layers == ()
    (_, build), _ = board.commands()
    assert "--noTF32" in build
    assert "--fp16" not in build


def test_what_a_login_shell_says_does_no_harm(board: Board, shared: Path) -> None:
    """As a .bashrc that greets everybody does; and the path of trtexec has what a shell would act on."""
    folder = shared / "research/trtexec"
    board.stand_in(folder / "trt8_4.txt", folder / "profile8.json")
    odd = board.folder / "it's $(touch owned); #1"
    odd.mkdir()
    shutil.move(board.server.programs / "trtexec", odd / "trtexec")
    board.program(f'#!/bin/sh\necho Welcome to the board\nexec {shlex.quote("/bin/sh")} "$@"\n', "sh")
    result = board.measure(trtexec=str(odd / "trtexec"))
    assert result.timing.latency_ms == 0.388443
    assert not list(board.folder.rglob("owned"))
    assert not (Path.home() / "owned").exists()


@pytest.mark.parametrize(
    "target",
    [
        "-oProxyCommand=touch owned",
        "-v",
        "",
        "a b",
        "board;reboot",
        "$(reboot)",
        "user@",
        "@board",
        "u@-p",
        "a:b",
        "b\n",
    ],
)
def test_what_is_no_machine_never_reaches_ssh(board: Board, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a program was started"))
    assert "expected [user@]host" in fails(board, target=target)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"onnx": "missing.onnx"}, "missing.onnx: no such file"),
        ({"port": 0}, "port 0: expected 1 to 65535"),
        ({"precision": "int4"}, 'precision "int4": expected one of fp32, fp16, int8'),
        ({"precision": "int8", "device": "tx2"}, 'Jetson TX2: precision "int8": expected one of fp32, fp16'),
        ({"identity": "no_key"}, "no_key: no such file"),
        ({"known_hosts": 'a"b'}, 'a"b: no such file'),
        ({"trtexec": "-x"}, "absolute path on the board"),
        ({"trtexec": "bin/trtexec"}, "absolute path on the board"),
        ({"trtexec": "a\nb"}, "absolute path on the board"),
        ({"folder": "relative"}, "expected an absolute path"),
        ({"folder": "/tmp/$(reboot)"}, "expected an absolute path"),
        ({"timeout_s": 0}, "expected more than 0"),
        ({"timeout_s": float("nan")}, "expected more than 0"),
    ],
)
def test_settings_that_cannot_be_meant(board: Board, changes: dict[str, Any], part: str) -> None:
    assert part in fails(board, **changes)


def test_without_ssh(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(board.folder))
    assert "ssh is not installed here: install OpenSSH's client" in fails_before_connecting(board)


def fails_before_connecting(board: Board) -> str:
    with pytest.raises(DeviceError) as caught:
        board.measure()
    return str(caught.value)


def test_an_unknown_host_key(board: Board) -> None:
    empty = board.folder / "known hosts 100%.txt"
    empty.touch()
    message = fails(board, known_hosts=empty)
    assert "its host key is not known here" in message
    assert f'"ssh -p {board.server.port} {board.server.target}"' in message
    assert empty.read_text() == ""  # and it is not learnt either


def test_a_host_key_that_has_changed(board: Board, server: Server) -> None:
    other = board.folder / "known_hosts"
    stranger = (server.identity.parent / "stranger.pub").read_text()
    other.write_text(f"[127.0.0.1]:{server.port} {stranger}")
    assert "its host key is not the one on record" in fails(board, known_hosts=other)


def test_a_file_of_host_keys_whose_path_is_odd(board: Board, shared: Path) -> None:
    """ssh would take the % for a placeholder and the space for the end of the path."""
    folder = shared / "research/trtexec"
    board.stand_in(folder / "trt8_4.txt", folder / "profile8.json")
    odd = board.folder / "100%h known hosts"
    shutil.copy(board.server.known_hosts, odd)
    key = board.folder / "my 5%d key"
    shutil.copy(board.server.identity, key)
    assert board.measure(known_hosts=odd, identity=key).timing.latency_ms == 0.388443


def test_a_refused_key(board: Board, server: Server) -> None:
    message = fails(board, identity=server.identity.parent / "stranger")
    assert "it refused the key" in message
    assert "ssh-copy-id" in message


def test_a_key_that_others_can_read(board: Board, server: Server) -> None:
    open_key = board.folder / "open"
    shutil.copy(server.identity, open_key)
    open_key.chmod(0o644)
    assert "chmod 600" in fails(board, identity=open_key)


def test_a_board_that_is_not_there(board: Board) -> None:
    message = fails(board, port=1)
    assert "it cannot be reached" in message
    assert "Connection refused" in message


def test_an_address_that_is_none(board: Board) -> None:
    assert "no such host" in fails(board, target="nobody@nowhere.invalid")


def test_without_trtexec(board: Board) -> None:
    message = fails(board, trtexec="no_trtexec")
    assert 'no program "no_trtexec" on its PATH, nor /usr/src/tensorrt/bin/no_trtexec' in message


def test_a_trtexec_that_cannot_start(board: Board) -> None:
    board.program("#!/bin/sh\necho 'trtexec: error while loading shared libraries: libnvinfer.so.8' >&2\nexit 127\n")
    assert "error while loading shared libraries: libnvinfer.so.8" in fails(board)


def test_a_trtexec_of_another_kind(board: Board) -> None:
    board.program("#!/bin/sh\nprintf 'usage: \\033[31mpotato\\033[0m\\n'\n")
    assert "is no trtexec: usage: " in fails(board)


def test_a_trtexec_that_leaves_precision_to_the_onnx(board: Board, shared: Path) -> None:
    board.stand_in(shared / "research/trtexec/trt10.txt", None, "--onnx=<file> --memPoolSize=poolspec")
    assert "has no --fp16" in fails(board)
    assert not board.diary.exists()


def test_trtexec_s_own_error(board: Board) -> None:
    board.after_help(
        "echo '[01/01/2022-10:00:00] [E] [TRT] ModelImporter.cpp:773: No importer registered for op: Fancy'\n"
        "echo '[01/01/2022-10:00:00] [E] Failed to parse onnx file' >&2\n"
        "echo '[01/01/2022-10:00:00] [E] Engine set up failed'\n"
        "echo '&&&& FAILED TensorRT.trtexec [TensorRT v8201] # trtexec'\nexit 1"
    )
    message = fails(board)
    assert message.endswith(
        "building the engine: trtexec failed: [TRT] ModelImporter.cpp:773: No importer registered for op: Fancy"
    )


def test_a_trtexec_that_is_killed(board: Board) -> None:
    board.after_help("echo building\nkill -9 $$")
    assert "ended by signal 9, perhaps for want of memory" in fails(board)


def test_a_trtexec_that_exits_with_the_code_of_a_lost_connection(board: Board) -> None:
    board.after_help("echo '[E] odd'\nexit 255")
    message = fails(board)
    assert "odd" in message
    assert "connection" not in message


@pytest.mark.parametrize("garbage", ["", "\x00\xff\x1b[2J\x07 potato", "GPU Compute Time: soon"])
def test_garbage_in_place_of_figures(board: Board, garbage: str) -> None:
    said = board.folder / "garbage"
    said.write_text(garbage)
    board.stand_in(said, None)
    assert "not the output of a whole run of trtexec" in fails(board)


@pytest.mark.parametrize("profile", ["", '[{"name": "a"}]'])
def test_garbage_in_place_of_a_profile(board: Board, shared: Path, profile: str) -> None:
    said = board.folder / "garbage"
    said.write_text(profile)
    board.stand_in(shared / "research/trtexec/trt8_4.txt", said)
    message = fails(board)
    assert "model_fp16_profile.json:" in message
    assert "--exportProfile" in message


def test_a_timeout_ends_trtexec_too(board: Board) -> None:
    pid = board.endless()
    message = fails(board, timeout_s=3)
    assert "not done after 3 s (building the engine)" in message
    assert is_gone(int(pid.read_text()))


def is_gone(pid: int) -> bool:
    """Whether a process has ended, or only waits to be noticed by its parent."""
    for _ in range(50):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
            os.kill(pid, 0)
        except OSError:
            return True
        time.sleep(0.1)
    return False


def test_a_dropped_connection(board: Board) -> None:
    """The server's process for this very connection is killed while trtexec runs; afterwards the board is cleaned."""
    pid = board.endless()
    killer = threading.Thread(target=kill_sessions, args=(board.server, pid))
    killer.start()
    message = fails(board)
    killer.join()
    assert "the connection dropped" in message
    assert is_gone(int(pid.read_text()))


def kill_sessions(server: Server, started: Path) -> None:
    while not (started.exists() and started.read_text().strip()):
        time.sleep(0.05)
    for pid in descendants(server.process.pid):
        if "sshd" in Path(f"/proc/{pid}/comm").read_text():
            os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """All processes that came from a process."""
    children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [found for child in children for found in descendants(child)]


def test_a_board_that_is_gone_for_good_is_said_to_hold_the_folder(
    board: Board, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running(tmp_path_factory.mktemp("second")) as second:
        board.server = second
        started = board.endless()

        def pull_the_plug() -> None:
            while not (started.exists() and started.read_text().strip()):
                time.sleep(0.05)
            found = descendants(second.process.pid)
            second.process.kill()
            for pid in found:
                os.kill(pid, signal.SIGKILL)

        killer = threading.Thread(target=pull_the_plug)
        killer.start()
        with (
            pytest.warns(DongfengWarning, match="may be left there"),
            pytest.raises(DeviceError, match="the connection dropped"),
        ):
            board.measure()
        killer.join()


def test_a_full_disk_is_seen_before_anything_is_copied(board: Board) -> None:
    board.stand_in(None, None)
    board.onnx.write_bytes(bytes(2_000_000))
    board.program(
        '#!/bin/sh\necho "F 1024-blocks Used Available Capacity M"\necho "/dev/x 5000 4000 1000 80% /"\n', "df"
    )
    assert f"its disk is full: 2.0 MB needed, 1.0 MB free in {board.temporary}; make room there" in fails(board)


@pytest.fixture
def tiny(board: Board) -> Iterator[str]:
    """A disk of 1 MB."""
    folder = board.folder / "tiny"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    yield str(folder)
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_too_small(board: Board, shared: Path, tiny: str) -> None:
    folder = shared / "research/trtexec"
    board.stand_in(folder / "trt8_4.txt", folder / "profile8.json")
    board.onnx.write_bytes(bytes(2_000_000))
    message = fails(board, folder=tiny)
    assert "its disk is full: 2.0 MB needed, 1.0 MB free" in message
    assert not list(Path(tiny).iterdir())


def test_a_disk_that_fills_up_while_the_file_is_copied(board: Board, shared: Path, tiny: str) -> None:
    """Somebody else was quicker: the first look said that there is room."""
    folder = shared / "research/trtexec"
    board.stand_in(folder / "trt8_4.txt", folder / "profile8.json")
    board.onnx.write_bytes(bytes(2_000_000))
    looked = board.folder / "looked"
    board.program(
        f'#!/bin/sh\n[ -e {looked} ] || {{ touch {looked}; echo "x 9 9 99999 1% /"; exit 0; }}\nexec /bin/df "$@"\n',
        "df",
    )
    message = fails(board, folder=tiny)
    assert "its disk is full: 2.0 MB needed" in message
    assert looked.exists()
    assert not list(Path(tiny).iterdir())


def test_a_disk_that_is_full_of_the_engine(board: Board, shared: Path, tiny: str) -> None:
    folder = shared / "research/trtexec"
    board.stand_in(folder / "trt8_4.txt", folder / "profile8.json")
    board.onnx.write_bytes(bytes(700_000))
    message = fails(board, folder=tiny)
    assert "the disk is full" in message
    assert not list(Path(tiny).iterdir())


def test_a_folder_that_cannot_be_written(board: Board, shared: Path) -> None:
    folder = shared / "research/trtexec"
    board.stand_in(folder / "trt8_4.txt", folder / "profile8.json")
    assert "no folder can be made there: mkdir: " in fails(board, folder="/proc")


def test_interrupting_leaves_nothing_there(board: Board) -> None:
    """Ctrl-C while the engine is built."""
    board.stand_in(None, None)

    def interrupt(doing: str) -> None:
        if doing == "building the engine":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        board.measure(on_step=interrupt)
    assert board.is_clean()
