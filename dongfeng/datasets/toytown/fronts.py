"""Upright planes with a texture: house fronts, walls and fences, pixel by pixel in metres of the plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dongfeng.datasets.toytown.camera import Camera
from dongfeng.datasets.toytown.canvas import Box, Index, Label, Mask, Metres, SceneCanvas, ink, pixel_span
from dongfeng.datasets.toytown.dice import Colour, Dice, lit

_PLASTER: tuple[Colour, ...] = ((222, 196, 150), (206, 160, 130), (190, 120, 96), (214, 208, 196), (150, 150, 158))
_ROOFS: tuple[Colour, ...] = ((140, 66, 46), (90, 84, 84), (70, 62, 60), (120, 90, 70))
_STONE: tuple[Colour, ...] = ((150, 84, 64), (136, 128, 118), (170, 150, 128))
_RAILING: tuple[Colour, ...] = ((240, 240, 236), (54, 76, 58), (66, 48, 38), (40, 42, 48))


@dataclass(frozen=True)
class Plane:
    """An upright plane, along the street (from z `start` to `end` at x `where`) or across it (from x to x at z)."""

    along: bool
    where: float
    start: float
    end: float

    def corner(self, camera: Camera, far: bool, y: float) -> tuple[float, float]:
        """Project its start or its end at a height to the picture."""
        place = self.end if far else self.start
        return camera.point(self.where, y, place) if self.along else camera.point(place, y, self.where)


@dataclass(frozen=True)
class VisiblePixels:
    """The visible part of a plane.

    Attributes:
        box: Its rows and columns in the picture.
        mask: (h, w), the pixels of the plane in the box.
        u: (1, w) metres along the plane.
        v: (h, w) metres above the ground.
    """

    box: Box
    mask: Mask
    u: Metres
    v: Metres


def visible_pixels(camera: Camera, plane: Plane, height: float) -> VisiblePixels:
    """Find the pixels of a plane from the ground up to a height; none where it is outside the picture."""
    corners = [plane.corner(camera, far, y) for far in (False, True) for y in (0.0, height)]
    left, right = pixel_span([x for x, _ in corners], camera.size_hw[1])
    top, bottom = pixel_span([y for _, y in corners], camera.size_hw[0])
    across = np.arange(left, right) + 0.5 - camera.centre
    if plane.along:
        u = z = plane.where * camera.focal / across
    else:
        z = np.full(right - left, plane.where)
        u = across * (plane.where / camera.focal)
    below = (np.arange(top, bottom) + 0.5)[:, None] - (camera.horizon + camera.roll * across)
    v = camera.height_m - below * (z / camera.focal)
    mask = (v >= 0.0) & (v < height)
    return VisiblePixels((slice(top, bottom), slice(left, right)), mask, np.asarray(u[None, :], np.float64), v)


def _part(values: Metres, pitch: float) -> tuple[Metres, npt.NDArray[np.int64]]:
    """Return the place within a cell of a grid, 0 to 1, and the number of the cell."""
    cells = values * (1.0 / pitch)
    whole = np.floor(cells)
    return cells - whole, whole.astype(np.int64)


def _inside(values: Metres, low: float, high: float) -> Mask:
    return (values >= low) & (values < high)


class House:
    """A house with random looks, the same from all sides; its height is between `low` and `high` metres."""

    def __init__(self, dice: Dice, low: float = 5.5, high: float = 17.0) -> None:
        colour = dice.usual(_PLASTER, 40, 0.7)
        width, rise = dice.between(0.36, 0.66), dice.between(0.4, 0.62)
        bottom = dice.between(0.2, 0.32)
        self.height = dice.between(low, high)
        line, glass = lit(colour, dice.pick((0.8, 0.88, 1.12, 1.2))), dice.near((62, 78, 96), 40)
        bright = dice.near((150, 165, 180), 30) if dice.chance(0.7) else (250, 220, 140)
        frame = dice.pick(((240, 240, 235), lit(colour, 1.35), lit(colour, 0.6), (70, 56, 46)))
        ground = dice.paint() if dice.chance(0.4) else lit(colour, 0.7)
        self.roof = dice.paint() if dice.chance(0.4) else dice.pick(_ROOFS)
        self._colours = (colour, line, glass, frame, bright, ground, self.roof)
        self._storey, self._pitch = dice.between(2.7, 3.5), dice.between(1.9, 3.4)
        self._window = (0.5 - width / 2, 0.5 + width / 2, bottom, min(bottom + rise, 0.9))
        self._texture = dice.pick(("plain", "plain", "brick", "boards", "piers", "storeys"))
        self._is_shop = dice.chance(0.4)
        self._lit_one_in, self._shift = dice.whole(3, 6), dice.between(0.0, 3.0)

    def paint(self, canvas: SceneCanvas, camera: Camera, plane: Plane, light: float) -> None:
        """Paint one of its fronts."""
        seen = visible_pixels(camera, plane, self.height)
        index = self._textured(canvas, seen)
        in_u, cell_u = _part(seen.u + self._shift, self._pitch)
        in_v, cell_v = _part(seen.v, self._storey)
        left, right, low, high = self._window
        rim = 0.07
        index[_inside(in_u, left - rim, right + rim) & _inside(in_v, low - rim, high + rim)] = 3
        pane = _inside(in_u, left, right) & _inside(in_v, low, high)
        index[pane] = 2
        index[pane & ((cell_u * 7 + cell_v * 13) % 11 % self._lit_one_in == 0)] = 4
        index[pane & (_inside(in_u, (left + right) / 2 - 0.025, (left + right) / 2 + 0.025))] = 3
        if self._is_shop:
            index[seen.v < self._storey] = 5
            index[_inside(seen.v, 0.5, self._storey - 0.9) & _inside(in_u, 0.08, 0.92)] = 2
            index[_inside(seen.v, 0.0, self._storey - 0.9) & _inside(in_u, 0.40, 0.60) & (cell_u % 3 == 0)] = 3
            index[_inside(seen.v, self._storey - 0.9, self._storey - 0.3)] = 6
        else:
            index[seen.v < 0.5] = 5
            index[(seen.v < 2.2) & _inside(in_u, 0.36, 0.64) & (cell_u % 4 == 0)] = 6
        index[seen.v > self.height - 0.4] = 6
        pixels = [ink(lit(colour, light), Label.BUILDING) for colour in self._colours]
        canvas.pattern(seen.box, seen.mask, index, pixels)

    def _textured(self, canvas: SceneCanvas, seen: VisiblePixels) -> Index:
        index = np.zeros(seen.v.shape, np.uint8)
        if self._texture == "brick":
            index[canvas.grain[seen.box] < 70] = 1
        elif self._texture == "boards":
            index[_part(seen.v, 0.55)[0] < 0.28] = 1
        elif self._texture == "piers":
            index |= (_part(seen.u + self._shift, self._pitch)[0] < 0.1).astype(np.uint8)
        elif self._texture == "storeys":
            index[_part(seen.v, self._storey)[0] < 0.12] = 1
        return index


class Wall:
    """A wall without windows: bricks, blocks, slabs or rubble, with a coping."""

    def __init__(self, dice: Dice) -> None:
        colour = dice.usual(_STONE, 34, 0.75)
        self._course = dice.between(0.34, 0.6)
        self._height = dice.between(1.7, 2.9)
        joint = lit(colour, dice.pick((0.62, 0.7, 1.35)))
        coping = lit(colour, dice.pick((0.6, 1.3))) if dice.chance(0.6) else dice.grey(90, 210)
        self._colours = (colour, lit(colour, 0.86), joint, coping)
        self._brick = self._course * dice.between(1.7, 2.6)
        self._is_rough = dice.chance(0.4)

    def paint(self, canvas: SceneCanvas, camera: Camera, plane: Plane, light: float) -> None:
        """Paint the wall."""
        seen = visible_pixels(camera, plane, self._height)
        in_v, row = _part(seen.v, self._course)
        in_u, brick = _part(seen.u + (row % 2) * (self._brick / 2), self._brick)
        index = ((brick * 5 + row * 3) % 7 < 3).astype(np.uint8)
        if self._is_rough:
            index ^= (canvas.grain[seen.box] < 90).astype(np.uint8)
        index[(in_v < 0.2) | (in_u < 0.12)] = 2
        index[seen.v > self._height - 0.22] = 3
        pixels = [ink(lit(colour, light), Label.WALL) for colour in self._colours]
        canvas.pattern(seen.box, seen.mask, index, pixels)


class Fence:
    """A fence: upright bars, rails, both, or crossed slats, with gaps that show the colours behind."""

    def __init__(self, dice: Dice) -> None:
        self._height = dice.between(1.7, 2.5)
        self._colour = dice.usual(_RAILING, 24, 0.8)
        self._style = dice.pick(("bars", "bars", "pickets", "rails", "mesh"))
        self._pitch, self._share = dice.between(0.38, 0.62), dice.between(0.54, 0.7)

    def paint(self, canvas: SceneCanvas, camera: Camera, plane: Plane, light: float) -> None:
        """Paint the fence."""
        seen = visible_pixels(camera, plane, self._height)
        in_u = _part(seen.u, self._pitch)[0]
        rails = _inside(seen.v, self._height * 0.8, self._height * 0.92) | _inside(seen.v, 0.15, 0.32)
        posts = _part(seen.u, 2.4)[0] < 0.09
        if self._style == "bars":
            bars = (in_u < self._share) | rails
        elif self._style == "rails":
            bars = (_part(seen.v, self._height / 3)[0] > 1 - self._share) | posts
        elif self._style == "mesh":
            rising, falling = _part(seen.u + seen.v, self._pitch)[0], _part(seen.u - seen.v, self._pitch)[0]
            bars = (rising < self._share * 0.7) | (falling < self._share * 0.7) | posts
        else:
            bars = (in_u < self._share) & (seen.v < self._height - 0.5 * np.abs(in_u - self._share / 2)) | rails
        canvas.lattice(seen.box, seen.mask, bars, ink(lit(self._colour, light), Label.FENCE))
