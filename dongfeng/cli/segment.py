"""`dongfeng segment`: street scenes into classes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dongfeng.cli.arguments import Commands, add_command, add_shard, positive
from dongfeng.cli.inference import Shown, add_arguments, over_images, report
from dongfeng.runtime.batch_video import refuse_video, segment_video
from dongfeng.runtime.inputs import Image, find_images, find_video, output_names
from dongfeng.runtime.run_settings import run_settings
from dongfeng.support.files import remove_leftovers

if TYPE_CHECKING:
    from dongfeng.runtime.results import Segmentation

EPILOG = """\
INPUT is an image, a folder (searched with all folders below it) or a pattern in quotes. Each image gives one PNG
below DIR, at the image's own size and in the same place as below its folder; existing outputs are overwritten, or,
with --resume, kept where they are whole and made by the same model in the same way.

INPUT may be one video instead, or the number of a camera; -o is then a video as well, or a folder for its frames.
Ctrl-C ends it with a whole video of what was done so far.

examples:
  dongfeng segment photo.jpg -o out
  dongfeng segment --model df1seg --kind color --size 512x1024 frames/ -o out
  dongfeng segment --weights pl1a_new.bin 'drive/**/*.jpg' -o out --json
  dongfeng segment --model df1seg --precision int8 --calibration street drive/ -o out --shard 1/4 --resume
  dongfeng segment drive.mp4 -o labelled.mp4 --every 3
  dongfeng segment 0 -o camera.mkv
"""


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    parser = add_command(commands, "segment", "tell road, cars, people and 16 more classes apart in images", EPILOG)
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="folder of the outputs, or a video file")
    parser.add_argument(
        "--kind",
        choices=("overlay", "color", "labels", "label_ids"),
        default="overlay",
        help="classes in colour over the image (default) or alone, as train ids 0..18, or as Cityscapes label ids",
    )
    parser.add_argument("--resume", action="store_true", help="skip images whose outputs are there, whole")
    add_shard(parser)
    parser.add_argument("--every", type=positive, metavar="N", help="only every N-th frame of a video")
    add_arguments(parser, model="pl1a_seg", inputs="an image, a folder, a pattern, or a video or camera number")
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    video = find_video(args.inputs)
    if video is not None:
        return segment_video(args, video)
    refuse_video(args)
    folder = Path(args.output)
    images, problems = find_images(args.inputs, outside=folder)
    images = [image for image in images if not _is_earlier_output(image, args.inputs, folder)]
    names = output_names(images, ".png")
    outputs = {image: folder / name for image, name in zip(images, names, strict=True)}
    _refuse_overwriting(images, outputs.values())
    part, parts = args.shard or (1, 1)
    images = images[part - 1 :: parts]
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(outputs[image] for image in images)
    return report(args, _segment(args, {image: outputs[image] for image in images}, problems), problems)


def _segment(args: argparse.Namespace, outputs: Mapping[Image, Path], problems: list[str]) -> list[dict[str, object]]:
    from dongfeng.datasets.label_png import png_form
    from dongfeng.runtime.images.marked_png import is_whole_with_mark, write_marked_png

    mark = json.dumps({**run_settings(args), "kind": args.kind})

    def shown(image: Image, size_hw: tuple[int, ...], *, resumed: bool) -> Shown:
        output = outputs[image]
        row = {"output": str(output), "height": size_hw[0], "width": size_hw[1], "resumed": resumed}
        return row, f"{image.path} -> {output}{' (already there)' if resumed else ''}"

    def save(image: Image, result: Segmentation) -> Shown:
        write_marked_png(outputs[image], result.picture_bgr(args.kind), mark)
        return shown(image, result.labels.shape, resumed=False)

    done: dict[Image, Shown] = {}
    for image, output in outputs.items() if args.resume else ():
        form = png_form(output)
        if form is not None and is_whole_with_mark(output, mark):
            row, line = shown(image, form.size_hw, resumed=True)
            done[image] = {**row, "timing_ms": None}, line
    return over_images(args, "segmentation", list(outputs), problems, save, done)


def _is_earlier_output(image: Image, inputs: Iterable[str], folder: Path) -> bool:
    """Whether an image that was found in the folder of the outputs is one of them."""
    from dongfeng.runtime.images.marked_png import mark_of

    is_inside = image.path.resolve().is_relative_to(folder.resolve()) and str(image.path) not in inputs
    return is_inside and mark_of(image.path) is not None


def _refuse_overwriting(images: Iterable[Image], outputs: Iterable[Path]) -> None:
    inputs = {image.path.resolve() for image in images}
    for output in outputs:
        if output.resolve() in inputs:
            raise FileExistsError(f"{output}: this output would overwrite an input; choose another folder for -o")
