from __future__ import annotations

import numpy as np
import pytest

from dongfeng.datasets.cityscapes import CLASSES, PALETTE
from dongfeng.errors import ImageError
from dongfeng.runtime.images.contact_sheet import COLUMNS, Judged, contact_sheet
from dongfeng.runtime.results import Segmentation, Timing

HEIGHT, WIDTH = 60, 410  # wide enough for the words
IOU = {name: float("nan") if name == "train" else 0.5 for name in CLASSES}


def judged(seed: int = 0, size_hw: tuple[int, int] = (HEIGHT, WIDTH)) -> Judged:
    rng = np.random.default_rng(seed)
    labels, truth = rng.integers(0, 19, (2, *size_hw), np.uint8)
    truth[0] = 255
    image = rng.integers(0, 256, (*size_hw, 3), np.uint8)
    scores = np.zeros((19, 8, 16), np.float32)
    return Judged(Segmentation(labels, scores, Timing(0, 0, 0, 0), image, CLASSES, PALETTE), truth)


def positions(sheet: np.ndarray, tile: np.ndarray) -> list[tuple[int, int]]:
    """Where a tile is in the sheet, found by its first pixels and compared in whole."""
    height, width = tile.shape[:2]
    starts = np.argwhere((sheet == tile[0, 0]).all(2) & (np.roll(sheet, -1, 1) == tile[0, 1]).all(2))
    return [(y, x) for y, x in starts if np.array_equal(sheet[y : y + height, x : x + width], tile)]


def test_every_row_shows_image_truth_prediction_and_overlay_side_by_side() -> None:
    rows = [judged(seed) for seed in range(3)]
    sheet = contact_sheet(rows, IOU, title="Title", subtitle="subtitle")
    colours = np.zeros((256, 3), np.uint8)
    colours[:19] = PALETTE
    tops = []
    for row in rows:
        result = row.result
        tiles = [result.image_bgr, *(colours[at][..., ::-1] for at in (row.truth, result.labels))]
        mixed = (tiles[0].astype(float) + tiles[2]) / 2
        # The truth begins with a row of black, which is no class.
        places = [positions(sheet, tile[1:]) for tile in tiles]
        ((top, left),) = places[0]
        step = places[1][0][1] - left
        assert step > WIDTH
        assert [place for ((place),) in places] == [(top, left + at * step) for at in range(3)]
        shown = sheet[top : top + HEIGHT - 1, left + 3 * step : left + 3 * step + WIDTH]
        assert np.abs(shown - mixed[1:]).max() <= 0.5
        tops.append(top)
    assert len(COLUMNS) == 4
    assert np.ptp(np.diff(tops)) == 0


def test_legend_has_the_colour_of_every_class() -> None:
    row = judged()
    sheet = contact_sheet([row], IOU, title="Title", subtitle="subtitle")
    ((top, _),) = positions(sheet, row.result.image_bgr)
    legend = sheet[top + HEIGHT :]
    for colour in PALETTE:
        assert (legend == colour[::-1]).all(2).sum() >= 24 * 44


def test_words_differ_only_where_words_are() -> None:
    first, second = (contact_sheet([judged()], IOU, title=title, subtitle="same") for title in ("One", "Other"))
    changed = np.flatnonzero((first != second).any((1, 2)))
    assert changed.size
    assert changed.max() < 120


def test_accuracy_counts_what_counts() -> None:
    row = judged()
    right = sum(a == b for a, b in zip(row.result.labels.flat, row.truth.flat, strict=True))
    assert row.accuracy == pytest.approx(right / (WIDTH * (HEIGHT - 1)))
    assert np.isnan(Judged(row.result, np.full_like(row.truth, 255)).accuracy)


@pytest.mark.parametrize("rows", [[], [judged(), judged(size_hw=(32, 64))]], ids=["none", "two sizes"])
def test_rows_that_make_no_sheet(rows: list[Judged]) -> None:
    with pytest.raises(ImageError, match="expected some, all of one size"):
        contact_sheet(rows, IOU, title="Title", subtitle="subtitle")
