"""`SceneCanvas`: pixels that hold colour, class and object in one number, so that labels are exact.

Polygons are filled in NumPy with single IEEE operations: drawing functions of libraries differ between their versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from math import ceil

import numpy as np
import numpy.typing as npt

from dongfeng.datasets.toytown.dice import Colour

Point = tuple[float, float]
Mask = npt.NDArray[np.bool_]
Grain = npt.NDArray[np.uint8]
Index = npt.NDArray[np.uint8]  # of a pixel's colour in a list of some
Metres = npt.NDArray[np.float64]
Box = tuple[slice, slice]

_COLOUR = np.uint64(0xFFFFFF)
_NOT_COLOUR = np.uint64(0xFFFFFFFFFF000000)


class Label(IntEnum):
    """Train ids of Cityscapes."""

    ROAD = 0
    SIDEWALK = 1
    BUILDING = 2
    WALL = 3
    FENCE = 4
    POLE = 5
    LIGHT = 6
    SIGN = 7
    VEGETATION = 8
    TERRAIN = 9
    SKY = 10
    PERSON = 11
    RIDER = 12
    CAR = 13
    TRUCK = 14
    BUS = 15
    TRAIN = 16
    MOTORCYCLE = 17
    BICYCLE = 18


def ink(colour: Colour, label: int, instance: int = 0) -> int:
    """Encode a pixel: colour (red, green, blue), class, and number of the object (0 where it is not counted)."""
    red, green, blue = colour
    return blue | green << 8 | red << 16 | label << 24 | instance << 32


class SceneCanvas:
    """The picture while it is painted.

    Attributes:
        pixels: (H, W) uint64, as `ink` encodes them.
        grain: (H, W) uint8 noise for irregular textures.
        instance_count: Number of objects so far.
    """

    def __init__(self, grain: Grain) -> None:
        self.grain = grain
        self.pixels: npt.NDArray[np.uint64] = np.zeros(grain.shape, np.uint64)
        self.instance_count = 0

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.pixels.shape
        return height, width

    def new_instance(self) -> int:
        """Return the number of the next object that is counted."""
        self.instance_count += 1
        return self.instance_count

    def polygon(self, outline: Sequence[Point], pixel: int) -> None:
        """Paint a polygon; where it crosses itself it is hollow."""
        box, mask = fill(outline, self.size_hw)
        self.pixels[box][mask] = pixel

    def relabel(self, outline: Sequence[Point], label: int, instance: int = 0) -> None:
        """Give a polygon's pixels another class and leave their colours, as of something transparent."""
        box, mask = fill(outline, self.size_hw)
        part = self.pixels[box]
        part[mask] = part[mask] & _COLOUR | np.uint64(ink((0, 0, 0), label, instance))

    def speckle(self, outline: Sequence[Point], pixels: Sequence[int]) -> None:
        """Paint a polygon with random ones of these pixels."""
        box, mask = fill(outline, self.size_hw)
        choice = (self.grain[box][mask].astype(np.uint16) * len(pixels)) >> 8
        self.pixels[box][mask] = np.array(pixels, np.uint64)[choice]

    def darken(self, outline: Sequence[Point], light: float, labels: tuple[int, ...] | None = None) -> None:
        """Let a shadow fall on a polygon, or on its pixels of some classes; light 1 changes nothing."""
        box, mask = fill(outline, self.size_hw)
        part = self.pixels[box]
        if labels is not None:
            mask &= np.isin(part >> np.uint64(24) & np.uint64(0xFF), labels)
        old, share = part[mask], np.uint64(int(light * 256))
        new = old & _NOT_COLOUR
        for shift in (np.uint64(0), np.uint64(8), np.uint64(16)):
            new |= ((old >> shift & np.uint64(0xFF)) * share >> np.uint64(8)) << shift
        part[mask] = new

    def pattern(self, box: Box, mask: Mask, index: Index, pixels: Sequence[int]) -> None:
        """Paint the pixels of `mask` by a map of indices into `pixels`."""
        part = self.pixels[box]
        part[mask] = np.array(pixels, np.uint64)[index[mask]]

    def lattice(self, box: Box, mask: Mask, bars: Mask, pixel: int) -> None:
        """Paint bars, and give the pixels between them only the class of `pixel`."""
        part = self.pixels[box]
        behind = part & _COLOUR | np.uint64(pixel) & _NOT_COLOUR
        part[mask] = np.where(bars, np.uint64(pixel), behind)[mask]

    def image_bgr(self) -> npt.NDArray[np.uint8]:
        """(H, W, 3) uint8."""
        channels = [(self.pixels >> np.uint64(shift)).astype(np.uint8) for shift in (0, 8, 16)]
        return np.stack(channels, axis=-1)

    def labels(self) -> npt.NDArray[np.uint8]:
        """(H, W) uint8."""
        return (self.pixels >> np.uint64(24)).astype(np.uint8)

    def instances(self) -> npt.NDArray[np.uint16]:
        """(H, W) uint16."""
        return (self.pixels >> np.uint64(32)).astype(np.uint16)


def fill(outline: Sequence[Point], size_hw: tuple[int, int]) -> tuple[Box, Mask]:
    """Find the pixels whose centres lie in a polygon, by the even-odd rule.

    Args:
        outline: x and y of its corners; pixel (row, column) has its centre at (column + 0.5, row + 0.5).
        size_hw: Size of the picture; the polygon is cut off at its border.

    Returns:
        Its box in the picture and a mask of the box's size, both empty where nothing is left.
    """
    xs, ys = [x for x, _ in outline], [y for _, y in outline]
    top, bottom = pixel_span(ys, size_hw[0])
    left, right = pixel_span(xs, size_hw[1])
    box, height, width = (slice(top, bottom), slice(left, right)), bottom - top, right - left
    if not height or not width:
        return box, np.zeros((height, width), np.bool_)
    x0, y0 = np.array(xs), np.array(ys)
    x1, y1 = np.array(xs[1:] + xs[:1]), np.array(ys[1:] + ys[:1])
    rows = np.arange(top, bottom) + 0.5
    edge, row = np.nonzero((y0[:, None] <= rows) != (y1[:, None] <= rows))
    start = y0[edge]
    crossing = x0[edge] + (rows[row] - start) * (x1 - x0)[edge] / (y1[edge] - start)
    column = np.clip(np.ceil(crossing - 0.5) - left, 0, width).astype(np.int64)
    toggles = np.bincount(row * (width + 1) + column, minlength=height * (width + 1)).astype(np.uint8)
    inside = np.cumsum(toggles.reshape(height, width + 1), axis=1, dtype=np.uint8)[:, :width] & 1
    return box, inside.astype(np.bool_)


def pixel_span(values: Sequence[float], length: int) -> tuple[int, int]:
    """Return the first pixel whose centre is at the least of the values or past it, and the first past the largest."""
    first, end = (ceil(min(max(edge - 0.5, 0.0), float(length))) for edge in (min(values), max(values)))
    return first, end
