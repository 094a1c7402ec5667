"""Labels a whole Cityscapes split, for the test server, and scores the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dongfeng.datasets import cityscapes
from dongfeng.datasets.cityscapes_folder import Frame, Truth, find_frames, find_truth
from dongfeng.datasets.cityscapes_metrics import CityscapesMetrics
from dongfeng.datasets.cityscapes_outputs import KINDS, LABEL_IDS, Kind, Outputs
from dongfeng.datasets.label_png import read_instance_png, read_label_png
from dongfeng.errors import DongfengError, ImageError
from dongfeng.runtime.cityscapes_scores import AVERAGE, ScoreRow, score_rows
from dongfeng.runtime.image_run import ImageRun
from dongfeng.runtime.inputs import Failure, Shard, of_shard
from dongfeng.runtime.model_choice import ModelChoice
from dongfeng.runtime.results import Segmentation
from dongfeng.runtime.run_progress import RunProgress
from dongfeng.support.json_dataclass import as_json
from dongfeng.support.json_layout import json_text

if TYPE_CHECKING:
    from dongfeng.runtime.model import Model


@dataclass(frozen=True, kw_only=True)
class CityscapesRequest:
    """The arguments of `dongfeng.evaluate` for Cityscapes."""

    choice: ModelChoice
    root: Path
    out: Path
    split: str
    kinds: tuple[Kind, ...]
    score: bool
    resume: bool
    shard: Shard | None

    def outputs(self) -> Outputs:
        """Return where the outputs of each image are."""
        wanted = {*(self.kinds or [LABEL_IDS]), *([LABEL_IDS] if self.score else [])}
        unknown = wanted - {*KINDS}
        if unknown:
            raise DongfengError(f'kind is "{min(unknown)}"; expected one of {", ".join(KINDS)}')
        return Outputs(self.out, self.split, tuple(kind for kind in KINDS if kind in wanted))


@dataclass(frozen=True, kw_only=True)
class LabelledFrame:
    """An image whose labels are written.

    Attributes:
        input: The image.
        outputs: Its files, one of each kind.
        resumed: Whether an earlier run had written them.
    """

    input: Path
    outputs: tuple[Path, ...]
    resumed: bool

    def __str__(self) -> str:
        return f"{self.input} -> {', '.join(map(str, self.outputs))}{' (already there)' if self.resumed else ''}"


@dataclass(frozen=True, kw_only=True)
class CityscapesEvaluation:
    """The result of a run over Cityscapes.

    Attributes:
        request: The arguments.
        images: Number of images.
        images_evaluated: Number of images that were compared with the ground truth.
        rows: The scores; empty where there are none.
        files: The images whose labels are written.
        failures: The images that could not be labelled or scored, and why.
        interrupted: Whether the caller ended the run early; there are no scores then.
    """

    request: CityscapesRequest
    images: int
    images_evaluated: int
    rows: tuple[ScoreRow, ...]
    files: tuple[LabelledFrame, ...]
    failures: tuple[Failure, ...]
    interrupted: bool

    @property
    def miou(self) -> float | None:
        """Mean of the classes' IoU, 0..1; None where there are no scores."""
        return next((row.iou_fraction for row in self.rows if (row.group, row.name) == ("class", AVERAGE)), None)

    def scores_json(self) -> dict[str, object]:
        """Return the scores as plain JSON."""
        choice, shard = self.request.choice, self.request.shard
        found: dict[str, object] = {"model": choice.name, "weights": choice.weights, **choice.execution()}
        found["split"] = self.request.split
        if self.rows:
            found["shard"] = None if shard is None else "{}/{}".format(*shard)
            found |= {"images": self.images, "images_evaluated": self.images_evaluated, "miou": self.miou}
        return found | {"rows": as_json(self.rows)}

    def to_json(self) -> dict[str, object]:
        """Return the JSON that `df-cityscapes --json` prints."""
        return self.scores_json() | {"files": as_json(self.files), "errors": [one.reason for one in self.failures]}


def evaluate_cityscapes(
    request: CityscapesRequest, progress: RunProgress[LabelledFrame | Failure]
) -> CityscapesEvaluation:
    """Label all images of a split, and score the labels; for arguments and errors see `dongfeng.evaluate`."""
    everything = find_frames(request.root, request.split)
    frames = of_shard(everything, request.shard)
    truth = find_truth(request.root, request.split, frames) if request.score else None
    run = _LabellingRun(request, everything, frames, truth)
    run.run(frames, progress, run.done() if request.resume else {})
    rows = () if run.interrupted else run.scores()
    found = CityscapesEvaluation(
        request=request,
        images=len(frames),
        images_evaluated=run.metrics.images,
        rows=rows,
        files=tuple(run.rows),
        failures=tuple(run.failures),
        interrupted=run.interrupted,
    )
    if rows:
        name = "results{}.json".format("-{}-of-{}".format(*request.shard) if request.shard else "")
        confusion = {"confusion_pixels": run.metrics.confusion_pixels.tolist()}
        run.outputs.write_json(name, json_text(found.scores_json() | confusion) + "\n")
    return found


class _LabellingRun(ImageRun[Frame, Segmentation, LabelledFrame]):
    """Write the labels of each image, and compares the file with the ground truth.

    Attributes:
        metrics: The scores so far.
        outputs: Where the labels are.
    """

    name = "cityscapes"
    task = "segmentation"
    otherwise = "dongfeng evaluate"

    def __init__(
        self, request: CityscapesRequest, everything: Sequence[Frame], frames: Sequence[Frame], truth: Truth | None
    ) -> None:
        super().__init__(request.choice)
        self.metrics, self.outputs = CityscapesMetrics(), request.outputs()
        self._request, self._everything, self._frames, self._truth = request, everything, frames, truth
        self._settings = request.choice.settings()

    def done(self) -> dict[Frame, LabelledFrame]:
        """Return the rows of images whose outputs an earlier run has left, whole."""
        return {frame: self._row(frame, resumed=True) for frame in self.outputs.done(self._frames, self._settings)}

    def check(self, model: Model) -> None:
        if model.classes != "cityscapes":
            raise DongfengError(f"{self.choice.name} has {len(model.class_names)} classes; expected Cityscapes' 19")

    def begin(self) -> None:
        # Not before the model is loaded: a mistake in its name must not cost the files of another.
        self.outputs.begin(self._everything, self._settings, resume=self._request.resume)
        self.outputs.remove_leftovers(self._frames)

    def row(self, image: Frame, result: Segmentation) -> LabelledFrame:
        for kind in self.outputs.kinds:
            result.save(self.outputs.path(image, kind), kind=kind)
        return self._row(image, resumed=False)

    def finish(self, image: Frame) -> None:
        """Compare the file, which is what the test server gets, with the ground truth."""
        if self._truth is None:
            return
        path, instances = self._truth.label_ids(image), self._truth.instance_ids(image)
        try:
            prediction = read_label_png(self.outputs.path(image, LABEL_IDS))
            labels = read_label_png(path)
            truth_instances = None if instances is None else read_instance_png(instances)
        except ImageError as error:
            self.failures.append(Failure(str(image.path), str(error)))
            return
        try:
            self.metrics.add(prediction, labels, truth_instances)
        except ImageError as error:
            self.failures.append(Failure(str(image.path), f"{path}: {error}"))

    def scores(self) -> tuple[ScoreRow, ...]:
        """Return the scores of all images that were compared; note a failure where the ground truth holds no class."""
        if not self.metrics.images:
            return ()
        split = self._request.split
        if not self.metrics.confusion_pixels[cityscapes.LABEL_IDS].any():
            truth = f"gtFine/{split}"
            advice = f"evaluate val, or send {self._request.out / LABEL_IDS / split} to the test server"
            self.failures.append(
                Failure(truth, f"{truth}: labels no pixel of the 19 classes, as is so for test; {advice}")
            )
            return ()
        return score_rows(self.metrics.scores(), self.choice.zoo_info, split)

    def _row(self, frame: Frame, *, resumed: bool) -> LabelledFrame:
        outputs = tuple(self.outputs.path(frame, kind) for kind in self.outputs.kinds)
        return LabelledFrame(input=frame.path, outputs=outputs, resumed=resumed)
