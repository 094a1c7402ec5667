"""docs/evaluation.md: what it shows is run, and comes out as shown; `...` stands for anything."""

from __future__ import annotations

import io
import re
import shlex
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import cv2
import numpy as np
import pytest

from dongfeng.cli import cityscapes, main
from tests.cli.synthetic_cityscapes import draw
from tests.conftest import CHECKOUT
from tests.test_docs import blocks, run_python

PROGRAMS = {"df-cityscapes": cityscapes.main, "dongfeng": main.main}


@pytest.fixture
def folder(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw(Path("cityscapes"), 3)
    shutil.copy(shared / "pl1a/pl1a_new.bin", ".")
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    for name in ("imagenet/val/n01440764/1.JPEG", "imagenet/val/n02124075/2.JPEG", "flat/1.JPEG", "flat/2.JPEG"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(name, noise)
    Path("val.txt").write_text("1.JPEG 0\n2.JPEG 285\n", encoding="utf-8")


@pytest.mark.usefixtures("folder")
@pytest.mark.filterwarnings("ignore:.*random weights")
def test_what_the_page_shows_is_what_comes_out() -> None:
    text = "\n".join(block for _, block in blocks(CHECKOUT / "docs/evaluation.md", "console"))
    shown = re.findall(r"^\$ (.+)\n((?:(?!\$ ).+\n)*)", text, re.MULTILINE)
    assert len(shown) == 7
    for command, expected in shown:
        program, *words = shlex.split(command)
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            PROGRAMS[program](words)
        got = re.sub(r" +\n", "\n", said.getvalue())
        pattern = ".*".join(map(re.escape, expected.split("...")))
        assert re.fullmatch(pattern, got, re.DOTALL), f"$ {command}\nexpected:\n{expected}\ngot:\n{got}"
    namespace: dict[str, object] = {}
    for _, block in blocks(CHECKOUT / "docs/evaluation.md", "pycon"):
        run_python(block, namespace, "evaluation.md")
