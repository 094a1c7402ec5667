"""`dongfeng fetch`: puts weights into the cache."""

from __future__ import annotations

import argparse

from dongfeng.cli.output import complain, print_json

SUMMARY = "put the released weights of models, verified, into the cache"
EPILOG = """\
examples:
  dongfeng fetch pl1a_seg
  dongfeng fetch df1 df2 df2a
  DONGFENG_HOME=/data/dongfeng dongfeng fetch df1seg
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="a model of the zoo (dongfeng models)")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.zoo.fetch import fetch_models

    models = []
    for model in fetch_models(args.names):
        models.append(model)
        if not args.json and model.problem is None:
            print(*model.paths, sep="\n", flush=True)
    if args.json:
        print_json({"rows": [row for model in models for row in model.to_json()]})
    problems = [str(model.problem) for model in models if model.problem is not None]
    for problem in problems:
        complain(problem)
    return 1 if problems else 0
