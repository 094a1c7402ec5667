"""`dongfeng search`: what it prints and writes, how it is stopped and resumed, and what it says to mistakes."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dongfeng import read_caffe
from dongfeng.architectures import backbone_net
from dongfeng.cli.main import main, parser
from dongfeng.devices import load_profile, write_profile
from dongfeng.search import precedes
from dongfeng.search.encoding_text import parse_encoding
from tests.conftest import CHECKOUT

MODULE = """\
import time
from functools import partial

from dongfeng.architectures import backbone_net
from dongfeng.search import Space

def accuracy(encoding):
    return sum(map(sum, encoding)) ** 0.5 / 100

def slow(encoding):
    time.sleep(0.1)
    return accuracy(encoding)

def space():
    return Space(((16, 32),) * 3, ((1, 2),) * 3, builder)

def builder(encoding):
    return backbone_net(encoding, size_hw=(32, 32))

number = 7
"""
GIVEN = ["--device", "tx2", "--widths", "64,128", "--depths", "1:2,1:3,1:2", "--latency", "0.9:1.6", "--budget", "12"]
MINE = [*GIVEN, "--evaluator", "own:accuracy", "--out", "run"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run it in a folder that holds `own.py`: exit status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delitem(sys.modules, "own", raising=False)
    Path("own.py").write_text(MODULE)

    def run(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main(["search", *argv])
        except SystemExit as exit_:
            code = int(str(exit_.code))
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_a_search_prints_its_candidates_and_its_boundary(search: Run) -> None:
    code, out, err = search(*MINE)
    assert code == 0
    assert " architectures take 0.9 to 1.6 ms\n" in err
    lines = out.splitlines()
    assert [line.partition("/")[0] for line in lines[:12]] == [str(number) for number in range(1, 13)]
    assert lines[12].split() == ["architecture", "ms", "accuracy"]
    assert "run: 12 of 12 evaluated" in err
    for name in ("config.json", "candidates.jsonl", "front.csv", "progress.csv", "report.html", "scatter.png"):
        assert Path("run", name).stat().st_size


def test_the_boundary_as_json_is_that_of_all_candidates(search: Run) -> None:
    state = json.loads(search(*MINE, "--json")[1])
    logged = [json.loads(line) for line in Path("run/candidates.jsonl").read_text().splitlines()]
    best = {
        row["latency_ms"]: row["accuracy"]
        for row in logged
        if not any(
            other["latency_ms"] <= row["latency_ms"]
            and other["accuracy"] >= row["accuracy"]
            and (other["latency_ms"], other["accuracy"]) != (row["latency_ms"], row["accuracy"])
            for other in logged
        )
    }
    assert {row["latency_ms"]: row["accuracy"] for row in state["rows"]} == best
    assert (state["evaluated"], state["budget"], state["is_done"]) == (12, 12, True)
    assert json.loads(search("status", "run", "--json")[1]) == state


def test_a_run_is_not_begun_twice_but_resumed(search: Run) -> None:
    assert search(*MINE)[0] == 0
    before = Path("run/candidates.jsonl").read_bytes()
    code, _, err = search(*MINE)
    assert (code, err) == (1, "error: run: holds a search already; go on with --resume, or choose another folder\n")
    code, out, _ = search(*MINE, "--resume")
    assert code == 0
    assert out.count("already there") == 12
    assert Path("run/candidates.jsonl").read_bytes() == before
    code, out, _ = search(*MINE, "--resume", "--budget", "15")
    assert (code, out.count("already there")) == (0, 12)
    assert len(Path("run/candidates.jsonl").read_text().splitlines()) == 15
    code, _, err = search(*MINE, "--resume", "--seed", "5")
    assert code == 1
    assert err.splitlines()[-1].startswith("error: run: holds another search: seed is 0 there and 5 here")


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_goes_on(search: Run, subprocess_env: dict[str, str]) -> None:
    slow = [*GIVEN, "--evaluator", "own:slow", "--batch", "2"]
    listen = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program = listen + "from dongfeng.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-u", "-c", program, "search", *slow, "--out", "run", "--workers", "2"]
    with subprocess.Popen(command, env=subprocess_env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"1/12 ")
        time.sleep(0.15)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"run holds what was evaluated; the same command with --resume goes on\nerror: interrupted\n" in err
    assert b"Traceback" not in err
    assert search(*slow, "--out", "run", "--resume", "--workers", "2")[0] == 0
    assert search(*slow, "--out", "undisturbed")[0] == 0
    assert Path("run/front.csv").read_bytes() == Path("undisturbed/front.csv").read_bytes()
    assert Path("run/progress.csv").read_bytes() == Path("undisturbed/progress.csv").read_bytes()


def test_exported_files_are_of_the_boundary_and_fit_the_device(search: Run) -> None:
    assert search(*MINE)[0] == 0
    code, out, _ = search("export", "run", "--pick", "2", "-o", "nets", "--json")
    assert code == 0
    rows = json.loads(out)["rows"]
    assert [row["file"] for row in rows] == ["nets/net1.prototxt", "nets/net2.prototxt"]
    front = [row["encoding"] for row in json.loads(search("status", "run", "--json")[1])["rows"]]
    assert [row["encoding"] for row in rows] == [front[0], front[-1]]
    for row in rows:
        assert read_caffe(row["file"]).layers == backbone_net(parse_encoding(row["encoding"])).layers


def test_the_report_can_be_made_again(search: Run) -> None:
    assert search(*MINE)[0] == 0
    page = Path("run/report.html").read_bytes()
    Path("run/report.html").unlink()
    code, out, _ = search("report", "run")
    assert code == 0
    assert "run/report.html" in out.splitlines()
    assert Path("run/report.html").read_bytes() == page


def test_a_space_of_ones_own(search: Run) -> None:
    mine = [
        "--space",
        "own:space",
        "--evaluator",
        "own:accuracy",
        "--device",
        "tx2",
        "--latency",
        "0:9",
        "--out",
        "run",
    ]
    assert search(*mine, "--budget", "5")[0] == 0
    code, _, err = search("export", "run", "-o", "nets")
    assert code == 1
    assert "nets of this space are built by own.builder, not by dongfeng" in err
    assert search("export", "run", "-o", "nets", "--space", "own:space")[0] == 0
    assert read_caffe("nets/net1.prototxt").inputs["data"] == (1, 3, 32, 32)


def test_decoders_are_a_space(search: Run) -> None:
    wanted = ["--space", "decoder", "--backbone", "dflite", "--widths", "19,32", "--device", "gtx1080ti"]
    code, _, _ = search(*wanted, "--latency", "0:99", "--evaluator", "own:accuracy", "--out", "run", "--budget", "9")
    assert code == 0
    front = [parse_encoding(row["encoding"]) for row in json.loads(search("status", "run", "--json")[1])["rows"]]
    assert precedes(front[0], front[-1])


def test_a_table_is_an_evaluator(search: Run) -> None:
    Path("t.csv").write_text("encoding,accuracy\n64/64/64,0.5\n")
    code, _, err = search(*GIVEN, "--evaluator", "table:t.csv", "--out", "run")
    assert code == 1
    assert "error: t.csv: has no accuracy for 64" in err


def test_without_pytorch_nothing_is_begun(search: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dongfeng.training.settings.find_spec", lambda name: None)
    code, _, err = search(*GIVEN, "--evaluator", "toyshapes", "--out", "run")
    assert code == 1
    assert 'training needs torch and safetensors; run: pip install "dongfeng[torch]"' in err
    assert not Path("run").exists()


@pytest.mark.slow
def test_a_search_by_training_with_latencies_of_this_machine(search: Run) -> None:
    """Trainings are real, and as small as they can be; what was measured of this machine lies in the folder already."""
    pytest.importorskip("torch")
    Path("run").mkdir()
    write_profile(replace(load_profile("tx2"), name="here"), "run/device.json")
    code, out, err = search(
        *("--device", "here", "--widths", "8,16", "--depths", "1:1,1:1,1:1", "--latency", "0:1000", "--budget", "2"),
        *("--evaluator", "toyshapes:40", "--size", "32x32", "--steps", "2", "--set", "batch=4"),
        *("--set", "validation_images=10", "--out", "run"),
    )
    assert code == 0, err
    config = json.loads(Path("run/config.json").read_text())
    assert (config["evaluate"]["steps"], config["evaluate"]["size_hw"]) == (2, [32, 32])
    assert config["latency"]["device"] == "here"
    assert out.startswith("1/2 ")


def test_the_first_run_of_the_page_does_what_it_says(search: Run) -> None:
    page = (CHECKOUT / "docs/search.md").read_text(encoding="utf-8")
    (guess,) = re.findall(r"^```python\n(# guess\.py\n.*?)^```", page, re.MULTILINE | re.DOTALL)
    Path("guess.py").write_text(guess)
    commands = re.findall(r"^dongfeng search (.*)$", page, re.MULTILINE)
    assert len(commands) == 6
    for command in commands[:3]:
        code, _, err = search(*shlex.split(command))
        assert code == 0, err
    assert len(list(Path("prototxt").iterdir())) == 3
    for command in commands[3:]:
        parser().parse_args(["search", *shlex.split(command)])


@pytest.mark.slow
def test_the_python_of_the_page_runs(search: Run, capsys: pytest.CaptureFixture[str]) -> None:
    page = (CHECKOUT / "docs/search.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    exec(compile(blocks[0], "search.md", "exec"), {})
    assert " ms  " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([*GIVEN, "--evaluator", "own:nothing", "--out", "r"], "error: --evaluator own:nothing: cannot be imported"),
        ([*GIVEN, "--evaluator", "own:number", "--out", "r"], "expected a function of an encoding, got 7"),
        ([*GIVEN, "--evaluator", "magic", "--out", "r"], "error: --evaluator magic: expected toyshapes, toytown"),
        ([*GIVEN, "--evaluator", "table:none.csv", "--out", "r"], "error: none.csv: No such file or directory"),
        ([*MINE, "--steps", "3"], "are for training, not for own:accuracy"),
        ([*MINE, "--device", "tx3"], 'error: no device is called "tx3"'),
        ([*MINE, "--space", "cube"], "error: --widths: is not for --space cube"),
        ([*MINE, "--sampler", "magic"], "error: sampler: expected uniform, surrogate"),
        ([*MINE, "--latency", "90:99"], "error: no architecture of the space takes 90 to 99 ms; they take "),
        ([*MINE, "--resume"], "error: run: holds no search to resume"),
        ([*MINE, "--seed", "-1"], "error: seed: expected a whole number of at least 0"),
        (["status", "nowhere"], "error: nowhere: holds no search"),
        (["export", "nowhere", "-o", "nets"], "error: nowhere: holds no search"),
    ],
)
def test_mistakes_are_one_line(argv: list[str], said: str, search: Run) -> None:
    code, _, err = search(*argv)
    assert code == 1
    assert said in err.splitlines()[-1]
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "a search needs --out"),
        (["--out", "run"], "a search needs --device"),
        (["status"], "status needs the folder of a run"),
        (["export", "run"], "export needs -o DIR"),
        (["run", "run", *GIVEN, "--evaluator", "own:accuracy", "--out", "r"], "is given with --out"),
        (["--latency", "7:2"], "expected LEAST:GREATEST in milliseconds"),
        (["--depths", "4"], "expected LEAST:MOST blocks per stage"),
        (["--widths", "64;128"], "expected widths such as 64,128,256"),
        (["--workers", "few"], "expected a whole number"),
        (["walk"], "invalid choice"),
    ],
)
def test_wrong_usage_is_2(argv: list[str], said: str, search: Run) -> None:
    code, _, err = search(*argv)
    assert code == 2
    assert said in err
