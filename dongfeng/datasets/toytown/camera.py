"""Perspective: a camera above the street, and upright planes in front of it to draw on in metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

from dongfeng.datasets.toytown.canvas import Canvas, Point, ink
from dongfeng.datasets.toytown.dice import Colour, lit

NEAREST_M = 0.4  # what is nearer is drawn as if it were so near

_EIGHTH = (0.0, 0.3826834, 0.7071068, 0.9238795, 1.0)
_COSINES = (*_EIGHTH[::-1], *(-part for part in _EIGHTH[1:]), *(-part for part in _EIGHTH[3::-1]), *_EIGHTH[1:4])
CIRCLE: tuple[Point, ...] = tuple((_COSINES[turn], _COSINES[turn - 4]) for turn in range(16))
"""Sixteen points of the unit circle."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; x points right, y up from the ground and z away, all in metres.

    Attributes:
        size_hw: Of the picture.
        focal: Focal length in pixels.
        centre: Column of the vanishing point.
        horizon: Row of the horizon there.
        height_m: Above the ground.
        roll: Rows by which the horizon falls from one column to the next.
    """

    size_hw: tuple[int, int]
    focal: float
    centre: float
    horizon: float
    height_m: float
    roll: float

    @property
    def unit(self) -> float:
        """Pixels that are one pixel in a picture 256 high."""
        return self.size_hw[0] / 256

    def scale(self, z: float) -> float:
        """Pixels per metre at a distance."""
        return self.focal / max(z, NEAREST_M)

    def point(self, x: float, y: float, z: float) -> Point:
        """Where a point of the world is in the picture."""
        scale = self.focal / max(z, NEAREST_M)
        column = self.centre + x * scale
        return column, self.horizon + (self.height_m - y) * scale + self.roll * (column - self.centre)


@dataclass(frozen=True)
class Lean:
    """How the upper part of a plane stands back, such as a windscreen behind a bonnet.

    Attributes:
        above: Height in metres from which on it does.
        step: Metres by which it stands back there.
        slope: Further metres for each metre of height.
        direction_xz: Where back is, of length 1.
    """

    above: float
    step: float
    slope: float
    direction_xz: tuple[float, float]

    def back(self, v: float) -> float:
        """Metres by which the plane stands back at a height."""
        return self.step + self.slope * (v - self.above) if v > self.above else 0.0


@dataclass(frozen=True)
class Sketch:
    """An upright plane to draw on with one class: u goes along it, v up, in metres.

    Attributes:
        canvas: What is painted.
        camera: How it is seen.
        origin_xz: Where u is 0 on the ground.
        direction_xz: Where u grows to, of length 1.
        label: Class of what is drawn.
        thing: Its number as an object; 0 for what is not counted.
        light: Of all colours; 1 leaves them.
        mirror: Where not None, u counts backwards from here.
        lean: How its upper part stands back; None where it is quite upright.
    """

    canvas: Canvas
    camera: Camera
    origin_xz: tuple[float, float]
    direction_xz: tuple[float, float]
    label: int
    thing: int = 0
    light: float = 1.0
    mirror: float | None = None
    lean: Lean | None = None

    def of(self, label: int, thing: int = 0) -> Sketch:
        """The same plane for another class."""
        return replace(self, label=label, thing=thing)

    def at(self, u: float, v: float) -> Point:
        """Where a point of the plane is in the picture."""
        along = u if self.mirror is None else self.mirror - u
        x = self.origin_xz[0] + along * self.direction_xz[0]
        z = self.origin_xz[1] + along * self.direction_xz[1]
        if self.lean is not None:
            back = self.lean.back(v)
            x, z = x + back * self.lean.direction_xz[0], z + back * self.lean.direction_xz[1]
        return self.camera.point(x, v, z)

    def shape(self, outline: Sequence[Point], colour: Colour) -> None:
        """Draw a polygon."""
        pixel = ink(lit(colour, self.light), self.label, self.thing)
        self.canvas.polygon([self.at(u, v) for u, v in outline], pixel)

    def glass(self, outline: Sequence[Point]) -> None:
        """Draw a polygon that one looks through."""
        self.canvas.relabel([self.at(u, v) for u, v in outline], self.label, self.thing)

    def speckled(self, outline: Sequence[Point], colours: Sequence[Colour]) -> None:
        """Draw a polygon of some colours at random."""
        pixels = [ink(lit(colour, self.light), self.label, self.thing) for colour in colours]
        self.canvas.speckle([self.at(u, v) for u, v in outline], pixels)

    def box(self, left: float, bottom: float, right: float, top: float, colour: Colour) -> None:
        """Draw a rectangle."""
        self.shape(((left, bottom), (right, bottom), (right, top), (left, top)), colour)

    def disc(self, u: float, v: float, radius: float, colour: Colour) -> None:
        """Draw a disc."""
        self.shape(around(u, v, radius), colour)

    def bar(self, start: Point, end: Point, width: float, colour: Colour) -> None:
        """Draw a straight bar."""
        self.shape(bar(start, end, width), colour)


def around(u: float, v: float, radius: float, radius_v: float | None = None) -> list[Point]:
    """The outline of a disc, or of an ellipse."""
    return [(u + radius * x, v + (radius if radius_v is None else radius_v) * y) for x, y in CIRCLE]


def bar(start: Point, end: Point, width: float) -> list[Point]:
    """The outline of a straight bar from one point to another."""
    along, up = end[0] - start[0], end[1] - start[1]
    length = max(sqrt(along * along + up * up), 1e-9)
    side, rise = -up / length * width / 2, along / length * width / 2
    return [
        (start[0] + side, start[1] + rise),
        (end[0] + side, end[1] + rise),
        (end[0] - side, end[1] - rise),
        (start[0] - side, start[1] - rise),
    ]
