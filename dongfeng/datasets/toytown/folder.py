"""`write_cityscapes_folder`: scenes in the folder layout of Cityscapes."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dongfeng.datasets.cityscapes import CLASSES, LABEL_IDS, to_label_ids
from dongfeng.datasets.cityscapes_folder import IMAGES, LABELS
from dongfeng.datasets.toytown.scene import Scene, Toytown
from dongfeng.errors import DongfengError

CITY = "toytown"
_FIRST_COUNTED = CLASSES.index("person")  # Cityscapes counts objects of this class and of those after it


def write_cityscapes_folder(
    root: Path,
    split: str,
    count: int,
    size_hw: tuple[int, int] = (256, 512),
    seed: int = 0,
    *,
    written: Callable[[str], None] | None = None,
) -> list[Path]:
    """Draw scenes into `root/leftImg8bit/SPLIT/toytown` and `root/gtFine/SPLIT/toytown`.

    Both folders appear when everything in them is written, or not at all; a killed process leaves a folder
    `root/.toytown-...` that may be deleted.

    Args:
        root: Folder of the data set, made where it is missing; other splits and cities in it stay as they are.
        split: Name of the split, such as "val".
        count: Number of scenes.
        size_hw: Height and width of each in pixels.
        seed: Seed of the series.
        written: Called with the name of each scene when it is drawn.

    Returns:
        The images, in order.

    Raises:
        DongfengError: count, size, seed or split is wrong, or the split has a city "toytown" already.
        OSError: a folder cannot be written.
    """
    scenes = Toytown(count, size_hw, seed)
    if count < 1:
        raise DongfengError(f"toytown: count {count}; expected 1 or more")
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", split) is None:
        raise DongfengError(f"toytown: split {split!r}; expected the name of a folder, such as val")
    images, labels = (root / folder / split / CITY for folder in (IMAGES, LABELS))
    if images.exists():
        raise DongfengError(f"{images}: is there already; delete it, or choose another folder or split")
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{CITY}-", dir=root) as name:
        drafts = [Path(name) / folder for folder in (IMAGES, LABELS)]
        for draft in drafts:
            draft.mkdir()
        for index, scene in enumerate(scenes):
            stem = f"{CITY}_{index:06d}_000000"
            _write(scene, stem, *drafts)
            if written is not None:
                written(stem)
        if labels.exists():  # images come last: a run was killed just before
            shutil.rmtree(labels)
        for draft, folder in ((drafts[1], labels), (drafts[0], images)):
            folder.parent.mkdir(parents=True, exist_ok=True)
            draft.rename(folder)
    return [images / f"{CITY}_{index:06d}_000000_{IMAGES}.png" for index in range(count)]


def instance_ids(scene: Scene) -> npt.NDArray[np.uint16]:
    """Return (H, W) uint16 ids as Cityscapes numbers objects: 1000 x label id + number; elsewhere the label id."""
    label_ids = to_label_ids(scene.labels).astype(np.uint16)
    counted = (scene.labels >= _FIRST_COUNTED) & (scene.labels < len(LABEL_IDS))
    return np.where(counted, label_ids * np.uint16(1000) + scene.instances, label_ids).astype(np.uint16)


def _write(scene: Scene, stem: str, images: Path, labels: Path) -> None:
    _write_png(images / f"{stem}_{IMAGES}.png", scene.image_bgr)
    _write_png(labels / f"{stem}_{LABELS}_labelIds.png", to_label_ids(scene.labels))
    _write_png(labels / f"{stem}_{LABELS}_instanceIds.png", instance_ids(scene))


def _write_png(path: Path, image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> None:
    import cv2

    _, data = cv2.imencode(".png", image)
    path.write_bytes(data.tobytes())
