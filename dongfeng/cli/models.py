"""`dongfeng models`: what the zoo holds."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from dongfeng.cli.arguments import Commands, add_command, add_json
from dongfeng.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from dongfeng.zoo.models import ModelInfo

EPILOG = """\
examples:
  dongfeng models
  dongfeng models 'df1*'
  dongfeng models --json        # weights, licences and every published result with its source
"""


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    parser = add_command(commands, "models", "list the models of the zoo, with their accuracy as published", EPILOG)
    parser.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="only names like 'df1*'")
    add_json(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.cli.published import HEADLINES, accuracies
    from dongfeng.zoo.models import list_models, model_info

    models = [model_info(name) for name in list_models(args.pattern)]
    if args.json:
        print_json({"rows": [_row(info) for info in models]})
        return 0
    if not models:
        note(f"no model is called like {args.pattern!r}")
    print_table(
        ("model", "task", "input", *(f"{label} %" for *_, label in HEADLINES)),
        [(info.name, info.task, "{}x{}".format(*info.size_hw), *accuracies(info)) for info in models],
    )
    return 0


def _row(info: ModelInfo) -> dict[str, Any]:
    from dongfeng.cli.published import published_rows

    return {
        "model": info.name,
        "task": info.task,
        "architecture": info.architecture,
        "height": info.size_hw[0],
        "width": info.size_hw[1],
        "classes": info.classes,
        "weights": [
            {"file": file.name, "format": file.format, "size_bytes": file.size_bytes, "sha256": file.sha256}
            | {"licence": file.licence, "shipped": file.shipped, "urls": list(file.urls)}
            for file in info.weights
        ],
        "published": published_rows(info),
    }
