"""Segments and classifies image files."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from dongfeng.datasets.label_png import png_form
from dongfeng.runtime.batch_results import BatchResult, ClassifiedImage, ProbableClass, SegmentedImage
from dongfeng.runtime.image_run import ImageRun, Result, Row
from dongfeng.runtime.images.marked_png import is_whole_with_mark, mark_of, write_marked_png
from dongfeng.runtime.inputs import Failure, InputImage, Inputs, Shard, as_texts, find_images, of_shard, output_names
from dongfeng.runtime.model_choice import ModelChoice
from dongfeng.runtime.results import Classification, Kind, Segmentation, Timing
from dongfeng.runtime.run_progress import RunProgress
from dongfeng.support.files import remove_leftovers


def segment_images(
    choice: ModelChoice,
    inputs: Inputs,
    out: Path,
    *,
    kind: Kind,
    resume: bool,
    shard: Shard | None,
    progress: RunProgress[SegmentedImage | Failure],
) -> BatchResult[SegmentedImage]:
    """Segment images into PNG files; for arguments and errors see `dongfeng.batch`."""
    found, failures = find_images(inputs, outside=out)
    given = frozenset(as_texts(inputs))
    everything = [image for image in found if not _is_earlier_output(image, given, out)]
    names = output_names(everything, ".png")
    outputs = {image: out / name for image, name in zip(everything, names, strict=True)}
    _refuse_overwriting(everything, outputs.values())
    images = of_shard(everything, shard)
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(outputs[image] for image in images)
    run = _SegmentRun(choice, outputs, kind)
    run.failures += failures
    run.run(images, progress, run.done(images) if resume else {})
    return _batch_result(run)


class _SegmentRun(ImageRun[InputImage, Segmentation, SegmentedImage]):
    """Write a marked PNG for each image."""

    name = task = "segmentation"
    otherwise = "dongfeng classify"

    def __init__(self, choice: ModelChoice, outputs: Mapping[InputImage, Path], kind: Kind) -> None:
        super().__init__(choice)
        self._outputs, self._kind = outputs, kind
        self._mark = json.dumps({**choice.settings(), "kind": kind})

    def row(self, image: InputImage, result: Segmentation) -> SegmentedImage:
        write_marked_png(self._outputs[image], result.picture_bgr(self._kind), self._mark)
        return self._row(image, result.size_hw, result.timing)

    def done(self, images: Iterable[InputImage]) -> dict[InputImage, SegmentedImage]:
        """Return the rows of images whose outputs are there, whole and of the same settings."""
        forms = {image: png_form(self._outputs[image]) for image in images}
        return {
            image: self._row(image, form.size_hw, None)
            for image, form in forms.items()
            if form is not None and is_whole_with_mark(self._outputs[image], self._mark)
        }

    def _row(self, image: InputImage, size_hw: tuple[int, int], timing: Timing | None) -> SegmentedImage:
        return SegmentedImage(
            input=image.path,
            output=self._outputs[image],
            height=size_hw[0],
            width=size_hw[1],
            resumed=timing is None,
            timing_ms=timing,
        )


def _is_earlier_output(image: InputImage, inputs: Collection[str], folder: Path) -> bool:
    """Tell whether an image that was found in the folder of the outputs is one of them."""
    is_inside = image.path.resolve().is_relative_to(folder.resolve()) and str(image.path) not in inputs
    return is_inside and mark_of(image.path) is not None


def _refuse_overwriting(images: Iterable[InputImage], outputs: Iterable[Path]) -> None:
    inputs = {image.path.resolve() for image in images}
    for output in outputs:
        if output.resolve() in inputs:
            raise FileExistsError(f"{output}: this output would overwrite an input; choose another folder for -o")


def classify_images(
    choice: ModelChoice, inputs: Inputs, top: int, progress: RunProgress[ClassifiedImage | Failure]
) -> BatchResult[ClassifiedImage]:
    """Classify images; for arguments and errors see `dongfeng.batch`."""
    images, failures = find_images(inputs)
    run = _ClassifyRun(choice, top)
    run.failures += failures
    run.run(images, progress)
    return _batch_result(run)


class _ClassifyRun(ImageRun[InputImage, Classification, ClassifiedImage]):
    """Takes the most probable classes of each image."""

    name = task = "classification"
    otherwise = "dongfeng segment"

    def __init__(self, choice: ModelChoice, top: int) -> None:
        super().__init__(choice)
        self._top = top

    def row(self, image: InputImage, result: Classification) -> ClassifiedImage:
        classes = tuple(ProbableClass(*found) for found in result.top(self._top))
        return ClassifiedImage(input=image.path, classes=classes, timing_ms=result.timing)


def _batch_result(run: ImageRun[InputImage, Result, Row]) -> BatchResult[Row]:
    return BatchResult(
        model=run.choice.name, rows=tuple(run.rows), failures=tuple(run.failures), interrupted=run.interrupted
    )
