"""`dongfeng segment`: street scenes into classes."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from dongfeng.cli.arguments import Commands, add_command
from dongfeng.cli.inference import Row, add_arguments, over_images, report
from dongfeng.cli.inputs import Image, find_images, output_names

if TYPE_CHECKING:
    from dongfeng.runtime.results import Segmentation

EPILOG = """\
INPUT is an image, a folder (searched with all folders below it) or a pattern in quotes. Each image gives one PNG
below DIR, at the image's own size and in the same place as below its folder; existing outputs are overwritten.

examples:
  dongfeng segment photo.jpg -o out
  dongfeng segment --model df1seg --kind color --size 512x1024 frames/ -o out
  dongfeng segment --weights pl1a_new.bin 'drive/**/*.jpg' -o out --json
"""


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    parser = add_command(commands, "segment", "tell road, cars, people and 16 more classes apart in images", EPILOG)
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder of the outputs")
    parser.add_argument(
        "--kind",
        choices=("overlay", "color", "labels", "label_ids"),
        default="overlay",
        help="classes in colour over the image (default) or alone, as train ids 0..18, or as Cityscapes label ids",
    )
    add_arguments(parser, model="pl1a_seg")
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    folder = Path(args.output)
    images, problems = find_images(args.inputs, outside=folder)
    names = output_names(images, ".png")
    outputs = {image: folder / name for image, name in zip(images, names, strict=True)}
    _refuse_overwriting(images, outputs.values())
    folder.mkdir(parents=True, exist_ok=True)

    def save(image: Image, result: Segmentation) -> tuple[Row, str]:
        output = outputs[image]
        output.parent.mkdir(parents=True, exist_ok=True)
        result.save(output, kind=args.kind)
        height, width = result.labels.shape
        return {"output": str(output), "height": height, "width": width}, f"{image.path} -> {output}"

    rows = over_images(args, "segmentation", images, problems, save)
    return report(args, rows, problems)


def _refuse_overwriting(images: Iterable[Image], outputs: Iterable[Path]) -> None:
    inputs = {image.path.resolve() for image in images}
    for output in outputs:
        if output.resolve() in inputs:
            raise FileExistsError(f"{output}: this output would overwrite an input; choose another folder for -o")
