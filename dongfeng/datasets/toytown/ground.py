"""The ground: road with its markings, kerbs, pavement and grass, pixel by pixel in metres of the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dongfeng.datasets.toytown.camera import Camera
from dongfeng.datasets.toytown.canvas import Index, Label, Mask, Metres, SceneCanvas, ink
from dongfeng.datasets.toytown.dice import Colour, Dice, lit

FARTHEST_M = 300.0


@dataclass(frozen=True)
class Side:
    """One side of a road: widths of its strips from the edge outwards, in metres; 0 for a strip that is missing.

    Attributes:
        verge: Grass between road and pavement.
        pavement: The pavement.
        lawn: Grass between pavement and houses.
    """

    verge: float
    pavement: float
    lawn: float

    @property
    def width(self) -> float:
        """Metres from the road's edge to the houses."""
        return self.verge + self.pavement + self.lawn


@dataclass(frozen=True)
class Street:
    """A street seen along it; x grows to the right of the camera.

    Attributes:
        left, right: Edges of the road.
        sides: Strips to the left and to the right.
        rails: Middles of tram tracks, as x.
        crossings: Beginnings of zebra crossings, as z.
        lanes: Number of lanes.
    """

    left: float
    right: float
    sides: tuple[Side, Side]
    rails: tuple[float, ...]
    crossings: tuple[float, ...]
    lanes: int

    @property
    def houses(self) -> tuple[float, float]:
        """Fronts of the houses to the left and to the right, as x."""
        return self.left - self.sides[0].width, self.right + self.sides[1].width

    def lane_middle(self, lane: int) -> float:
        """The middle of a lane, counted from the left, as x."""
        return self.left + (self.right - self.left) * (lane + 0.5) / self.lanes


def grass(dice: Dice) -> list[Colour]:
    """Choose shades of one meadow: fresh, dry, or bare earth."""
    base = dice.near(dice.pick(((96, 140, 62), (120, 140, 70), (150, 142, 84), (84, 112, 60), (134, 108, 78))), 22)
    return [lit(base, light) for light in (0.84, 1.0, 1.14)]


def paint_ground(canvas: SceneCanvas, camera: Camera, street: Street, dice: Dice) -> None:
    """Paint everything below the horizon."""
    height, width = camera.size_hw
    across = np.arange(width) + 0.5 - camera.centre
    sky_line = camera.horizon + camera.roll * across
    top = max(int(min(sky_line[0], sky_line[-1])), 0)
    below = (np.arange(top, height) + 0.5)[:, None] - sky_line
    z = camera.focal * camera.height_m / np.maximum(below, camera.focal * camera.height_m / FARTHEST_M)
    x = across * z * (1.0 / camera.focal)
    box = (slice(top, height), slice(0, width))
    grain = canvas.grain[box]
    shade = (grain >> 6).astype(np.uint8)  # four shades of each surface
    index = shade + np.uint8(4)  # pavement
    index[(x >= street.left) & (x < street.right)] -= np.uint8(4)
    lawn = _lawns(street, x)
    index[lawn] = shade[lawn] + np.uint8(8)
    _pave(street, index, x, z, dice.between(0.8, 1.5))
    _mark(street, index, x, z, dice)
    tar, stone, green = dice.grey(60, 128), dice.grey(112, 200), grass(dice)
    if dice.chance(0.3):
        stone = dice.near((168, 130, 112), 30)
    spread = dice.between(0.02, 0.07)
    surfaces = [lit(base, 1 + spread * step) for base in (tar, stone) for step in (-1.5, -0.5, 0.5, 1.5)]
    paint: Colour = dice.pick(((236, 236, 230), (214, 214, 206), (238, 210, 96)))
    more = [lit(stone, 0.72), lit(stone, 1.22), paint, lit(tar, 0.62), lit(tar, 1.3)]
    labels = [Label.ROAD] * 4 + [Label.SIDEWALK] * 4 + [Label.TERRAIN] * 4
    labels += [Label.SIDEWALK, Label.SIDEWALK, Label.ROAD, Label.ROAD, Label.ROAD]
    colours = [*surfaces, green[0], *green, *more]
    inks = [ink(colour, label) for colour, label in zip(colours, labels, strict=True)]
    canvas.pattern(box, below > 0, index, inks)


def _lawns(street: Street, x: Metres) -> Mask:
    left, right = street.sides
    outer = (x < street.left - left.verge - left.pavement) | (x >= street.right + right.verge + right.pavement)
    verge = (x >= street.left - left.verge) & (x < street.left) | (x >= street.right) & (x < street.right + right.verge)
    return np.asarray(outer | verge)


def _pave(street: Street, index: Index, x: Metres, z: Metres, slab: float) -> None:
    """Mark the joints of the slabs, and kerbs."""
    paved = (index >= 4) & (index < 8)
    slabs_x, slabs_z = x * (1.0 / slab), z * (1.0 / slab)
    joint = (slabs_x - np.floor(slabs_x) < 0.06) | (slabs_z - np.floor(slabs_z) < 0.06)
    index[paved & joint & (z < 16)] = 12
    for edge in (street.left - 0.28, street.right):
        index[(x >= edge) & (x < edge + 0.28)] = 13


def _mark(street: Street, index: Index, x: Metres, z: Metres, dice: Dice) -> None:
    """Mark lines, zebra crossings, rails and patches."""
    tar = index < 4
    for _ in range(dice.whole(0, 3)):
        left, near = dice.between(street.left, street.right - 1), dice.between(3, 14)
        index[
            tar & (x > left) & (x < left + dice.between(0.6, 2.5)) & (z > near) & (z < near + dice.between(0.8, 4))
        ] = 15
    dashes = z * dice.between(0.14, 0.24) + dice.unit()
    dashed = dashes - np.floor(dashes) < 0.5
    pitch = (street.right - street.left) / street.lanes
    for lane in range(1, street.lanes):
        line = street.left + pitch * lane
        middle = lane * 2 == street.lanes and dice.chance(0.4)
        index[tar & (x > line - 0.08) & (x < line + 0.08) & (dashed | middle)] = 14
    if dice.chance(0.5):
        for line in (street.left + 0.35, street.right - 0.35):
            index[tar & (x > line - 0.07) & (x < line + 0.07)] = 14
    for rail in street.rails:
        for line in (rail - 0.72, rail + 0.72):
            index[tar & (x > line - 0.13) & (x < line + 0.13)] = 16
            index[tar & (x > line - 0.05) & (x < line + 0.05)] = 15
    for near in street.crossings:
        stripes = x * 0.9
        index[tar & (stripes - np.floor(stripes) < 0.5) & (z > near) & (z < near + 3)] = 14
