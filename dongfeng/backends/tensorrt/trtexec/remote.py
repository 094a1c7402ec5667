"""Measuring latency on a board by its own `trtexec` over `ssh`; nothing of ours needs to be installed there."""

from __future__ import annotations

import hashlib
import re
import secrets
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from time import monotonic
from typing import NoReturn

from dongfeng.backends.tensorrt.trtexec.boards import (
    BOARDS,
    NEW_WORKSPACE,
    OLD_WORKSPACE,
    PRECISIONS,
    TRTEXEC,
    TrtexecOptions,
    commands,
)
from dongfeng.backends.tensorrt.trtexec.output import TrtexecTiming, last_error, parse_timing
from dongfeng.backends.tensorrt.trtexec.profile import TrtexecLayer, parse_trtexec
from dongfeng.backends.tensorrt.trtexec.ssh import CopyError, Remote
from dongfeng.errors import DeviceError, DongfengWarning

_CLEANING_S = 60
_NAME = "model"
_FOLDER = re.compile(r"/[A-Za-z0-9._/+-]*")
_FREE_KIB = re.compile(r"\s(\d+)\s+\d+%\s")  # in what `df -Pk` prints
_FULL_KIB = 64
_BY_SIGNAL = 128  # what a shell adds to the number
_PROGRAM = re.compile(r"[^-\s][^\x00-\x1f]*")

# Each is one line, for some login shells take no more in quotes.
_FIND = (
    'found=$(command -v "$1") || { [ -x "$2" ] && found=$2; } || exit 127; '
    'printf "\\ndongfeng-found:%s\\n" "$found"; "$found" --help'
)
_MAKE = 'mkdir -m 700 -- "$1" && df -Pk -- "$1"'
_FREE = 'df -Pk -- "$1"'
_RUN = 'cd -- "$1" || exit 1; shift; "$@" & echo $! >pid; wait $!; code=$?; rm -f pid; exit $code'
_CLEAN = '[ ! -f "$1/pid" ] || kill -9 "$(cat "$1/pid")"; rm -rf -- "$1"'


@dataclass(frozen=True)
class RemoteResult:
    """A measurement on a board, batch 1.

    Attributes:
        target: The board.
        device: Name of the device, where it was given.
        precision: What the engine was built for. TensorRT may have kept layers in fp32.
        timing: What trtexec printed, and the times of the layers from a run of their own.
        onnx_sha256: Hash of the ONNX file.
        program: Path of the board's trtexec.
    """

    target: str
    device: str | None
    precision: str
    timing: TrtexecTiming
    onnx_sha256: str
    program: str

    @property
    def source(self) -> str:
        """The board, its TensorRT and the statistic that is the headline, in words."""
        version = f", TensorRT {self.timing.version}" if self.timing.version else ""
        return f"{self.target}{version}, {self.timing.headline} GPU time"


def measure_remote(  # noqa: PLR0913 - one keyword for each thing that differs between boards
    target: str,
    onnx: str | PathLike[str],
    *,
    precision: str = "fp16",
    device: str | None = None,
    trtexec: str = "trtexec",
    port: int | None = None,
    identity: str | PathLike[str] | None = None,
    known_hosts: str | PathLike[str] | None = None,
    timeout_s: float = 3600.0,
    folder: str = "/tmp",
    with_layers: bool = True,
    on_step: Callable[[str], object] | None = None,
) -> RemoteResult:
    """Build an engine on a board, time it there, and leave nothing behind.

    The ONNX is copied to a new folder on the board, which is removed in the end whatever happens. Host keys are
    checked, and nothing is asked for: the board must be in `known_hosts`, and take the key.

    Args:
        target: "[user@]host".
        onnx: The file, of one piece and of a fixed size; for a Jetson TX2 of opset 13 at most.
        precision: "fp32", "fp16" or "int8" (whose ranges trtexec invents where the file holds none: the time is right).
        device: Name of the device; if it is a board that dongfeng knows, the precision is checked first.
        trtexec: Its name, or its absolute path on the board; where the name is not found, NVIDIA's own place is tried.
        port: Port of the board's sshd.
        identity: Private key.
        known_hosts: File of host keys to trust.
        timeout_s: Time for everything, in seconds; an engine can take many minutes to build.
        folder: Absolute path of the folder on the board in which a new one is created.
        with_layers: Time the layers too, in a run of their own.
        on_step: Called with what is being done.

    Raises:
        DeviceError: ssh, the board, its disk, its trtexec, or what that printed; the message says which.
    """
    path = Path(onnx)
    if not path.is_file():
        raise DeviceError(f"{path}: no such file; give an ONNX file")
    _check(precision, device, trtexec, folder, timeout_s)
    key, hosts = (None if file is None else Path(file) for file in (identity, known_hosts))
    remote = Remote(target, port, key, hosts, deadline=monotonic() + timeout_s)
    own_folder = f"{folder.rstrip('/')}/dongfeng-{secrets.token_hex(8)}"
    measurement = _Measurement(remote, own_folder, on_step or (lambda _: None))
    try:
        program, options = measurement.find(trtexec, precision)
        with measurement.new_folder(path):
            timing = measurement.measure(program, commands(options, _NAME, precision), with_layers=with_layers)
    except subprocess.TimeoutExpired as error:
        raise DeviceError(
            f"{target}: not done after {timeout_s:g} s ({measurement.doing}): is it busy? Else allow more time"
        ) from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return RemoteResult(target, device, precision, timing, digest, program)


def _check(precision: str, device: str | None, trtexec: str, folder: str, timeout_s: float) -> None:
    known = BOARDS[device].precisions if device in BOARDS else PRECISIONS
    if precision not in known:
        what = f"{BOARDS[device].title}: " if device in BOARDS else ""
        raise DeviceError(f'{what}precision "{precision}": expected one of {", ".join(known)}')
    if not _PROGRAM.fullmatch(trtexec) or ("/" in trtexec and not trtexec.startswith("/")):
        raise DeviceError(f"trtexec {trtexec!r}: expected its name, or its absolute path on the board")
    if not _FOLDER.fullmatch(folder):
        raise DeviceError(f"folder {folder!r}: expected an absolute path of letters, digits and . _ + -")
    if not timeout_s > 0:
        raise DeviceError(f"timeout of {timeout_s:g} s: expected more than 0")


class _Measurement:
    """The steps of a measurement, and which of them is under way."""

    def __init__(self, remote: Remote, folder: str, on_step: Callable[[str], object]) -> None:
        self._remote, self._folder, self._on_step = remote, folder, on_step
        self.doing = ""

    def _step(self, doing: str) -> None:
        self.doing = doing
        self._on_step(doing)

    def _fail(self, problem: str) -> NoReturn:
        raise DeviceError(f"{self._remote.target}: {problem}")

    def find(self, trtexec: str, precision: str) -> tuple[str, TrtexecOptions]:
        """Return the path of the board's trtexec, and the options that its own help names."""
        self._step("looking for trtexec")
        elsewhere = trtexec if "/" in trtexec else f"{TRTEXEC.rpartition('/')[0]}/{trtexec}"
        done = self._remote.run(_FIND, trtexec, elsewhere)
        found = re.search(r"^dongfeng-found:(.+)$", done.text, re.MULTILINE)
        if not found:
            self._fail(f'no program "{trtexec}" on its PATH, nor {elsewhere}: install TensorRT there, or give its path')
        help_ = done.text[found.end() :]
        if "--onnx" not in help_:
            self._fail(f"{found[1]} does not work, or is no trtexec: {last_error(help_)}")
        option = {"fp16": "--fp16", "int8": "--int8"}.get(precision, "--onnx")
        if option not in help_:
            self._fail(
                f"{found[1]} has no {option}: there the ONNX decides; give one of {precision}, and precision fp32"
            )
        workspace = NEW_WORKSPACE if "--memPoolSize" in help_ else OLD_WORKSPACE
        return found[1], TrtexecOptions(workspace, has_tf32="--noTF32" in help_)

    @contextmanager
    def new_folder(self, onnx: Path) -> Iterator[None]:
        """Keep a folder on the board with the ONNX in it for as long as the block lasts."""
        needed = onnx.stat().st_size
        self._step(f"copying {onnx.name} ({needed / 1e6:.1f} MB)")
        try:
            created = self._remote.run(_MAKE, self._folder)
            if created.code:
                self._fail(f"no folder can be made there: {last_error(created.text)}")
            self._check_space(created.text, needed)
            try:
                self._remote.put(onnx, f"{self._folder}/{_NAME}.onnx")
            except CopyError:
                # sftp has no code for a full disk: it says "Failure".
                self._check_space(self._remote.run(_FREE, self._folder).text, needed)
                raise
            yield
        finally:
            self._remove()

    def _check_space(self, df: str, needed: int) -> None:
        found = _FREE_KIB.search(df)
        if found and int(found[1]) * 1024 < needed:
            needed_free = f"{needed / 1e6:.1f} MB needed, {int(found[1]) * 1024 / 1e6:.1f} MB free"
            self._fail(f"its disk is full: {needed_free} in {self._folder.rpartition('/')[0]}; make room there")

    def _remove(self) -> None:
        """Remove the folder; a failure is a warning, so that it does not hide an error before it."""
        try:
            remote = replace(self._remote, deadline=monotonic() + _CLEANING_S)
            done = remote.run(_CLEAN, self._folder)
            problem = last_error(done.text) if done.code else ""
        except (DeviceError, subprocess.TimeoutExpired) as error:
            problem = str(error)
        if problem:
            message = f"{self._remote.target}: {self._folder} may be left there, remove it by hand ({problem})"
            warnings.warn(message, DongfengWarning, stacklevel=2)

    def measure(self, program: str, lines: Sequence[Sequence[str]], *, with_layers: bool) -> TrtexecTiming:
        """Build, time, and time the layers, by the three lines of `commands`."""
        build, time, profile = lines
        self._run("building the engine", program, build)
        text = self._run("timing", program, time)
        try:
            timing = parse_timing(text)
        except DeviceError as error:
            self._fail(str(error))
        if not with_layers:
            return timing
        self._run("timing the layers", program, profile)
        return replace(timing, layers=self._layers(profile[-1].removeprefix("--exportProfile=")))

    def _run(self, doing: str, program: str, arguments: Sequence[str]) -> str:
        self._step(doing)
        done = self._remote.run(_RUN, self._folder, program, *arguments)
        if done.code:
            cause = last_error(done.text)
            if done.code > _BY_SIGNAL:
                cause = f"ended by signal {done.code - _BY_SIGNAL}, perhaps for want of memory ({cause})"
            if self._is_full():
                cause = f"the disk is full ({cause})"
            self._fail(f"{doing}: trtexec failed: {cause}")
        return done.text

    def _is_full(self) -> bool:
        found = _FREE_KIB.search(self._remote.run(_FREE, self._folder).text)
        return found is not None and int(found[1]) < _FULL_KIB

    def _layers(self, file: str) -> tuple[TrtexecLayer, ...]:
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / file
            self._remote.get(f"{self._folder}/{file}", local)
            try:
                return tuple(parse_trtexec(local.read_bytes(), source=file))
            except DeviceError as error:
                self._fail(str(error))
