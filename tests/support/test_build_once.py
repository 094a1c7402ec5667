"""Files of the cache that are built once: by several processes, after a kill, and where nothing can be written."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from dongfeng.errors import ConversionError
from dongfeng.support.build_once import build_once
from dongfeng.support.files import replacing

BUILDER = """
import sys, time
from pathlib import Path
from dongfeng.support.build_once import build_once
from dongfeng.support.files import replacing

def build(path):
    print("building", flush=True)
    with replacing(path) as temporary:
        temporary.write_text("half")
        time.sleep(float(sys.argv[2]))
        temporary.write_text("whole")

print(build_once(Path(sys.argv[1]), build, Path.read_text), flush=True)
"""


class Builder:
    """Counts how often it builds."""

    def __init__(self, text: str = "whole") -> None:
        self.text, self.paths = text, list[Path]()

    def __call__(self, path: Path) -> None:
        self.paths.append(path)
        with replacing(path) as temporary:
            temporary.write_text(self.text)


def read(path: Path) -> int:
    """The length of a whole file; KeyError for any other."""
    return {"whole": 5}[path.read_text()]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DONGFENG_HOME", str(tmp_path / "home"))
    return tmp_path / "home/onnx/net.txt"


def test_a_file_is_built_once_and_a_damaged_one_again(path: Path) -> None:
    build = Builder()
    assert [build_once(path, build, read, damaged=(KeyError,)) for _ in range(3)] == [5, 5, 5]
    assert build.paths == [path]
    path.write_text("ha")
    assert build_once(path, build, read, damaged=(KeyError,)) == 5
    assert len(build.paths) == 2
    path.write_text("ha")
    with pytest.raises(KeyError):
        build_once(path, build, read)


def test_what_the_builder_refuses_is_refused_once(path: Path) -> None:
    calls = []

    def build(path: Path) -> None:
        calls.append(path)
        raise ConversionError("no")

    with pytest.raises(ConversionError, match="no"):
        build_once(path, build, read)
    assert len(calls) == 1
    assert not path.exists()


@pytest.mark.parametrize("obstacle", ["folder", "lock", "both"])
def test_where_the_cache_cannot_be_written_it_is_built_and_forgotten(path: Path, obstacle: str) -> None:
    """Files stand where the folders should be: that stops root, too."""
    home = path.parents[1]
    home.mkdir()
    if obstacle in ("folder", "both"):
        path.parent.write_text("a file")
    if obstacle in ("lock", "both"):
        (home / "locks").write_text("a file")
    build = Builder()
    assert [build_once(path, build, read) for _ in range(2)] == [5, 5]
    if obstacle == "lock":
        assert build.paths == [path]
    else:
        assert path not in build.paths
        assert len(build.paths) == 2
        assert not any(each.exists() for each in build.paths)


def test_a_read_only_cache_is_read_and_not_written(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("whole")
    build = Builder()

    def build_elsewhere(to: Path) -> None:
        if to.parent == path.parent:
            raise OSError(errno.EROFS, "Read-only file system", str(to))
        build(to)

    assert build_once(path, build_elsewhere, read) == 5
    assert build.paths == []
    assert build_once(path.with_name("other.txt"), build_elsewhere, read) == 5
    assert [each.name for each in build.paths] == ["other.txt"]
    assert list(path.parent.iterdir()) == [path]


def test_processes_wait_for_the_one_that_builds_and_a_killed_one_is_replaced(
    path: Path, subprocess_env: dict[str, str]
) -> None:
    def start(seconds: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", BUILDER, str(path), str(seconds)]
        return subprocess.Popen(command, env=subprocess_env, stdout=subprocess.PIPE, text=True)

    with start(600) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "building\n"
        waiting = [start(0.5) for _ in range(3)]
        killed.kill()
    outputs = [process.communicate(timeout=120)[0].splitlines() for process in waiting]
    assert sorted(outputs) == sorted([["building", "whole"], ["whole"], ["whole"]])
    assert path.read_text() == "whole"
