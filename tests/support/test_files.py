"""Files that appear complete or not at all, whatever kills the writer; folders that one process works in at a time."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dongfeng.support.files import alone_in, remove_leftovers, replacing, sha256_of, sync_folder

WRITER = """
import sys
from pathlib import Path
from dongfeng.support.files import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print("written", flush=True)
    sys.stdin.read()
"""
HOLDER = """
import sys
from pathlib import Path
from dongfeng.support.files import alone_in
with alone_in(Path(sys.argv[1]), RuntimeError("busy")):
    print("inside", flush=True)
    sys.stdin.read()
"""


def started(program: str, path: Path, env: dict[str, str]) -> subprocess.Popen[str]:
    """The program, once it has said that it is where the test wants it."""
    command = [sys.executable, "-c", program, str(path)]
    process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.communicate()


def test_a_killed_writer_leaves_the_old_file_and_its_leftover_is_removed(
    tmp_path: Path, subprocess_env: dict[str, str]
) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    (tmp_path / ".out-notes.txt").write_text("of the user")
    kill(started(WRITER, path, subprocess_env))
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 3
    remove_leftovers([tmp_path / "other.txt"])
    assert len(list(tmp_path.iterdir())) == 3
    remove_leftovers([path, tmp_path / "out.png"])
    assert sorted(file.name for file in tmp_path.iterdir()) == [".out-notes.txt", "out.txt"]


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with replacing(tmp_path / "out.txt") as temporary:
            temporary.write_text("half")
            assert temporary.suffix == ".txt"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
def test_modes_are_those_of_the_old_file_or_of_any_new_one(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    with replacing(tmp_path / "new.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "new.txt").stat().st_mode == (tmp_path / "usual").stat().st_mode
    (tmp_path / "new.txt").chmod(0o604)
    with replacing(tmp_path / "new.txt") as temporary:
        temporary.write_text("newer")
    assert stat.S_IMODE((tmp_path / "new.txt").stat().st_mode) == 0o604


def test_a_missing_folder_is_named_by_the_file_that_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "none/out.txt"):
        pass
    assert caught.value.filename == str(tmp_path / "none/out.txt")


def test_one_process_works_in_a_folder_and_a_killed_one_leaves_it_free(
    tmp_path: Path, subprocess_env: dict[str, str]
) -> None:
    folder = tmp_path / "run"
    holder = started(HOLDER, folder, subprocess_env)
    with pytest.raises(RuntimeError, match="busy"), alone_in(folder, RuntimeError("busy")):
        pass
    kill(holder)
    for _ in range(2):
        with alone_in(folder, RuntimeError("busy")):
            pass


def test_hashes_and_folders(tmp_path: Path) -> None:
    content = os.urandom((1 << 20) + 3)
    (tmp_path / "large").write_bytes(content)
    assert sha256_of(tmp_path / "large") == hashlib.sha256(content).hexdigest()
    sync_folder(tmp_path)
    sync_folder(tmp_path / "none")
