"""Measures a model on the data set it was trained for: `dongfeng.evaluate`."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from dongfeng.datasets.cityscapes_outputs import Kind
from dongfeng.errors import DongfengError
from dongfeng.runtime.evaluate_cityscapes import (
    CityscapesEvaluation,
    CityscapesRequest,
    LabelledFrame,
    evaluate_cityscapes,
)
from dongfeng.runtime.evaluate_imagenet import ImagenetEvaluation, RankedImage, evaluate_imagenet
from dongfeng.runtime.inputs import Failure
from dongfeng.runtime.model_choice import ModelChoice
from dongfeng.runtime.run_progress import RunProgress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Unpack

    from dongfeng.runtime.load import LoadOptions

Step = LabelledFrame | RankedImage | Failure


@overload
def evaluate(
    model: str | PathLike[str],
    root: str | PathLike[str],
    *,
    dataset: Literal["imagenet"] = "imagenet",
    labels: str | PathLike[str] | None = None,
    progress: RunProgress[Step] | None = None,
    **options: Unpack[LoadOptions],
) -> ImagenetEvaluation: ...


@overload
def evaluate(
    model: str | PathLike[str],
    root: str | PathLike[str],
    *,
    dataset: Literal["cityscapes"],
    out: str | PathLike[str],
    split: str = "val",
    kinds: Sequence[Kind] = ("label_ids",),
    score: bool = True,
    resume: bool = False,
    shard: tuple[int, int] | None = None,
    progress: RunProgress[Step] | None = None,
    **options: Unpack[LoadOptions],
) -> CityscapesEvaluation: ...


def evaluate(  # noqa: PLR0913 - one keyword for each option of the commands
    model: str | PathLike[str],
    root: str | PathLike[str],
    *,
    dataset: Literal["imagenet", "cityscapes"] = "imagenet",
    labels: str | PathLike[str] | None = None,
    out: str | PathLike[str] | None = None,
    split: str = "val",
    kinds: Sequence[Kind] = ("label_ids",),
    score: bool = True,
    resume: bool = False,
    shard: tuple[int, int] | None = None,
    progress: RunProgress[Step] | None = None,
    **options: Unpack[LoadOptions],
) -> ImagenetEvaluation | CityscapesEvaluation:
    """Measure a model on the validation images of its data set, and set the scores beside the published ones.

    An image that cannot be read stops no other. It is what `dongfeng evaluate` and `df-cityscapes` do.

    Args:
        model: Zoo name or model file.
        root: Folder of ImageNet's images (a folder per class, or with `labels` one for all), or the folder that holds
            Cityscapes' `leftImg8bit` and `gtFine`.
        dataset: "imagenet" for a classifier, "cityscapes" for a segmentation.
        labels: For ImageNet, a list of images and classes, "NAME INDEX" a line.
        out: For Cityscapes, the folder where the labels and `results.json` are written.
        split: For Cityscapes, "train", "val" or "test".
        kinds: For Cityscapes, what is written of each image: "label_ids", "color", "overlay".
        score: For Cityscapes, whether to compare the labels with the ground truth, which test has none of.
        resume: For Cityscapes, skip images whose outputs are there, whole.
        shard: For Cityscapes, part and number of parts: only every N-th image, from the I-th on, counted from 1.
        progress: Follows the run, and may end it early.
        options: How the model is loaded; see `dongfeng.load`. Calibration images are files, folders or patterns.

    Returns:
        The scores, 0..1, what was evaluated, and what failed.

    Raises:
        DongfengError: a folder is not as it should be, the model cannot be loaded or is for another data set, or the
            files in `out` are another model's.
        OSError: an output cannot be written.

    Example:
        >>> evaluate("df1seg", "cityscapes", dataset="cityscapes", out="out").miou  # doctest: +SKIP
        0.741
    """
    choice, progress = ModelChoice(model, options), progress or RunProgress[Step]()
    if dataset == "imagenet":
        return evaluate_imagenet(choice, Path(root), None if labels is None else Path(labels), progress)
    if dataset != "cityscapes":
        raise DongfengError(f'dataset is "{dataset}"; expected "imagenet" or "cityscapes"')
    if out is None:
        raise DongfengError("out: Cityscapes is evaluated from label files; give the folder for them")
    root, out = Path(root), Path(out)
    request = CityscapesRequest(
        choice=choice, root=root, out=out, split=split, kinds=tuple(kinds), score=score, resume=resume, shard=shard
    )
    return evaluate_cityscapes(request, progress)
