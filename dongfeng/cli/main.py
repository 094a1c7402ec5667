"""The `dongfeng` command: one parser, one place where errors become exit codes."""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from types import ModuleType

from dongfeng._version import __version__
from dongfeng.cli import (
    backends,
    cache,
    classify,
    convert,
    demo,
    evaluate,
    export_trtexec,
    fetch,
    info,
    models,
    quantize,
    search,
    segment,
    toytown,
    train,
)
from dongfeng.cli.arguments import Formatter
from dongfeng.cli.output import complain, showwarning
from dongfeng.errors import DongfengError, DongfengWarning

COMMANDS: tuple[ModuleType, ...] = (
    models,
    info,
    fetch,
    cache,
    backends,
    convert,
    quantize,
    segment,
    classify,
    demo,
    evaluate,
    search,
    export_trtexec,
    toytown,
    train,
)

EPILOG = """\
examples:
  dongfeng demo -o demo
  dongfeng segment --model pl1a_seg photo.jpg -o out
  dongfeng convert deploy.prototxt net.caffemodel -o net.onnx
  dongfeng info df1seg --size 512x1024

Each command has its own --help. Exit status: 0 done, 1 failed, 2 wrong usage.
"""

FAILED, INTERRUPTED, BROKEN_PIPE = 1, 130, 141


def parser() -> argparse.ArgumentParser:
    """Build the parser of the whole command line."""
    root = argparse.ArgumentParser(
        prog="dongfeng",
        description="Run, convert and cost the Dongfeng networks, and other Caffe networks, without Caffe.",
        epilog=EPILOG,
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    root.add_argument("--version", action="version", version=f"dongfeng {__version__}")
    root.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = root.add_subparsers(metavar="COMMAND", required=True)
    for module in COMMANDS:
        command = module.add_parser(commands)
        # Without a value here, that given before the command's name stands.
        command.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        command.set_defaults(run=module.run)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; see `run_program`."""
    return run_program(parser(), argv)


def run_program(root: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    """Parse a command line and run its command.

    Args:
        root: Parser, whose result has `debug`, and `run`, which takes the result and returns an exit status.
        argv: Arguments without the program's name; None takes the process's own.

    Returns:
        0 done; 1 failed, with one line `error: ...` on stderr; 130 interrupted; 141 the reader of stdout went away.

    Raises:
        SystemExit: 2, wrong usage; 0, --help and --version.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name may hold what the terminal cannot show
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # its warnings about an image are in our own error
    args = root.parse_args(argv)
    with warnings.catch_warnings():
        warnings.simplefilter("always", DongfengWarning)
        warnings.showwarning = showwarning
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more at exit, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except (DongfengError, OSError) as error:
        if args.debug:
            traceback.print_exc()
        complain(_describe(error))
        return FAILED
    return code


def _describe(error: DongfengError | OSError) -> str:
    if isinstance(error, DongfengError) or error.strerror is None:
        return str(error)
    name = error.filename2 or error.filename
    return error.strerror if name is None else f"{name}: {error.strerror}"
