"""Draws one picture of many results: image, truth, prediction, overlay in each row, classes and their IoU below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dongfeng.errors import ImageError
from dongfeng.runtime.results import Bytes, Segmentation

COLUMNS = ("image", "truth", "prediction", "overlay")

_MARGIN, _GAP = 40, 12
_TITLE, _SUBTITLE, _CAPTION, _LEGEND = 68, 54, 34, 40  # heights of lines in pixels
_LEGEND_COLUMNS = 5
_SWATCH_HW = (24, 44)
_PAPER, _INK, _PENCIL = (252, 252, 252), (40, 36, 33), (120, 114, 108)  # BGR


@dataclass(frozen=True)
class Judged:
    """A segmentation and its ground truth.

    Attributes:
        result: The segmentation.
        truth: (H, W) uint8 train ids at the result's size; 255 counts for nothing.
    """

    result: Segmentation
    truth: Bytes

    @property
    def accuracy(self) -> float:
        """Fraction of the pixels that are right, 0..1; NaN where none counts."""
        counted = self.truth != 255
        right = (self.result.labels == self.truth) & counted
        return float(right.sum() / counted.sum()) if counted.any() else float("nan")


def contact_sheet(rows: Sequence[Judged], iou: Mapping[str, float], *, title: str, subtitle: str) -> Bytes:
    """Draw the sheet.

    Args:
        rows: The results to show, all of one size, at least one.
        iou: IoU of each class, 0..1 or NaN, by its name, in the order of the palette.
        title: Large text on top.
        subtitle: Small text below it.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        ImageError: there are no rows, or they differ in size.
    """
    sizes = {row.result.labels.shape for row in rows}
    if len(sizes) != 1:
        raise ImageError(f"contact sheet: {len(rows)} results of {len(sizes)} sizes; expected some, all of one size")
    ((height, width),) = sizes
    left = [_MARGIN + column * (width + _GAP) for column in range(len(COLUMNS))]
    first_top = _MARGIN + _TITLE + _SUBTITLE + _CAPTION
    row_height = height + _CAPTION
    legend_top = first_top + len(rows) * row_height + _GAP
    lines = -(-len(iou) // _LEGEND_COLUMNS)
    sheet = np.full((legend_top + lines * _LEGEND + _MARGIN, left[-1] + width + _MARGIN, 3), _PAPER, np.uint8)
    _write(sheet, title, (_MARGIN, _MARGIN), _TITLE, scale=1.5, thickness=2)
    _write(sheet, subtitle, (_MARGIN, _MARGIN + _TITLE), _SUBTITLE - 12, scale=0.8, colour=_PENCIL)
    for x, caption in zip(left, COLUMNS, strict=True):
        _write(sheet, caption, (x, first_top - _CAPTION), _CAPTION)
    for index, row in enumerate(rows):
        top = first_top + index * row_height
        for x, tile in zip(left, _tiles(row), strict=True):
            sheet[top : top + height, x : x + width] = tile
        right = f"{100 * row.accuracy:.1f} % of the pixels right"
        _write(sheet, right, (left[2], top + height), _CAPTION - 6, scale=0.55, colour=_PENCIL)
    colours = np.array(rows[0].result.palette[:, ::-1])
    _draw_legend(sheet, legend_top, iou, colours)
    return sheet


def _tiles(row: Judged) -> tuple[Bytes, ...]:
    """Return the pictures of a row in the order of `COLUMNS`, BGR."""
    result = row.result
    colours = np.zeros((256, 3), np.uint8)  # what counts for nothing is black
    colours[: len(result.palette)] = result.palette[:, ::-1]
    return result.image_bgr, colours[row.truth], result.picture_bgr("color"), result.picture_bgr("overlay")


def _draw_legend(sheet: Bytes, top: int, iou: Mapping[str, float], colours: Bytes) -> None:
    """Draw a swatch, the name and the IoU of each class, in lines."""
    step = (sheet.shape[1] - 2 * _MARGIN) // _LEGEND_COLUMNS
    height, width = _SWATCH_HW
    for index, ((name, value), colour) in enumerate(zip(iou.items(), colours, strict=True)):
        line, column = divmod(index, _LEGEND_COLUMNS)
        x, y = _MARGIN + column * step, top + line * _LEGEND
        inset = (_LEGEND - height) // 2
        sheet[y + inset : y + inset + height, x : x + width] = colour
        _write(sheet, name, (x + width + 14, y), _LEGEND)
        _write(sheet, "-" if np.isnan(value) else f"{100 * value:.1f} %", (x + width + 210, y), _LEGEND, colour=_PENCIL)


def _write(  # noqa: PLR0913 - the looks of a line of text
    sheet: Bytes,
    text: str,
    corner_xy: tuple[int, int],
    height: int,
    *,
    scale: float = 0.7,
    thickness: int = 1,
    colour: tuple[int, int, int] = _INK,
) -> None:
    """Write one line of text, centred vertically in a line of that height below the given corner."""
    import cv2

    font = cv2.FONT_HERSHEY_SIMPLEX if thickness == 1 else cv2.FONT_HERSHEY_DUPLEX
    (_, ascent), _ = cv2.getTextSize(text, font, scale, thickness)
    x, y = corner_xy
    cv2.putText(sheet, text, (x, y + (height + ascent) // 2), font, scale, colour, thickness, cv2.LINE_AA)
