"""`dongfeng models`: lists the zoo."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dongfeng.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from dongfeng.zoo.models import ModelInfo

_ACCURACIES = (("top1", "val", "top-1"), ("miou", "val", "mIoU val"), ("miou", "test", "mIoU test"))

SUMMARY = "list the models of the zoo, with their accuracy as published"
EPILOG = """\
examples:
  dongfeng models
  dongfeng models 'df1*'
  dongfeng models --json        # weights, licences and every published result with its source
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="only names like 'df1*'")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.zoo.models import list_models, model_info

    models = [model_info(name) for name in list_models(args.pattern)]
    if args.json:
        print_json({"rows": [info.to_json() for info in models]})
        return 0
    if not models:
        note(f"no model is called like {args.pattern!r}")
    print_table(
        ("model", "task", "input", *(f"{label} %" for *_, label in _ACCURACIES)),
        [(info.name, info.task, "{}x{}".format(*info.size_hw), *_percentages(info)) for info in models],
    )
    return 0


def _percentages(info: ModelInfo) -> list[float | None]:
    """Return the published value of each of `_ACCURACIES`, in percent."""
    results = [info.result(metric, split=split) for metric, split, _ in _ACCURACIES]
    return [None if result is None else round(100 * result.value, 1) for result in results]
