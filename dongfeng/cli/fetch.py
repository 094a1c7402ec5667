"""`dongfeng fetch`: weights into the cache."""

from __future__ import annotations

import argparse

from dongfeng.cli.arguments import Commands, add_command, add_json
from dongfeng.cli.output import complain, print_json

EPILOG = """\
examples:
  dongfeng fetch pl1a_seg
  dongfeng fetch df1 df2 df2a
  DONGFENG_HOME=/data/dongfeng dongfeng fetch df1seg
"""


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    parser = add_command(
        commands,
        "fetch",
        "put the released weights of models, verified, into the cache",
        EPILOG,
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="a model of the zoo (dongfeng models)")
    add_json(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command: every file that can be had is fetched, whatever happens to the others."""
    from dongfeng.errors import WeightsUnavailable
    from dongfeng.zoo.fetch import fetch_files
    from dongfeng.zoo.models import model_info

    rows, problems = [], []
    for info in [model_info(name) for name in args.names]:
        try:
            paths = fetch_files(info)
        except WeightsUnavailable as error:
            problems.append(str(error))
            continue
        rows += [{"model": info.name, "path": str(path), "size_bytes": path.stat().st_size} for path in paths]
        if not args.json:
            print(*paths, sep="\n", flush=True)
    if args.json:
        print_json({"rows": rows})
    for problem in problems:
        complain(problem)
    return 1 if problems else 0
