"""Arguments, progress and summary of `segment`, `classify`, `evaluate` and `df-cityscapes`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Literal

from dongfeng.cli.arguments import add_backend, add_size, add_weights
from dongfeng.cli.interrupt import deferred_interrupt
from dongfeng.cli.output import complain, note, progress
from dongfeng.runtime.run_progress import RunProgress
from dongfeng.support.progress import Progress, show_progress

if TYPE_CHECKING:
    from dongfeng.runtime.inputs import Failure
    from dongfeng.runtime.load import LoadOptions


def add_inputs(parser: argparse.ArgumentParser, *, model: str, inputs: str = "an image, a folder or a pattern") -> None:
    """Add INPUT, `--model` (with its default) and the options of `add_model_options`."""
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=inputs)
    parser.add_argument("--model", default=model, metavar="M", help=f"zoo name or model file (default: {model})")
    add_model_options(parser)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `model_options` reads."""
    add_weights(parser)
    add_size(parser)
    add_backend(parser)
    parser.add_argument(
        "--calibration", metavar="DIR", help="about ten images such as it will see, to quantize with for int8"
    )
    parser.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:N (default: auto)")


def model_options(args: argparse.Namespace) -> LoadOptions:
    """Return how the model is to be loaded, as keywords of `dongfeng.batch` and `dongfeng.evaluate`."""
    return {
        "weights": args.weights,
        "backend": args.backend,
        "precision": args.precision,
        "device": args.device,
        "size": args.size,
        "threads": args.threads,
        "calibration": args.calibration,
    }


class ShownRun(RunProgress[object]):
    """Shows a run while the block lasts; Ctrl-C ends it after the image in hand, once the model is loaded.

    Args:
        quiet_stdout: stdout is reserved for JSON; lines go to stderr.
    """

    def __init__(self, *, quiet_stdout: bool) -> None:
        self._quiet_stdout = quiet_stdout
        self._stack = ExitStack()
        self._frames: Progress | None = None

    def start(self, name: str, total: int | None, unit: Literal["image", "frame"]) -> None:
        """Begin to show progress, and to listen for Ctrl-C."""
        if unit == "frame":  # which are too many for a line each
            self._frames = self._stack.enter_context(show_progress(name, "frames", total))
        else:
            self._line = self._stack.enter_context(progress(total or 0, name, quiet_stdout=self._quiet_stdout))
        self._interrupted = self._stack.enter_context(deferred_interrupt())

    def step(self, item: object) -> None:
        """Show one image or frame that is done."""
        if self._frames is None:
            self._line(str(item))
        else:
            self._frames.advance()

    def should_stop(self) -> bool:
        """Tell whether there was a Ctrl-C."""
        return self._interrupted()

    def __enter__(self) -> ShownRun:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()


def print_failures(failures: Sequence[Failure], done: str, also: str = "") -> int:
    """Print one line for each failure and one that sums up; return the exit status."""
    for failure in failures:
        complain(failure.reason)
    note(f"{done}, {len(failures)} failed{also}")
    return 1 if failures else 0


def percent(fraction: float | None) -> float | None:
    """Convert a fraction of 0..1 to percent; None stays None."""
    return None if fraction is None else 100 * fraction
