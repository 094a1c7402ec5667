"""`dongfeng train`: train a network, or go on with a training."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dongfeng.cli.arguments import Commands, add_command, add_json, positive, setting, size_hw
from dongfeng.cli.output import note, print_json, print_table
from dongfeng.errors import DongfengError
from dongfeng.support.progress import show_progress

if TYPE_CHECKING:
    from dongfeng.training import TrainConfig

_METRICS = ("miou", "top1")

EPILOG = """\
NET is the name of an architecture, a .prototxt, or an encoding: the widths of the blocks of stages 3, 4 and 5, and for
a segmentation those of the decoder (64,64/128,128/256,512:32,32,512). DATA is cityscapes:ROOT, imagenet:ROOT (with
train/CLASS/* and val/CLASS/*), toytown[:COUNT] or toyshapes[:COUNT]. RUN gets config.json, log.jsonl, a checkpoint, and
in the end NAME.prototxt and NAME.caffemodel. What no option says is as in the recipe; docs/training.md lists all
settings, which --set takes too.

examples:
  dongfeng train --recipe toytown_seg -o run
  dongfeng train --resume -o run
  dongfeng train df1seg --data cityscapes:cityscapes --weights df1.caffemodel --size 512x1024 --steps 40000 -o run
  dongfeng train 16/32/64 --data toyshapes --size 64x64 --steps 1000 --set random_scale=[1,1.2] -o run
"""


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    parser = add_command(commands, "train", "train a network with PyTorch", EPILOG)
    parser.add_argument("net", nargs="?", metavar="NET", help="what to train (default: the recipe's)")
    parser.add_argument("-o", "--out", required=True, metavar="RUN", help="folder of the run")
    parser.add_argument("--recipe", metavar="R", help="name of a recipe, or a .json file of settings")
    parser.add_argument("--resume", action="store_true", help="go on with the run, which may have been killed")
    parser.add_argument("--data", metavar="DATA", help="what to train on")
    parser.add_argument("--weights", metavar="W", help="start from this .caffemodel or zoo name")
    parser.add_argument("--size", type=size_hw, metavar="HxW", help="input height x width in pixels")
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
    add_json(parser)
    return parser


_OPTIONS = (
    *("net", "data", "weights", "steps", "batch", "optimizer", "lr", "seed", "precision", "device", "threads"),
    *("workers", "checkpoint_every"),
)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.training import train_run

    config, folder = _config(args), Path(args.out)
    if args.resume and not (folder / "config.json").is_file():
        raise DongfengError(f"{folder}: holds no training to resume; leave out --resume to begin one")
    with _progress(config) as on_record:
        trained = train_run(config, folder, resume=args.resume, half=args.half, on_record=on_record, note=note)
    metrics = trained.result.metrics
    per_class = metrics.get("iou", {})
    if args.json:
        rows = [{"class": name, "iou_fraction": value} for name, value in per_class.items()]
        files = {"prototxt": str(trained.prototxt), "caffemodel": str(trained.caffemodel)}
        values = {name: value for name, value in metrics.items() if name in _METRICS}
        print_json({"run": args.out, "steps": config.steps} | files | values | {"rows": rows})
        return 0
    if per_class:
        shown = [(name, None if value is None else 100 * value) for name, value in per_class.items()]
        print_table(("class", "IoU %"), shown)
    print(_shown(metrics))
    print(trained.prototxt)
    print(trained.caffemodel)
    return 0


def _config(args: argparse.Namespace) -> TrainConfig:
    """The recipe, or the run that is resumed, with what the options say."""
    from dongfeng.training import TrainConfig, read_config, read_recipe

    before = Path(args.out) / "config.json"
    config = TrainConfig()
    if args.recipe is not None:
        config = read_recipe(args.recipe)
    elif args.resume and before.is_file():
        config = read_config(before)
    given = {name: getattr(args, name) for name in _OPTIONS if getattr(args, name) is not None}
    if args.size is not None:
        given["size_hw"] = args.size
    return config.updated(given | dict(args.set), source="options")


def _shown(metrics: Mapping[str, Any]) -> str:
    names = {"miou": "mIoU", "top1": "top-1"}
    shown = [f"{names[name]} {100 * metrics[name]:.2f} %" for name in _METRICS if metrics.get(name) is not None]
    return ", ".join(shown) or "nothing to evaluate on"


@contextmanager
def _progress(config: TrainConfig) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Show the log: a line for each evaluation, and how far the training is."""
    with show_progress("", "steps", config.steps) as shown:

        def show(record: Mapping[str, Any]) -> None:
            if "loss" in record:
                text = f"loss {record['loss']:.4f}, lr {record['lr']:.3g}, {record['images_per_s']:.1f} images/s"
                shown.update(record["step"], text=text)
            else:
                shown.note(f"step {record['step']}: {_shown(record)}")

        yield show
