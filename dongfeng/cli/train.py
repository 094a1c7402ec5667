"""`dongfeng train`: train a network, or go on with a training."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dongfeng.cli.arguments import positive, setting, size_hw
from dongfeng.cli.output import note, print_json, print_table
from dongfeng.support.progress import Progress, show_progress

if TYPE_CHECKING:
    from dongfeng.training import LogEntry, Metrics

SUMMARY = "train a network with PyTorch"
EPILOG = """\
NET is the name of an architecture, a .prototxt, or an encoding: the widths of the blocks of stages 3, 4 and 5, and for
a segmentation those of the decoder (64,64/128,128/256,512:32,32,512). DATA is cityscapes:ROOT, imagenet:ROOT (with
train/CLASS/* and val/CLASS/*), toytown[:COUNT] or toyshapes[:COUNT]. RUN gets config.json, log.jsonl, a checkpoint, and
in the end NAME.prototxt and NAME.caffemodel. Settings without an option are those of the recipe; docs/training.md
lists all of them, which --set takes too.

examples:
  dongfeng train --recipe toytown_seg -o run
  dongfeng train --resume -o run
  dongfeng train df1seg --data cityscapes:cityscapes --weights df1.caffemodel --size 512x1024 --steps 40000 -o run
  dongfeng train 16/32/64 --data toyshapes --size 64x64 --steps 1000 --set random_scale=[1,1.2] -o run
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("net", nargs="?", metavar="NET", help="network to train (default: the recipe's)")
    parser.add_argument("-o", "--out", required=True, metavar="RUN", help="folder of the run")
    parser.add_argument("--recipe", metavar="R", help="name of a recipe, or a .json file of settings")
    parser.add_argument("--resume", action="store_true", help="go on with the run, which may have been killed")
    parser.add_argument("--data", metavar="DATA", help="data set")
    parser.add_argument("--weights", metavar="W", help="start from this .caffemodel or zoo name")
    parser.add_argument("--size", dest="size_hw", type=size_hw, metavar="HxW", help="input height x width in pixels")
    parser.add_argument("--steps", type=positive, metavar="N", help="number of updates")
    parser.add_argument("--batch", type=positive, metavar="N", help="images of an update")
    parser.add_argument("--optimizer", metavar="O", help="sgd or adamw")
    parser.add_argument("--lr", type=float, metavar="X", help="learning rate, after the warm-up")
    parser.add_argument("--seed", type=int, metavar="N", help="of everything that is random")
    parser.add_argument("--precision", metavar="P", help="auto, fp32, bf16 or fp16 (default: auto)")
    parser.add_argument("--device", metavar="D", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--threads", type=positive, metavar="N", help="threads of the CPU for the network")
    parser.add_argument("--workers", type=positive, metavar="N", help="threads that prepare images")
    parser.add_argument("--checkpoint-every", type=positive, metavar="N", help="updates between checkpoints")
    parser.add_argument("--set", action="append", default=[], type=setting, metavar="K=V", help="any other setting")
    parser.add_argument("--half", action="store_true", help="write the weights in half precision")


_OPTIONS = (
    *("net", "data", "weights", "steps", "batch", "optimizer", "lr", "seed", "precision", "device", "threads"),
    *("workers", "checkpoint_every", "size_hw"),
)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.training import command_config, train_run

    folder = Path(args.out)
    given = {name: getattr(args, name) for name in _OPTIONS if getattr(args, name) is not None}
    config = command_config(folder, given | dict(args.set), recipe=args.recipe, resume=args.resume)
    with show_progress("", "steps", config.steps) as progress:
        show = partial(_show, progress)
        trained = train_run(config, folder, resume=args.resume, half=args.half, on_entry=show, note=note)
    if args.json:
        print_json({"run": args.out} | trained.to_json())
        return 0
    metrics = trained.result.metrics
    if metrics.iou:
        rows = [(name, None if value is None else 100 * value) for name, value in metrics.iou.items()]
        print_table(("class", "IoU %"), rows)
    print(_text(metrics))
    print(trained.prototxt)
    print(trained.caffemodel)
    return 0


def _show(progress: Progress, entry: LogEntry) -> None:
    """Show an entry of the log: a line for an evaluation, else how far the training is."""
    from dongfeng.training import LossEntry

    if isinstance(entry, LossEntry):
        text = f"loss {entry.loss:.4f}, lr {entry.lr:.3g}, {entry.images_per_s:.1f} images/s"
        progress.update(entry.step, text=text)
    else:
        progress.note(f"step {entry.step}: {_text(entry.metrics)}")


def _text(metrics: Metrics) -> str:
    if metrics.accuracy is None:
        return "nothing to evaluate on"
    return f"{'top-1' if metrics.iou is None else 'mIoU'} {100 * metrics.accuracy:.2f} %"
