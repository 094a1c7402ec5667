"""Scripts run on another machine, and files copied there and back, by the OpenSSH programs `ssh` and `scp`.

Host keys are always checked, whatever the user's configuration says, and nothing is ever asked for at the terminal.
What a user gives reaches the other machine's shell as quoted arguments of a fixed script, never as part of one.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from dongfeng.errors import DeviceError

_TARGET = re.compile(
    r"(?P<user>[A-Za-z0-9_][A-Za-z0-9._-]*@)?"
    r"(?P<host>[A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?\])"
)
_OPTIONS = (
    "StrictHostKeyChecking=yes",
    "BatchMode=yes",
    "ConnectTimeout=15",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=3",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "ControlMaster=no",  # one that stays in the background would keep our pipes open
    "LogLevel=INFO",  # its lines name what goes wrong
)
_OF_SSH = 255  # exit code of ssh's own failures
_EXIT = re.compile(r"\ndongfeng-exit:(\d+)\n\Z")

# Pattern in OpenSSH's output -> the reason and remedy; {line} is OpenSSH's own line. The first match counts.
_REASONS = (
    (
        r"HOST IDENTIFICATION HAS CHANGED",
        "its host key is not the one on record: find out why, and only then remove the old one with ssh-keygen -R",
    ),
    (
        r"Host key verification failed|No \S+ host key is known",
        'its host key is not known here: run "{ssh}" once by hand, compare the fingerprint, and try again',
    ),
    (r"UNPROTECTED PRIVATE KEY|bad permissions", "others can read the private key: chmod 600 it"),
    (
        r"Permission denied \(|Too many authentication failures",
        "it refused the key ({line}): add yours with ssh-copy-id, unlock it with ssh-add; no password is asked for",
    ),
    (r"Could not resolve hostname", "no such host ({line})"),
    (
        r"Connection refused|Connection timed out|No route to host|[Uu]nreachable",
        "it cannot be reached ({line}): check address, port and power",
    ),
    (r"subsystem request failed", "it has no sftp server, which scp needs: install openssh-sftp-server there"),
    (
        r"closed by|Connection closed|reset by|Broken pipe|not responding|lost connection|[Dd]isconnect",
        "the connection dropped ({line}): check network and power, and try again",
    ),
)


class Done(NamedTuple):
    """The output of a script on the other machine, stdout and stderr together, and its exit code."""

    text: str
    code: int


class CopyError(DeviceError):
    """A copy that failed for another reason than the connection."""


@dataclass(frozen=True)
class Remote:
    """Another machine.

    Attributes:
        target: "[user@]host"; the host may be an alias from ssh's configuration, or an IPv6 address in brackets.
        port: Its port; None: as ssh is configured.
        identity: Private key; None: as ssh is configured.
        known_hosts: File of host keys to trust; None: as ssh is configured.
        deadline: `time.monotonic()` after which everything is ended.
    """

    target: str
    port: int | None = None
    identity: Path | None = None
    known_hosts: Path | None = None
    deadline: float | None = None

    def __post_init__(self) -> None:
        if not _TARGET.fullmatch(self.target):
            raise DeviceError(
                f"{self.target!r} names no machine: expected [user@]host, of letters, digits, '.', '_', '-'"
            )
        if self.port is not None and not 0 < self.port < 65536:
            raise DeviceError(f"port {self.port}: expected 1 to 65535")
        for file in (self.identity, self.known_hosts):
            if file is not None and not file.is_file():
                raise DeviceError(f"{file}: no such file")
            if file is not None and set(str(file)) & set('"\\\n\r'):
                raise DeviceError(f"{str(file)!r}: ssh cannot take a path with quotes, backslashes or line ends")

    def run(self, script: str, *arguments: str) -> Done:
        """Run a script of one line in the other machine's `sh`.

        Args:
            script: Fixed text; it finds the arguments as "$1", "$2", ...
            arguments: Any text.

        Raises:
            DeviceError: ssh is missing, the connection failed or dropped, or the deadline has passed.
        """
        # The marker tells the end of a script from that of a connection, which may both exit with 255.
        whole = f'( {script} ) </dev/null 2>&1; printf "\\ndongfeng-exit:%s\\n" "$?"'
        host = self.target.replace("[", "").replace("]", "")
        command = shlex.join(["sh", "-c", whole, "sh", *arguments])
        done = self._local("ssh", [*self._options(), "-T", "--", host, command])
        end = _EXIT.search(done.stdout)
        if end:
            return Done(done.stdout[: end.start()], int(end[1]))
        last = _last_line(done.stderr) or _last_line(done.stdout) or f"exit code {done.returncode}"
        what = "the connection dropped" if done.returncode == _OF_SSH else "its shell ran no script"
        raise DeviceError(f"{self.target}: {self._known_reason(done.stderr) or f'{what} ({last}); try ssh by hand'}")

    def put(self, local: Path, remote: str) -> None:
        """Copy a file there.

        Args:
            local: The file.
            remote: Absolute path without special characters.

        Raises:
            CopyError: it cannot be written there.
            DeviceError: as for `run`.
        """
        # Before a colon, scp takes a path that starts with a slash for a local one.
        self._copy(str(local.absolute()), f"{self.target}:{remote}")

    def get(self, remote: str, local: Path) -> None:
        """Copy a file from there; see `put`."""
        self._copy(f"{self.target}:{remote}", str(local.absolute()))

    def _copy(self, source: str, destination: str) -> None:
        done = self._local("scp", [*self._options(), "-q", "--", source, destination])
        if done.returncode == 0:
            return
        reason = self._known_reason(done.stderr)
        if reason:
            raise DeviceError(f"{self.target}: {reason}")
        raise CopyError(f"{self.target}: {_last_line(done.stderr) or f'scp failed with exit code {done.returncode}'}")

    def _options(self) -> list[str]:
        options = list(_OPTIONS)
        if self.port is not None:
            options.append(f"Port={self.port}")
        if self.identity is not None:
            options += [f"IdentityFile={_path(self.identity)}", "IdentitiesOnly=yes"]
        if self.known_hosts is not None:
            options.append(f"UserKnownHostsFile={_path(self.known_hosts)}")
        return [word for option in options for word in ("-o", option)]

    def _local(self, program: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        found = shutil.which(program)
        if found is None:
            raise DeviceError(f"{program} is not installed here: install OpenSSH's client (Debian: openssh-client)")
        left_s = None if self.deadline is None else max(self.deadline - monotonic(), 0.0)
        return subprocess.run(
            [found, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
            timeout=left_s,
        )

    def _known_reason(self, stderr: str) -> str | None:
        by_hand = f"ssh {self.target}" if self.port is None else f"ssh -p {self.port} {self.target}"
        for pattern, reason in _REASONS:
            found = [line for line in stderr.splitlines() if re.search(pattern, line)]
            if found:
                return reason.format(ssh=by_hand, line=_printable(found[0]))
        return None


def _last_line(text: str) -> str:
    return _printable((text.strip().splitlines() or [""])[-1])


def _printable(line: str) -> str:
    """Return a line of another machine's without control sequences."""
    return "".join(char for char in line if char.isprintable()).strip()


def _path(file: Path) -> str:
    """Quote a path as a value of ssh's configuration, where % starts a placeholder and spaces end a word."""
    return f'"{str(file.absolute()).replace("%", "%%")}"'
