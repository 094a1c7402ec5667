"""Running a model over the images of a command line, which `segment` and `classify` share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from dongfeng.cli.arguments import add_json, add_size, add_weights, positive
from dongfeng.cli.inputs import Image
from dongfeng.cli.output import complain, note, print_json, progress
from dongfeng.errors import DongfengError, ImageError

if TYPE_CHECKING:
    from dongfeng.runtime.model import Model

Row = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser, *, model: str) -> None:
    """What both commands take; `model` is the default."""
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="an image, a folder or a pattern")
    parser.add_argument("--model", default=model, metavar="M", help=f"zoo name or model file (default: {model})")
    add_weights(parser)
    add_size(parser)
    parser.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--threads", type=positive, metavar="N", help="threads of the CPU (default: the backend's own)")
    add_json(parser)


def over_images(
    args: argparse.Namespace,
    task: str,
    images: Sequence[Image],
    problems: list[str],
    handle: Callable[[Image, Any], tuple[Row, str]],
) -> list[Row]:
    """Run the model over all images; one that cannot be read stops no other.

    Args:
        args: The command's arguments.
        task: What the model has to be for.
        images: The images.
        problems: Gets one line for each image that cannot be read.
        handle: Turns an image and its result into a row for JSON and a line for people.

    Returns:
        The rows, in the order of the images.
    """
    rows: list[Row] = []
    if not images:
        return rows
    with _load(args, task) as model, progress(len(images), task, quiet_stdout=args.json) as step:
        results = model.stream(image.path for image in images)
        with closing(results):
            for image in images:
                try:
                    result = next(results)
                except ImageError as error:
                    problems.append(str(error))
                    step(f"{image.path}: skipped")
                    continue
                row, line = handle(image, result)
                rows.append({"input": str(image.path), **row, "timing_ms": dict(result.timing)})
                step(line)
    return rows


def _load(args: argparse.Namespace, task: str) -> Model:
    from dongfeng.runtime.load import load

    model = load(args.model, weights=args.weights, device=args.device, size=args.size, threads=args.threads)
    if model.task != task:
        model.close()
        other = {"classification": "classify", "segmentation": "segment"}[model.task]
        raise DongfengError(f"{args.model} is a model for {model.task}; use: dongfeng {other} --model {args.model}")
    return model


def report(args: argparse.Namespace, rows: list[Row], problems: list[str]) -> int:
    """Print the JSON, if asked for, and the problems; the exit status."""
    if args.json:
        print_json({"model": args.model, "rows": rows, "errors": problems})
    for problem in problems:
        complain(problem)
    note(f"{len(rows)} done, {len(problems)} failed")
    return 1 if problems else 0
