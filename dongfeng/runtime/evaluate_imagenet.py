"""Measures the accuracy of a classifier on ImageNet's images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dongfeng.datasets.imagenet import class_names
from dongfeng.datasets.imagenet_folder import read_class_folders, read_list
from dongfeng.datasets.top_k import TopK
from dongfeng.errors import DongfengError
from dongfeng.runtime.image_run import ImageRun
from dongfeng.runtime.inputs import Failure, InputImage
from dongfeng.runtime.model_choice import ModelChoice
from dongfeng.runtime.results import Classification, Timing
from dongfeng.runtime.run_progress import RunProgress
from dongfeng.support.json_dataclass import as_json

if TYPE_CHECKING:
    from dongfeng.runtime.model import Model


@dataclass(frozen=True, kw_only=True)
class RankedImage:
    """An image and how well its true class was recognized.

    Attributes:
        input: The image.
        label: Index of its true class.
        place: Rank of the true class among all, 1 for the most probable.
        timing_ms: Time taken by each stage.
    """

    input: Path
    label: int
    place: int
    timing_ms: Timing

    def __str__(self) -> str:
        verdict = "first" if self.place == 1 else "among the first five" if self.place <= 5 else f"place {self.place}"
        return f"{self.input}: {verdict}"


@dataclass(frozen=True)
class Accuracy:
    """Fraction of the images whose true class is among the first.

    Attributes:
        metric: "top1" or "top5".
        value_fraction: The fraction, 0..1.
        published_fraction: The fraction that the model's authors published; None where they did not.
    """

    metric: str
    value_fraction: float
    published_fraction: float | None


@dataclass(frozen=True, kw_only=True)
class ImagenetEvaluation:
    """The result of a run over ImageNet.

    Attributes:
        model: The model, as it was given.
        weights: Its weights, as they were given.
        images: Number of images.
        images_evaluated: Number of images that were evaluated.
        rows: Top-1 and top-5 accuracy; empty where no image could be evaluated.
        files: The images that were evaluated.
        failures: The images that gave no result, and why.
        interrupted: Whether the caller ended the run early.
    """

    model: str
    weights: str | None
    images: int
    images_evaluated: int
    rows: tuple[Accuracy, ...]
    files: tuple[RankedImage, ...]
    failures: tuple[Failure, ...]
    interrupted: bool

    def to_json(self) -> dict[str, object]:
        """Return the JSON that `dongfeng evaluate --json` prints."""
        found: dict[str, object] = as_json(self)
        del found["failures"], found["interrupted"]
        return found | {"errors": [failure.reason for failure in self.failures]}


def evaluate_imagenet(
    choice: ModelChoice, folder: Path, labels: Path | None, progress: RunProgress[RankedImage | Failure]
) -> ImagenetEvaluation:
    """Classify ImageNet's images, and compare with their classes; for arguments and errors see `dongfeng.evaluate`."""
    info = choice.zoo_info
    if info is not None and info.task != "classification":
        raise choice.wrong_task(info.task, _RankingRun.otherwise)
    classes = read_class_folders(folder) if labels is None else read_list(folder, labels)
    run = _RankingRun(choice, classes)
    run.run([InputImage(path, path.relative_to(folder)) for path in classes], progress)
    rows = []
    for name, hits in (("top1", run.metric.top1), ("top5", run.metric.top5)) if run.rows else ():
        published = None if info is None else info.result(name, dataset="imagenet", split="val")
        rows.append(Accuracy(name, hits / run.metric.images, None if published is None else published.value))
    return ImagenetEvaluation(
        model=choice.name,
        weights=choice.weights,
        images=len(classes),
        images_evaluated=len(run.rows),
        rows=tuple(rows),
        files=tuple(run.rows),
        failures=tuple(run.failures),
        interrupted=run.interrupted,
    )


class _RankingRun(ImageRun[InputImage, Classification, RankedImage]):
    """Counts how often the true class of an image comes first, and among the first five."""

    name = task = "classification"
    otherwise = "df-cityscapes"

    def __init__(self, choice: ModelChoice, labels: Mapping[Path, int]) -> None:
        super().__init__(choice)
        self.metric = TopK()
        self._labels = labels

    def check(self, model: Model) -> None:
        if len(model.class_names) != len(class_names()):
            raise DongfengError(
                f"{self.choice.name} has {len(model.class_names)} classes; expected ImageNet's {len(class_names())}"
            )

    def row(self, image: InputImage, result: Classification) -> RankedImage:
        label = self._labels[image.path]
        place = self.metric.add(result.logits, label)
        return RankedImage(input=image.path, label=label, place=place, timing_ms=result.timing)
