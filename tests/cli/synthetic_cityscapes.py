"""A small synthetic Cityscapes: images, labels and instances in the official layout."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from dongfeng.datasets.cityscapes import LABEL_IDS

CITIES = ("frankfurt", "lindau", "munster")


def draw(root: Path, count: int, size_hw: tuple[int, int] = (64, 128), split: str = "val") -> list[str]:
    """Draw `count` frames; their names, such as "frankfurt_000000_000019", in the order of city and name."""
    rng = np.random.default_rng(count)
    names = []
    for index in range(count):
        city = CITIES[index % len(CITIES)]
        names.append(f"{city}_{index:06d}_000019")
        labels = np.kron(rng.choice([*LABEL_IDS, 0, 3, 29], (4, 8)), np.ones((16, 16)))
        labels = cv2.resize(labels, size_hw[::-1], interpolation=cv2.INTER_NEAREST).astype(np.uint16)
        instances = np.where(labels >= 24, 1000 * labels + index % 3, labels).astype(np.uint16)
        image = rng.integers(0, 256, (*size_hw, 3), np.uint8)
        write(root / f"leftImg8bit/{split}/{city}/{names[-1]}_leftImg8bit.png", image)
        write(root / f"gtFine/{split}/{city}/{names[-1]}_gtFine_labelIds.png", labels.astype(np.uint8))
        write(root / f"gtFine/{split}/{city}/{names[-1]}_gtFine_instanceIds.png", instances)
    return sorted(names)


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones as well, by its path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
