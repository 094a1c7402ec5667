"""The demo: draws street scenes, segments them with the weights of the package, and judges the exact labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Final

from dongfeng.datasets.cityscapes import CLASSES
from dongfeng.datasets.confusion import Confusion, average
from dongfeng.datasets.synthetic import HELD_OUT_SEED
from dongfeng.runtime.images.contact_sheet import Judged, contact_sheet
from dongfeng.runtime.load import load
from dongfeng.runtime.results import encode
from dongfeng.support.files import write_whole
from dongfeng.support.json_dataclass import as_json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from dongfeng.runtime.model import Model
    from dongfeng.runtime.results import Segmentation

MODEL: Final = "toytown_seg"
SHEET_ROWS = 5
_FIRST_INDEX = 1000  # a training evaluates on the held-out scenes before
_CALIBRATION_SEED, _CALIBRATION_SCENES = 0, 10  # scenes that training may see, so that nothing held out is given away


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Quality and speed of the network on the scenes of a demo.

    Attributes:
        iou: IoU of each class over all scenes, 0..1; NaN where the class is in none and was predicted in none.
        pixel_accuracy: Share of all pixels whose label is right, 0..1.
        scenes: Number of scenes.
        latency_ms: Median time of an image: resizing, network and labels.
        images_per_s: Images one after the other, without drawing and writing.
        backend: Backend that ran the network.
        precision: Precision that it ran in.
        contact_sheet: Image of the first scenes and their labels.
    """

    iou: Mapping[str, float]
    pixel_accuracy: float
    scenes: int
    latency_ms: float
    images_per_s: float
    backend: str
    precision: str
    contact_sheet: Path

    @property
    def miou(self) -> float:
        """Mean of the classes' IoU."""
        return average(self.iou.values())

    @property
    def worst_class(self) -> str:
        """The class of the smallest IoU."""
        return min(self.iou, key=lambda name: math.inf if math.isnan(self.iou[name]) else self.iou[name])

    def to_json(self) -> dict[str, object]:
        """The values as JSON has them; null for the IoU of a class that is in no scene."""
        iou = {name: None if math.isnan(value) else value for name, value in self.iou.items()}
        return {"miou": self.miou, **as_json(self), "iou": iou}


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
        folder: Folder for contact_sheet.png, and for scenes/NNNN.png and overlays/NNNN.png of each scene.
        count: Number of scenes.
        seed: Seed of the scenes; training learns from all but those of `HELD_OUT_SEED`.
        backend: As for `dongfeng.load`.
        precision: As for `dongfeng.load`; int8 is calibrated with scenes of a seed that training uses.
        threads: As for `dongfeng.load`.

    Raises:
        BackendUnavailable: the backend and precision cannot run together here.
        WeightsUnavailable: the installation is damaged.
        OSError: a file cannot be written.
    """
    from dongfeng.datasets.toytown import draw_scene

    calibration = None
    if precision == "int8":
        calibration = [draw_scene(_CALIBRATION_SEED, index).image_bgr for index in range(_CALIBRATION_SCENES)]
    with load(MODEL, backend=backend, precision=precision, threads=threads, calibration=calibration) as model:
        confusion, latencies_ms, shown = Confusion(len(CLASSES)), list[float](), list[Judged]()
        for judged in _judged_scenes(model, folder, count, seed):
            confusion.add(judged.result.labels, judged.truth)
            latencies_ms.append(judged.result.timing.total)
            if len(shown) < SHEET_ROWS:
                shown.append(judged)
    demo = Demo(
        iou=dict(zip(CLASSES, confusion.iou(), strict=True)),
        pixel_accuracy=confusion.accuracy(),
        scenes=count,
        latency_ms=median(latencies_ms),
        images_per_s=1e3 / fmean(latencies_ms),
        backend=model.backend,
        precision=model.precision,
        contact_sheet=folder / "contact_sheet.png",
    )
    unseen = " it has never seen" if seed == HELD_OUT_SEED else ""
    title = f"{MODEL}: {100 * demo.miou:.1f} % mIoU on {count} synthetic scenes{unseen}"
    subtitle = f"{demo.latency_ms:.1f} ms per image on {demo.backend}, {demo.precision}; IoU of each class below"
    _write_png(demo.contact_sheet, contact_sheet(shown, demo.iou, title=title, subtitle=subtitle))
    return demo


def _judged_scenes(model: Model[Segmentation], folder: Path, count: int, seed: int) -> Iterator[Judged]:
    """Draw and segment the scenes, and write the images of each."""
    from dongfeng.datasets.toytown import draw_scene

    for name in ("scenes", "overlays"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        scene = draw_scene(seed, _FIRST_INDEX + index, model.size_hw)
        if index == 0:
            model(scene.image_bgr)  # the first run of a network is slower than all others
        result = model(scene.image_bgr)
        _write_png(folder / f"scenes/{index:04}.png", scene.image_bgr)
        _write_png(folder / f"overlays/{index:04}.png", result.picture_bgr("overlay"))
        yield Judged(result, scene.labels)


def _write_png(path: Path, picture_bgr: npt.NDArray[np.uint8]) -> None:
    write_whole(path, encode(picture_bgr, path))
