"""README and docs: what they show is run, and comes out as shown; `...` in an output stands for anything."""

from __future__ import annotations

import doctest
import functools
import http.server
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from dongfeng.architectures import build
from dongfeng.cli.main import main
from dongfeng.zoo.models import ModelInfo, list_models, model_info
from tests.conftest import CHECKOUT

README = CHECKOUT / "README.md"
PAGES = [README, CHECKOUT / "docs/cli.md", CHECKOUT / "docs/torch.md"]
BLOCK = re.compile(r"^```(console|pycon|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, *kinds: str) -> list[tuple[str, str]]:
    return [found for found in BLOCK.findall(page.read_text(encoding="utf-8")) if found[0] in kinds]


@pytest.fixture(scope="session")
def mirror(shared: Path) -> Iterator[str]:
    """A web server that has the released files of PL1A."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(shared / "pl1a"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def folder(
    shared: Path, mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Path:
    """What a reader has: a photo, frames, PL1A's weights, a Caffe network, and an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DONGFENG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DONGFENG_OFFLINE", "0")
    monkeypatch.setenv("DONGFENG_MIRROR", mirror)
    cv2.imwrite("photo.jpg", cv2.imread(str(shared / "pl1a/frames/demo33.png")))
    Path("frames").mkdir()
    for name in ("demo6.png", "demo33.png"):
        shutil.copy(shared / "pl1a/frames" / name, "frames")
    for name in ("pl1a_new.bin", "pl1a_new.param.bin"):
        shutil.copy(shared / "pl1a" / name, ".")
    assert main(["convert", "df1", "--weights", "random", "-o", "deploy.caffemodel"]) == 0
    Path("deploy.caffemodel").rename("net.caffemodel")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_shows_is_what_comes_out(page: Path, folder: Path, subprocess_env: dict[str, str]) -> None:
    """Blocks of a page build on those before them, as they do for a reader."""
    if page.name == "torch.md":
        pytest.importorskip("torch")
    names: dict[str, object] = {}
    shown = blocks(page, "console", "pycon")
    assert shown
    for kind, text in shown:
        if kind == "console":
            run_console(text, subprocess_env)
        else:
            run_python(text, names, page.name)


PROGRAMS = {
    "dongfeng": [sys.executable, "-m", "dongfeng"],
    "df-bench": [sys.executable, "-m", "dongfeng.cli.bench"],
    "python": [sys.executable],
}


def run_console(text: str, env: dict[str, str]) -> None:
    for command, expected in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
        words = shlex.split(command, comments=True)
        program = PROGRAMS[words[0]]
        done = subprocess.run(
            [*program, *words[1:]],
            env={**env, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        pattern = ".*".join(map(re.escape, expected.split("...")))
        if not re.fullmatch(pattern, done.stdout, re.DOTALL):
            pytest.fail(f"$ {command}\nexpected:\n{expected}\ngot:\n{done.stdout}", pytrace=False)


def run_python(text: str, names: dict[str, object], page: str) -> None:
    example = doctest.DocTestParser().get_doctest(text, names, page, page, 0)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(example, out=said.append, clear_globs=False)
    names.update(example.globs)
    assert not runner.failures, "".join(said)


def test_the_shell_lines_of_the_readme_are_those_that_ci_runs() -> None:
    """Installing takes minutes: `.ci/run` does it, with the same words."""
    ci = (CHECKOUT / ".ci/run").read_text(encoding="utf-8")
    lines = [line for _, text in blocks(README, "sh") for line in text.splitlines()]
    assert len(lines) >= 4
    for line in lines:
        assert re.search(rf"^{re.escape(line.partition('#')[0].strip())}$", ci, re.MULTILINE)


def test_the_model_table_of_the_readme_is_that_of_the_zoo() -> None:
    names = [name for name in list_models() if not name.endswith("_d8")]
    expected = [table_row(model_info(name)) for name in names]
    assert expected == re.findall(r"^\| `.*$", README.read_text(encoding="utf-8"), re.MULTILINE)


def table_row(info: ModelInfo) -> str:
    cost = build(info.architecture, folded=True).resize(*info.size_hw).cost()
    metric = "top1" if info.task == "classification" else "miou"
    accuracy = info.result(metric, split="val")
    assert accuracy is not None or info.weights[0].shipped  # what ships is ours, and published nowhere
    gtx = info.result("fps", device="GTX 1080 Ti", size_hw=(1024, 2048))
    latency, fps = info.result("latency", device="Jetson TX2"), info.result("fps", device="Jetson TX2")
    tx2 = f"{latency.value} ms" if latency else f"{fps.value} FPS" if fps else ""
    cells = [
        f"`{info.name}`",
        "{}x{}".format(*info.size_hw),
        f"{sum(layer.parameters for layer in cost) / 1e6:.1f} M",
        f"{sum(layer.macs for layer in cost) / 1e9:.2f}",
        f"{'top-1' if metric == 'top1' else 'mIoU'} {100 * accuracy.value:.1f} %" if accuracy else "",
        f"{gtx.value} FPS" if gtx else "",
        tx2,
    ]
    return "| " + " | ".join(cells).replace("|  |", "| |").replace("|  |", "| |").rstrip() + " |"


def test_every_command_is_in_the_command_line_page() -> None:
    from dongfeng.cli.main import COMMANDS

    page = (CHECKOUT / "docs/cli.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `dongfeng ([\w-]+)", page, re.MULTILINE)
    assert listed == [module.__name__.rpartition(".")[2].replace("_", "-") for module in COMMANDS]


STEP = re.compile(r"^\d\. `([\w.]+)` \(`([\w/.]+)`\)", re.MULTILINE)


def test_the_ways_through_the_house_are_those_of_the_code() -> None:
    """Each step of docs/architecture.md is one function with its file, and there are at most eight."""
    page = (CHECKOUT / "docs/architecture.md").read_text(encoding="utf-8")
    ways = page.partition("## Four ways through the house")[2].partition("\n## ")[0]
    assert len(STEP.findall(ways)) >= 30
    assert max(map(int, re.findall(r"^(\d)\. ", ways, re.MULTILINE))) <= 8
    for name, file in STEP.findall(ways):
        source = (CHECKOUT / "dongfeng" / file).read_text(encoding="utf-8")
        for part in name.split("."):
            assert re.search(rf"\b(def|class) {part}\b", source), f"{name} is not in {file}"


def test_every_room_is_on_the_page() -> None:
    page = (CHECKOUT / "docs/architecture.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in CHECKOUT.glob("dongfeng/*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)/` \|", page, re.MULTILINE)) == rooms
    assert len(rooms) <= 20
