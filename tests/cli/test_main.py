"""What every command shares: help, exit codes, where messages go."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable

import pytest

from dongfeng import __version__
from dongfeng.cli import models
from dongfeng.cli.main import COMMANDS, main
from dongfeng.errors import DongfengWarning, ShapeError

NAMES = [module.__name__.rpartition(".")[2].replace("_", "-") for module in COMMANDS]
Run = Callable[[argparse.Namespace], int]


@pytest.fixture
def doing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], int]:
    """`dongfeng models` doing something else."""

    def replaced(run: Run, *options: str) -> int:
        monkeypatch.setattr(models, "run", run)
        return main(["models", *options])

    return replaced


def raising(error: BaseException) -> Run:
    def run(_: argparse.Namespace) -> int:
        raise error

    return run


def examples(help_text: str, name: str) -> list[list[str]]:
    """The arguments of every example, without environment variables before it and a comment after it."""
    _, _, after = help_text.partition("examples:\n")
    lines = (shlex.split(line, comments=True) for line in after.splitlines())
    return [line[line.index("dongfeng") + 1 :] for line in lines if f"dongfeng {name}" in " ".join(line)]


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines() if re.match(" {4}[a-z]", line)] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([name, "--help"])
    assert exit_.value.code == 0
    out = capsys.readouterr().out
    assert len(examples(out, name)) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_examples_in_help_are_accepted_by_the_parser(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An option that no command has comes last: the error is about that, and nothing is run."""
    with pytest.raises(SystemExit):
        main([name, "--help"])
    for words in examples(capsys.readouterr().out, name):
        with pytest.raises(SystemExit) as exit_:
            main([*words, "--no-such-option"])
        assert exit_.value.code == 2
        assert "unrecognized arguments: --no-such-option" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"dongfeng {__version__}\n"


@pytest.mark.parametrize(
    "argv",
    [[], ["no-such-command"], ["models", "--no-such-option"], ["segment", "x.png"], ["info", "df1", "--size", "512"]],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    assert exit_.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("usage: ")


@pytest.mark.parametrize("text", ["512", "0x5", "512x1024x3", "-1x2", "axb", "１x２"])
def test_a_size_is_height_x_width(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["info", "df1", f"--size={text}"])
    assert "expected HEIGHTxWIDTH in pixels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ShapeError("net.prototxt:3: two\nlines"), "error: net.prototxt:3: two lines\n"),
        (
            FileNotFoundError(2, "No such file or directory", "out/x.png"),
            "error: out/x.png: No such file or directory\n",
        ),
        (FileExistsError("out: in the way"), "error: out: in the way\n"),
    ],
    ids=["dongfeng", "os", "text"],
)
def test_an_error_is_one_line_and_exit_1(
    error: Exception, line: str, doing: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert doing(raising(error)) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", line)


@pytest.mark.parametrize("argv", [["--debug", "models"], ["models", "--debug"]], ids=" ".join)
def test_debug_shows_the_traceback(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(models, "run", raising(ShapeError("too small")))
    assert main(argv) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith("error: too small\n")


def test_a_fault_of_our_own_is_no_user_error(doing: Callable[..., int]) -> None:
    with pytest.raises(ZeroDivisionError):
        doing(raising(ZeroDivisionError()))


def test_an_interrupt_is_one_line_and_exit_130(doing: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert doing(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_a_warning_is_one_line(doing: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    def run(_: argparse.Namespace) -> int:
        for _again in range(2):
            warnings.warn("labels mean\nnothing", DongfengWarning, stacklevel=1)
        return 0

    assert doing(run) == 0
    assert capsys.readouterr().err == 2 * "warning: labels mean nothing\n"


def test_a_reader_that_goes_away_is_no_error(subprocess_env: dict[str, str]) -> None:
    script = "import sys; from dongfeng.cli.main import main; sys.exit(main(['models', '--json']))"
    command = [sys.executable, "-c", script]
    process = subprocess.Popen(command, env=subprocess_env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_help_needs_no_heavy_library(subprocess_env: dict[str, str]) -> None:
    script = "import sys; from dongfeng.cli.main import parser; parser().format_help(); print(*sys.modules)"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=subprocess_env, capture_output=True, text=True, check=True)
    heavy = {"numpy", "onnx", "onnxruntime", "cv2", "requests", "rich", "gdown"}
    assert heavy.isdisjoint(done.stdout.split())
