"""A real OpenSSH server on the loopback, with keys of its own, for the user who runs the tests."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Server:
    """What a client needs, and the folder whose programs come first on the PATH of what it runs."""

    target: str
    port: int
    identity: Path
    known_hosts: Path
    programs: Path
    process: subprocess.Popen[bytes]

    @property
    def account(self) -> dict[str, object]:
        return {"port": self.port, "identity": self.identity, "known_hosts": self.known_hosts}


def daemon() -> str:
    """Path of sshd; skips where it is not installed."""
    found = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None or shutil.which("ssh") is None:
        pytest.skip("needs OpenSSH's server and client (Debian: apt install openssh-server)")
    return found


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """A server for as long as the block lasts."""
    sshd = daemon()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # what its init script does
    programs = folder / "programs"
    programs.mkdir()
    for key in ("host", "user", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    kind, key, _ = (folder / "host.pub").read_text().split(maxsplit=2)
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile {folder}/pid\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nSubsystem sftp internal-sftp\n"
        f"SetEnv PATH={programs}:/usr/bin:/bin\n"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sshd, "-D", "-e", "-f", folder / "config"], stderr=log)
    server = Server(f"{getpass.getuser()}@127.0.0.1", port, folder / "user", folder / "known_hosts", programs, process)
    try:
        _wait(server, folder / "log")
        yield server
    finally:
        process.terminate()
        process.wait(10)


def _wait(server: Server, log: Path) -> None:
    for _ in range(100):
        if server.process.poll() is not None:
            break
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", server.port)) == 0:
                return
        time.sleep(0.05)
    pytest.skip(f"sshd does not start here: {log.read_text(errors='replace').strip()[-300:]}")
