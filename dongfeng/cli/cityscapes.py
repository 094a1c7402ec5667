"""`df-cityscapes`: the labels of a whole Cityscapes split, for the test server, and their evaluation."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dongfeng._version import __version__
from dongfeng.cli.arguments import Formatter, add_execution, add_json, add_shard, add_size, add_weights
from dongfeng.cli.inference import open_model
from dongfeng.cli.interrupt import deferred_interrupt
from dongfeng.cli.main import run_program
from dongfeng.cli.output import complain, note, print_json, progress
from dongfeng.errors import DongfengError, ImageError
from dongfeng.runtime.cityscapes_report import as_json, print_scores
from dongfeng.runtime.run_settings import execution, run_settings
from dongfeng.support.json_layout import json_text

if TYPE_CHECKING:
    from dongfeng.datasets.cityscapes_folder import Frame, Truth
    from dongfeng.datasets.cityscapes_metrics import CityscapesMetrics
    from dongfeng.datasets.cityscapes_outputs import Outputs
    from dongfeng.runtime.results import Segmentation

EPILOG = """\
CITYSCAPES holds leftImg8bit and, for --evaluate, gtFine. DIR/label_ids/SPLIT is what the test server takes, as a zip;
DIR/color and DIR/overlay hold pictures; DIR/results.json is what --evaluate finds.

A killed run goes on with --resume. With --shard several machines share the work; afterwards a run with --resume and
--evaluate, without --shard, evaluates all of it.

examples:
  df-cityscapes --root cityscapes --split val --model df1seg --out out --evaluate
  df-cityscapes --root cityscapes --split test --model df2seg2 --out out --kind label_ids --kind color --resume
  df-cityscapes --root cityscapes --model pl1a_seg --weights pl1a_new.bin --out out --shard 1/4
"""


def parser() -> argparse.ArgumentParser:
    """The parser of the command."""
    root = argparse.ArgumentParser(
        prog="df-cityscapes",
        description="Label all images of a Cityscapes split, for the test server, and evaluate the labels.",
        epilog=EPILOG,
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    root.add_argument("--root", required=True, metavar="CITYSCAPES", help="folder of the data set")
    root.add_argument("--split", default="val", metavar="S", help="train, val or test (default: val)")
    root.add_argument("--model", required=True, metavar="M", help="zoo name or model file")
    root.add_argument("--out", required=True, metavar="DIR", help="folder of the outputs")
    root.add_argument(
        "--kind",
        action="append",
        choices=("label_ids", "color", "overlay"),
        help="what to write, repeatable: Cityscapes' label ids (default), colours, colours over the image",
    )
    root.add_argument("--evaluate", action="store_true", help="compare the label ids with gtFine: IoU and iIoU")
    root.add_argument("--resume", action="store_true", help="skip images whose outputs are there, whole")
    add_shard(root)
    add_weights(root)
    add_size(root)
    add_execution(root)
    add_json(root)
    root.add_argument("--version", action="version", version=f"df-cityscapes {__version__}")
    root.add_argument("--debug", action="store_true", help="show the traceback of an error")
    root.set_defaults(run=run)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; `dongfeng.cli.main.run_program` says what it returns."""
    return run_program(parser(), argv)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.datasets.cityscapes_folder import Frame, find_frames, find_truth
    from dongfeng.datasets.cityscapes_metrics import CityscapesMetrics
    from dongfeng.datasets.cityscapes_outputs import KINDS, LABEL_IDS, Outputs

    everything = find_frames(Path(args.root), args.split)
    part, parts = args.shard or (1, 1)
    frames = everything[part - 1 :: parts]
    truth = find_truth(Path(args.root), args.split, frames) if args.evaluate else None
    kinds = {*(args.kind or [LABEL_IDS]), *([LABEL_IDS] if args.evaluate else [])}
    outputs = Outputs(Path(args.out), args.split, tuple(kind for kind in KINDS if kind in kinds))
    settings = run_settings(args)
    done = outputs.done(frames, settings) if args.resume else set[Frame]()
    metrics, problems, rows = CityscapesMetrics(), list[str](), list[dict[str, Any]]()
    todo = [frame for frame in frames if frame not in done]
    with (
        _results(args, todo) as results,
        progress(len(frames), "cityscapes", quiet_stdout=args.json) as step,
        deferred_interrupt() as interrupted,
    ):
        # Not before the model is there: a mistake in its name must not cost the files of another.
        outputs.begin(everything, settings, resume=args.resume)
        outputs.remove_leftovers(frames)
        for frame in frames:
            if interrupted():
                raise KeyboardInterrupt
            try:
                if frame not in done:
                    _save(next(results), frame, outputs)
            except ImageError as error:
                problems.append(str(error))
                step(f"{frame.path}: skipped")
                continue
            # From the file, which is what the server gets, whether it was written just now or by an earlier run.
            if truth is not None:
                problems += _evaluate(metrics, frame, truth, outputs)
            written = [str(outputs.path(frame, kind)) for kind in outputs.kinds]
            rows.append({"input": str(frame.path), "outputs": written, "resumed": frame in done})
            step(f"{frame.path} -> {', '.join(written)}{' (already there)' if frame in done else ''}")
    found = _found(args, metrics, outputs, len(frames), problems) if truth is not None else {}
    _report(args, found, rows, problems, metrics.images)
    return 1 if problems else 0


@contextmanager
def _results(args: argparse.Namespace, frames: Sequence[Frame]) -> Iterator[Iterator[Segmentation]]:
    """The model's results of these frames; no model is loaded for none."""
    if not frames:
        yield iter(())
        return
    with open_model(args, "segmentation", count=len(frames), otherwise="evaluate") as model:
        if model.classes != "cityscapes":
            raise DongfengError(f"{args.model} has {len(model.class_names)} classes; expected Cityscapes' 19")
        with closing(model.stream(frame.path for frame in frames)) as results:
            yield results


def _save(result: Segmentation, frame: Frame, outputs: Outputs) -> None:
    for kind in outputs.kinds:
        result.save(outputs.path(frame, kind), kind=kind)


def _evaluate(metrics: CityscapesMetrics, frame: Frame, truth: Truth, outputs: Outputs) -> list[str]:
    """Compare one label map with the ground truth; what prevents it."""
    from dongfeng.datasets.label_png import read_instance_png, read_label_png

    path, instances = truth.label_ids(frame), truth.instance_ids(frame)
    try:
        prediction = read_label_png(outputs.path(frame, "label_ids"))
        truth_labels = read_label_png(path)
        truth_instances = None if instances is None else read_instance_png(instances)
    except ImageError as error:
        return [str(error)]
    try:
        metrics.add(prediction, truth_labels, truth_instances)
    except ImageError as error:
        return [f"{path}: {error}"]
    return []


def _found(
    args: argparse.Namespace, metrics: CityscapesMetrics, outputs: Outputs, images: int, problems: list[str]
) -> dict[str, Any]:
    """The scores as JSON, written to the folder as well; nothing where there is none, which is a problem."""
    from dongfeng.datasets.cityscapes import LABEL_IDS

    if not metrics.images:
        return {}
    if not metrics.confusion_pixels[LABEL_IDS].any():
        problems.append(
            f"gtFine/{args.split}: labels no pixel of the 19 classes, as is so for test; evaluate val, or send "
            f"{outputs.folder / 'label_ids' / args.split} to the test server"
        )
        return {}
    what = {"model": args.model, "weights": args.weights, **execution(args), "split": args.split}
    share = {"shard": args.shard and "{}/{}".format(*args.shard), "images": images, "images_evaluated": metrics.images}
    found = what | share | as_json(args.model, args.split, metrics.scores())
    confusion = {"confusion_pixels": metrics.confusion_pixels.tolist()}
    name = "results{}.json".format("-{}-of-{}".format(*args.shard) if args.shard else "")
    outputs.write_json(name, json_text(found | confusion) + "\n")
    return found


def _report(
    args: argparse.Namespace, found: dict[str, Any], rows: list[dict[str, Any]], problems: list[str], evaluated: int
) -> None:
    if args.json:
        what = {"model": args.model, "weights": args.weights, **execution(args), "split": args.split}
        shown = found or {**what, "rows": []}
        print_json(shown | {"files": rows, "errors": problems})
    elif found:
        print_scores(found["rows"])
    for problem in problems:
        complain(problem)
    also = f", {evaluated} evaluated" if args.evaluate else ""
    note(f"{len(rows)} done, {len(problems)} failed{also}")
