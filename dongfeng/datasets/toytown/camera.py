"""Perspective: a camera above the street, and upright planes in front of it to draw on in metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

from dongfeng.datasets.toytown.canvas import Point, SceneCanvas, ink
from dongfeng.datasets.toytown.dice import Colour, lit

NEAREST_M = 0.4  # nearer points are drawn at this distance

_EIGHTH = (0.0, 0.3826834, 0.7071068, 0.9238795, 1.0)
_COSINES = (*_EIGHTH[::-1], *(-part for part in _EIGHTH[1:]), *(-part for part in _EIGHTH[3::-1]), *_EIGHTH[1:4])
CIRCLE: tuple[Point, ...] = tuple((_COSINES[turn], _COSINES[turn - 4]) for turn in range(16))
"""Sixteen points of the unit circle."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; x points right, y up from the ground and z away, all in metres.

    Attributes:
        size_hw: Height and width of the picture.
        focal: Focal length in pixels.
        centre: Column of the vanishing point.
        horizon: Row of the horizon there.
        height_m: Height above the ground.
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
        """Project a point of the world to column and row of the picture."""
        scale = self.scale(z)
        column = self.centre + x * scale
        return column, self.horizon + (self.height_m - y) * scale + self.roll * (column - self.centre)


@dataclass(frozen=True)
class Lean:
    """Setback of the upper part of a plane, such as of a windscreen behind a bonnet.

    Attributes:
        above: Height in metres at which it begins.
        step: Setback there, in metres.
        slope: Further setback for each metre of height.
        direction_xz: Direction of the setback, of length 1.
    """

    above: float
    step: float
    slope: float
    direction_xz: tuple[float, float]


@dataclass(frozen=True)
class Sketch:
    """An upright plane to draw on with one class: u goes along it, v up, in metres.

    Attributes:
        canvas: Canvas to paint on.
        camera: Camera that sees the plane.
        origin_xz: Place on the ground where u is 0.
        direction_xz: Direction of u, of length 1.
        label: Class of the drawing.
        instance: Number of the object; 0 where it is not counted.
        light: Factor of all colours.
        mirror: Value from which u counts backwards; None: it counts forwards.
        lean: Setback of its upper part; None: there is none.
    """

    canvas: SceneCanvas
    camera: Camera
    origin_xz: tuple[float, float]
    direction_xz: tuple[float, float]
    label: int
    instance: int = 0
    light: float = 1.0
    mirror: float | None = None
    lean: Lean | None = None

    def of(self, label: int, instance: int = 0) -> Sketch:
        """Return the same plane for another class."""
        return replace(self, label=label, instance=instance)

    def metres(self, pixels: float) -> float:
        """Return the length that has so many pixels here, in a picture 256 high."""
        return pixels * self.camera.unit / self.camera.scale(self.origin_xz[1])

    def at(self, u: float, v: float) -> Point:
        """Project a point of the plane to column and row of the picture."""
        along = u if self.mirror is None else self.mirror - u
        x = self.origin_xz[0] + along * self.direction_xz[0]
        z = self.origin_xz[1] + along * self.direction_xz[1]
        lean = self.lean
        if lean is not None and v > lean.above:
            back = lean.step + lean.slope * (v - lean.above)
            x, z = x + back * lean.direction_xz[0], z + back * lean.direction_xz[1]
        return self.camera.point(x, v, z)

    def shape(self, outline: Sequence[Point], colour: Colour) -> None:
        """Draw a polygon."""
        pixel = ink(lit(colour, self.light), self.label, self.instance)
        self.canvas.polygon([self.at(u, v) for u, v in outline], pixel)

    def symmetric(self, left: Sequence[Point], colour: Colour, width: float = 0.0) -> None:
        """Draw a polygon by the left half of its outline, from the bottom up; u and `width` - u mirror each other."""
        self.shape([*((width - u, v) for u, v in left), *left[::-1]], colour)

    def glass(self, outline: Sequence[Point]) -> None:
        """Give a transparent polygon the class, and leave the colours behind it."""
        self.canvas.relabel([self.at(u, v) for u, v in outline], self.label, self.instance)

    def speckled(self, outline: Sequence[Point], colours: Sequence[Colour]) -> None:
        """Draw a polygon in random colours out of some."""
        pixels = [ink(lit(colour, self.light), self.label, self.instance) for colour in colours]
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
    (x0, y0), (x1, y1) = start, end
    along, up = x1 - x0, y1 - y0
    length = max(sqrt(along * along + up * up), 1e-9)
    side, rise = -up / length * width / 2, along / length * width / 2
    return [(x0 + side, y0 + rise), (x1 + side, y1 + rise), (x1 - side, y1 - rise), (x0 - side, y0 - rise)]
