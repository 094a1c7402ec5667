"""docs/batch.md: what it shows is run, and comes out as shown; `...` stands for anything."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import cv2
import pytest

from dongfeng.cli.main import main
from tests.conftest import CHECKOUT
from tests.test_docs import blocks, run_python


@pytest.fixture
def folder(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(shared / "pl1a/pl1a_new.bin", ".")
    Path("frames").mkdir()
    for name in ("demo6.png", "demo33.png"):
        shutil.copy(shared / "pl1a/frames" / name, "frames")
    writer = cv2.VideoWriter("drive.mp4", cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 12, (640, 384))
    for _ in range(12):
        writer.write(cv2.imread("frames/demo33.png"))
    writer.release()


@pytest.mark.usefixtures("folder")
@pytest.mark.filterwarnings("ignore:.*random weights")
def test_what_the_page_shows_is_what_comes_out(capfd: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(block for _, block in blocks(CHECKOUT / "docs/batch.md", "console"))
    shown = re.findall(r"^\$ dongfeng (.+)\n((?:(?!\$ ).+\n)*)", text, re.MULTILINE)
    assert len(shown) == 7
    for command, expected in shown:
        main(shlex.split(command))
        said = "".join(capfd.readouterr())
        pattern = ".*".join(map(re.escape, expected.split("...")))
        assert re.fullmatch(pattern, said, re.DOTALL), f"$ {command}\nexpected:\n{expected}\ngot:\n{said}"
    namespace: dict[str, object] = {}
    for _, block in blocks(CHECKOUT / "docs/batch.md", "pycon"):
        run_python(block, namespace, "batch.md")
