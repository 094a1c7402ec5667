"""Running a model over the images of a command line, which `segment`, `classify` and `evaluate` share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dongfeng.cli.arguments import add_execution, add_json, add_size, add_weights
from dongfeng.cli.interrupt import deferred_interrupt
from dongfeng.cli.output import complain, note, print_json, progress
from dongfeng.errors import BackendUnavailable, DongfengError, ImageError
from dongfeng.runtime.inputs import Image, find_images

if TYPE_CHECKING:
    from dongfeng.runtime.model import Model

Row = dict[str, Any]
Shown = tuple[Row, str]  # a row for JSON and a line for people


def add_arguments(
    parser: argparse.ArgumentParser, *, model: str, inputs: str = "an image, a folder or a pattern"
) -> None:
    """What these commands take; `model` is the default."""
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=inputs)
    parser.add_argument("--model", default=model, metavar="M", help=f"zoo name or model file (default: {model})")
    add_weights(parser)
    add_size(parser)
    add_execution(parser)
    add_json(parser)


def over_images(
    args: argparse.Namespace,
    task: str,
    images: Sequence[Image],
    problems: list[str],
    handle: Callable[[Image, Any], Shown],
    done: Mapping[Image, Shown] | None = None,
) -> list[Row]:
    """Run the model over all images; one that cannot be read stops no other.

    Args:
        args: The command's arguments.
        task: What the model has to be for.
        images: The images.
        problems: Gets one line for each image that cannot be read.
        handle: Turns an image and its result into what is shown of it.
        done: What is shown of images that need no model; it is not loaded for none.

    Returns:
        The rows, in the order of the images.

    Raises:
        KeyboardInterrupt: Ctrl-C, once the image in hand is done.
    """
    done = done or {}
    todo = [image.path for image in images if image not in done]
    rows: list[Row] = []
    with ExitStack() as stack:
        results = iter(())
        if todo:
            model = stack.enter_context(open_model(args, task, count=len(todo)))
            results = stack.enter_context(closing(model.stream(path for path in todo)))
        step = stack.enter_context(progress(len(images), task, quiet_stdout=args.json))
        interrupted = stack.enter_context(deferred_interrupt())
        for image in images:
            if interrupted():
                raise KeyboardInterrupt
            try:
                row, line = done[image] if image in done else _shown(image, next(results), handle)
            except ImageError as error:
                problems.append(str(error))
                step(f"{image.path}: skipped")
                continue
            rows.append({"input": str(image.path), **row})
            step(line)
    return rows


def _shown(image: Image, result: Any, handle: Callable[[Image, Any], Shown]) -> Shown:
    row, line = handle(image, result)
    return {**row, "timing_ms": dict(result.timing)}, line


def open_model(args: argparse.Namespace, task: str, *, count: int | None, otherwise: str | None = None) -> Model:
    """The model that a command line asks for, ready to stream.

    Args:
        args: The command's arguments.
        task: What the model has to be for.
        count: Number of images; None where it is not known.
        otherwise: The command that takes a model for something else; default: by what it is for.

    Raises:
        DongfengError: it cannot be loaded, or is for something else.
    """
    from dongfeng.runtime.load import load_stream

    model = load_stream(
        args.model,
        count=count,
        weights=args.weights,
        backend=args.backend,
        precision=args.precision,
        calibration=calibration_images(args),
        device=args.device,
        size=args.size,
        threads=args.threads,
    )
    if model.task != task:
        model.close()
        command = otherwise or {"classification": "classify", "segmentation": "segment"}[model.task]
        raise DongfengError(f"{args.model} is a model for {model.task}; use: dongfeng {command} --model {args.model}")
    return model


def calibration_images(args: argparse.Namespace) -> list[Path] | None:
    """The images of `--calibration`, sorted; None where it is not given.

    Raises:
        BackendUnavailable: it is not given, and has to be, or the other way round.
        ImageError: it holds no images.
    """
    if args.calibration is None:
        if args.precision == "int8" and Path(args.model).suffix != ".onnx":  # which may be quantized already
            raise BackendUnavailable(
                "--precision int8: needs images to quantize with; give --calibration DIR, about ten such as it will see"
            )
        return None
    if args.precision != "int8":
        raise BackendUnavailable(f"--calibration: is for --precision int8; the precision is {args.precision}")
    images, problems = find_images([args.calibration])
    if problems:
        raise ImageError(f"--calibration {problems[0]}")
    return sorted(image.path for image in images)


def report(args: argparse.Namespace, rows: list[Row], problems: list[str]) -> int:
    """Print the JSON, if asked for, and the problems; the exit status."""
    if args.json:
        print_json({"model": args.model, "rows": rows, "errors": problems})
    for problem in problems:
        complain(problem)
    note(f"{len(rows)} done, {len(problems)} failed")
    return 1 if problems else 0
