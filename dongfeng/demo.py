"""The demo: street scenes are drawn, segmented with the weights of the package, and judged by their exact labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING

from dongfeng.datasets.cityscapes import to_label_ids
from dongfeng.datasets.cityscapes_metrics import CityscapesMetrics, average
from dongfeng.runtime.images.contact_sheet import Judged, contact_sheet
from dongfeng.runtime.load import load
from dongfeng.runtime.results import encode
from dongfeng.support.files import replacing
from dongfeng.training.synthetic import VALIDATION_SEED

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from dongfeng.runtime.model import Model

MODEL = "toytown_seg"
HELD_OUT_SEED = VALIDATION_SEED  # which training refuses to learn from
SHEET_ROWS = 5
_FIRST_INDEX = 1000  # training validates itself on those before
_CALIBRATION_SEED, _CALIBRATION_SCENES = 0, 10  # as training takes them, so that nothing held out is given away


@dataclass(frozen=True)
class Demo:
    """What came out.

    Attributes:
        scenes: How many were judged.
        iou: IoU of each class over all scenes, 0..1; NaN where the class is in none and was never said to be.
        pixel_accuracy: Share of all pixels that are right, 0..1.
        latency_ms: Median time of an image, resizing, network and labels.
        images_per_s: One after the other, drawing and writing left out.
        backend: What ran the network.
        precision: In which precision.
        contact_sheet: The picture of the first scenes.
    """

    scenes: int
    iou: Mapping[str, float]
    pixel_accuracy: float
    latency_ms: float
    images_per_s: float
    backend: str
    precision: str
    contact_sheet: Path

    @property
    def miou(self) -> float:
        """Mean of the classes' IoU."""
        return average(self.iou.values())


@dataclass
class _Tally:
    """What is known after some scenes."""

    metrics: CityscapesMetrics = field(default_factory=CityscapesMetrics)
    latencies_ms: list[float] = field(default_factory=list)
    shown: list[Judged] = field(default_factory=list)

    def add(self, judged: Judged) -> None:
        self.metrics.add(to_label_ids(judged.result.labels), to_label_ids(judged.truth))
        self.latencies_ms.append(judged.result.timing.total)
        if len(self.shown) < SHEET_ROWS:
            self.shown.append(judged)

    def pixel_accuracy(self) -> float:
        """Of the pixels that belong to a class; the first label id is that of those that do not."""
        counted = self.metrics.confusion_pixels[1:]
        return float(counted[:, 1:].trace() / max(counted.sum(), 1))


def run_demo(  # noqa: PLR0913 - how many scenes, which, and how the model is run
    folder: Path,
    *,
    count: int,
    seed: int = HELD_OUT_SEED,
    backend: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> Demo:
    """Draw scenes, segment and judge them; needs no network and no download.

    Args:
        folder: Gets contact_sheet.png, and of each scene scenes/NNNN.png and overlays/NNNN.png.
        count: Number of scenes.
        seed: Which scenes; training learns from all but those of `HELD_OUT_SEED`.
        backend: As for `dongfeng.load`.
        precision: As for `dongfeng.load`; int8 is calibrated with scenes of a seed that training uses.
        threads: As for `dongfeng.load`.

    Raises:
        BackendUnavailable: the backend and precision cannot run together here.
        WeightsUnavailable: the installation is damaged.
        OSError: a file cannot be written.
    """
    from dongfeng.datasets.toytown import draw_scene

    learned = range(_CALIBRATION_SCENES if precision == "int8" else 0)
    calibration = [draw_scene(_CALIBRATION_SEED, index).image_bgr for index in learned] or None
    with load(MODEL, backend=backend, precision=precision, threads=threads, calibration=calibration) as model:
        tally = _judge(model, folder, count, seed)
    iou = tally.metrics.scores().iou
    demo = Demo(
        scenes=count,
        iou=iou,
        pixel_accuracy=tally.pixel_accuracy(),
        latency_ms=median(tally.latencies_ms),
        images_per_s=1e3 / fmean(tally.latencies_ms),
        backend=model.backend,
        precision=model.precision,
        contact_sheet=folder / "contact_sheet.png",
    )
    unseen = " it has never seen" if seed == HELD_OUT_SEED else ""
    title = f"{MODEL}: {100 * demo.miou:.1f} % mIoU on {count} drawn scenes{unseen}"
    subtitle = f"{demo.latency_ms:.1f} ms per image on {demo.backend}, {demo.precision}; IoU of each class below"
    _write_png(demo.contact_sheet, contact_sheet(tally.shown, iou, title=title, subtitle=subtitle))
    return demo


def _judge(model: Model, folder: Path, count: int, seed: int) -> _Tally:
    from dongfeng.datasets.toytown import draw_scene

    tally = _Tally()
    for kind in ("scenes", "overlays"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        scene = draw_scene(seed, _FIRST_INDEX + index, model.size_hw)
        if index == 0:
            model(scene.image_bgr)  # the first run of a network is slower than all others
        result = model(scene.image_bgr)
        tally.add(Judged(result, scene.labels))
        _write_png(folder / f"scenes/{index:04}.png", scene.image_bgr)
        _write_png(folder / f"overlays/{index:04}.png", result.picture_bgr("overlay"))
    return tally


def _write_png(path: Path, picture_bgr: npt.NDArray[np.uint8]) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(encode(picture_bgr, path))
