"""The `dongfeng` command: one parser, one place where errors become exit codes."""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module

from dongfeng.cli.arguments import Formatter, add_json, new_parser
from dongfeng.cli.interrupt import INTERRUPTED
from dongfeng.cli.output import complain, showwarning
from dongfeng.errors import DongfengError, DongfengWarning

COMMANDS = tuple(
    import_module(f"dongfeng.cli.{name}")
    for name in (
        *("models", "info", "fetch", "cache", "backends", "convert", "quantize", "segment", "classify", "demo"),
        *("evaluate", "search", "export_trtexec", "toytown", "train"),
    )
)

EPILOG = """\
examples:
  dongfeng demo -o demo
  dongfeng segment --model pl1a_seg photo.jpg -o out
  dongfeng convert deploy.prototxt net.caffemodel -o net.onnx
  dongfeng info df1seg --size 512x1024

Each command has its own --help. Exit status: 0 done, 1 failed, 2 wrong usage.
"""

FAILED, BROKEN_PIPE = 1, 141


def parser() -> argparse.ArgumentParser:
    """Build the parser of the whole command line."""
    summary = "Run, convert and cost the Dongfeng networks, and other Caffe networks, without Caffe."
    root = new_parser("dongfeng", summary, EPILOG)
    commands = root.add_subparsers(metavar="COMMAND", required=True)
    for module in COMMANDS:
        command = commands.add_parser(
            module.__name__.rpartition(".")[2].replace("_", "-"),
            help=module.SUMMARY,
            description=f"{module.SUMMARY[0].upper()}{module.SUMMARY[1:]}.",
            epilog=module.EPILOG,
            formatter_class=Formatter,
            allow_abbrev=False,
        )
        module.add_arguments(command)
        add_json(command)
        # Without a value here, that given before the command's name stands.
        command.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        command.set_defaults(run=module.run, usage_error=command.error)
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
