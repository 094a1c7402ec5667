"""`dongfeng evaluate`: a classifier on ImageNet's validation images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dongfeng.cli.arguments import Commands, add_command, add_execution, add_json, add_size, add_weights
from dongfeng.cli.inference import Row, over_images
from dongfeng.cli.output import complain, note, print_json, print_table
from dongfeng.errors import DongfengError, UnknownModel
from dongfeng.runtime.inputs import Image

CLASSES = 1000
_VALUES = ("value_fraction", "published_fraction")

if TYPE_CHECKING:
    from dongfeng.datasets.top_k import TopK
    from dongfeng.runtime.results import Classification
    from dongfeng.zoo.models import ModelInfo

EPILOG = """\
IMAGENET_VAL holds a folder per class, named after its WordNet id (n01440764/*.JPEG), or, with --labels, the images
that a list names: one "NAME INDEX" a line, 0 to 999, as Caffe's val.txt. Cityscapes is evaluated by df-cityscapes.

examples:
  dongfeng evaluate --model df1 imagenet/val
  dongfeng evaluate --model df2a --labels val.txt ILSVRC2012_img_val --json
"""


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    parser = add_command(commands, "evaluate", "measure the accuracy of a classifier on ImageNet's images", EPILOG)
    parser.add_argument("folder", metavar="IMAGENET_VAL", help="folder of the images")
    parser.add_argument("--labels", metavar="FILE", help='list of images and classes, "NAME INDEX" a line')
    parser.add_argument("--model", default="df1", metavar="M", help="zoo name or model file (default: df1)")
    add_weights(parser)
    add_size(parser)
    add_execution(parser)
    add_json(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.datasets.imagenet_folder import read_class_folders, read_list
    from dongfeng.datasets.top_k import TopK

    info = _zoo_info(args.model)
    if info is not None and info.task != "classification":
        raise DongfengError(f"{args.model} is a model for {info.task}; use: df-cityscapes --model {args.model}")
    folder = Path(args.folder)
    labels = read_class_folders(folder) if args.labels is None else read_list(folder, Path(args.labels))
    metric, problems = TopK(), list[str]()

    def judge(image: Image, result: Classification) -> tuple[Row, str]:
        if len(result.logits) != CLASSES:
            raise DongfengError(f"{args.model} has {len(result.logits)} classes; expected ImageNet's {CLASSES}")
        place = metric.add(result.logits, labels[image.path])
        return {"label": labels[image.path], "place": place}, f"{image.path}: {_verdict(place)}"

    images = [Image(path, path.relative_to(folder)) for path in labels]
    files = over_images(args, "classification", images, problems, judge)
    rows = _rows(info, metric)
    if args.json:
        what = {"model": args.model, "weights": args.weights, "images": len(images), "images_evaluated": metric.images}
        print_json(what | {"rows": rows, "files": files, "errors": problems})
    elif rows:
        shown = [(row["metric"], *(_percent(row[key]) for key in _VALUES)) for row in rows]
        print_table(("metric", "%", "published %"), shown)
    for problem in problems:
        complain(problem)
    note(f"{metric.images} evaluated, {len(problems)} failed")
    return 1 if problems else 0


def _verdict(place: int) -> str:
    return "first" if place == 1 else "among the first five" if place <= 5 else f"place {place}"


def _zoo_info(model: str) -> ModelInfo | None:
    from dongfeng.zoo.models import model_info

    try:
        return model_info(model)
    except UnknownModel:
        return None


def _rows(info: ModelInfo | None, metric: TopK) -> list[dict[str, Any]]:
    if not metric.images:
        return []
    rows = []
    for name, hits in (("top1", metric.top1), ("top5", metric.top5)):
        published = None if info is None else info.result(name, dataset="imagenet", split="val")
        values = hits / metric.images, None if published is None else published.value
        rows.append({"metric": name} | dict(zip(_VALUES, values, strict=True)))
    return rows


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction
