"""`df-bench`: latency of networks, on this machine and on known devices."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from dongfeng.cli import bench_compare, bench_lut, bench_run
from dongfeng.cli.main import run_program

_COMMANDS = {"run": bench_run.parser, "lut": bench_lut.parser, "compare": bench_compare.parser}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, `run` where none is named; `dongfeng.cli.main.run_program` says what it returns."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = words.pop(0) if words and words[0] in _COMMANDS else "run"
    return run_program(_COMMANDS[command](), words)


if __name__ == "__main__":
    raise SystemExit(main())
