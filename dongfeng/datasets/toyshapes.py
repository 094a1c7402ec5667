"""Toyshapes: synthetic pictures of one shape each, for classification.

Shape, turn, size, place, colours, texture, clutter, a stroke across and noise are random, so that no single pixel tells
the class. As with toytown, the same arguments give the same bytes everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from dongfeng.datasets.toytown.camera import CIRCLE, around, bar
from dongfeng.datasets.toytown.canvas import Grain, Mask, Point, fill
from dongfeng.datasets.toytown.dice import Colour, Dice
from dongfeng.datasets.toytown.light import Image, add_noise, blur
from dongfeng.errors import DongfengError

Outline = list[Point]

SMALLEST = 16

# Cosine and sine of turns by 22.6, 36.9, 53.1 and 67.4 degrees: exact, unlike those of other angles.
_TURNS = ((1.0, 0.0), (12 / 13, 5 / 13), (4 / 5, 3 / 5), (3 / 5, 4 / 5), (5 / 13, 12 / 13))
_SINE_72, _COSINE_72, _SINE_36, _COSINE_36 = 0.9510565, 0.3090170, 0.5877853, 0.8090170
_PENTAGON = (
    (0.0, 1.0),
    (-_SINE_72, _COSINE_72),
    (-_SINE_36, -_COSINE_36),
    (_SINE_36, -_COSINE_36),
    (_SINE_72, _COSINE_72),
)
_HEXAGON = ((0.0, 1.0), (-0.8660254, 0.5), (-0.8660254, -0.5), (0.0, -1.0), (0.8660254, -0.5), (0.8660254, 0.5))


def _box(left: float, bottom: float, right: float, top: float) -> Outline:
    return [(left, bottom), (right, bottom), (right, top), (left, top)]


def _star(tips: Sequence[Point], inner: float) -> Outline:
    """Return a star: between two tips, a point at a share of the way out."""
    points: Outline = []
    for (x, y), (next_x, next_y) in zip(tips, [*tips[1:], tips[0]], strict=True):
        points += [(x, y), ((x + next_x) / 2 * inner, (y + next_y) / 2 * inner)]
    return points


def _hollow(outer: Sequence[Point], share: float) -> Outline:
    """Return an outline with its own smaller copy cut out."""
    inner = [(x * share, y * share) for x, y in outer]
    return [*outer, outer[0], inner[0], *inner[::-1]]


def _spiral() -> list[Outline]:
    path = [(x * (0.12 + 0.055 * turn), y * (0.12 + 0.055 * turn)) for turn, (x, y) in enumerate(CIRCLE + CIRCLE[:4])]
    path[16:] = [(x * 0.95, y * 0.95) for x, y in path[16:]]
    return [bar(start, end, 0.2) for start, end in pairwise(path)]


def _crescent() -> list[Outline]:
    outer = [(x, y) for x, y in CIRCLE if x <= 0.5]
    inner = [(x * 0.55 + 0.35, y * 0.82) for x, y in CIRCLE if x <= 0.2]
    return [[*outer, *inner[::-1]]]


_WAVE = [(-1.0, -0.1), (-0.75, 0.4), (-0.4, 0.1), (-0.1, -0.4), (0.25, -0.1), (0.5, 0.4), (0.85, 0.1), (1.0, -0.2)]
_HEART: Outline = [(0, -1), (-0.9, 0.05), (-0.95, 0.5), (-0.7, 0.82), (-0.35, 0.85), (0, 0.5)]
_HEART += [(-x, y) for x, y in _HEART[-2:0:-1]]
_ARROW: Outline = [(-1, -0.2), (0.1, -0.2), (0.1, -0.65), (1, 0), (0.1, 0.65), (0.1, 0.2), (-1, 0.2)]
_DOUBLE_ARROW: Outline = [(-1, 0), (-0.4, 0.6), (-0.4, 0.2), (0.4, 0.2), (0.4, 0.6)]
_DOUBLE_ARROW += [(-x, -y) for x, y in _DOUBLE_ARROW]
_SQUARE, _DISC = _box(-0.8, -0.8, 0.8, 0.8), around(0.0, 0.0, 0.95)
_TRIANGLE: Outline = [(0.0, 1.0), (-0.95, -0.7), (0.95, -0.7)]

_SHAPES: dict[str, list[Outline]] = {
    "circle": [_DISC],
    "ring": [_hollow(_DISC, 0.58)],
    "half circle": [[(x, y - 0.4) for x, y in CIRCLE if y >= -1e-9]],
    "crescent": _crescent(),
    "ellipse": [around(0.0, 0.0, 1.0, 0.48)],
    "square": [_SQUARE],
    "frame": [_hollow(_SQUARE, 0.62)],
    "bar": [_box(-1.0, -0.3, 1.0, 0.3)],
    "triangle": [_TRIANGLE],
    "hollow triangle": [_hollow([(x, y + 0.13) for x, y in _TRIANGLE], 0.5)],
    "pentagon": [list(_PENTAGON)],
    "hexagon": [list(_HEXAGON)],
    "star of 5": [_star(_PENTAGON, 0.5)],
    "star of 6": [_star(_HEXAGON, 0.62)],
    "star of 4": [_star([(0.0, 1.0), (-1.0, 0.0), (0.0, -1.0), (1.0, 0.0)], 0.45)],
    "cross": [_box(-0.27, -0.9, 0.27, 0.9), _box(-0.9, -0.27, 0.9, 0.27)],
    "arrow": [_ARROW],
    "double arrow": [_DOUBLE_ARROW],
    "heart": [_HEART],
    "letter L": [_box(-0.65, -0.9, -0.2, 0.9), _box(-0.65, -0.9, 0.7, -0.45)],
    "letter T": [_box(-0.8, 0.42, 0.8, 0.9), _box(-0.24, -0.9, 0.24, 0.9)],
    "letter U": [_box(-0.8, -0.9, -0.38, 0.85), _box(0.38, -0.9, 0.8, 0.85), _box(-0.8, -0.9, 0.8, -0.45)],
    "letter H": [_box(-0.8, -0.9, -0.38, 0.9), _box(0.38, -0.9, 0.8, 0.9), _box(-0.8, -0.22, 0.8, 0.22)],
    "letter E": [_box(-0.7, -0.9, -0.28, 0.9), *(_box(-0.7, low, 0.75, low + 0.36) for low in (-0.9, -0.18, 0.54))],
    "spiral": _spiral(),
    "wave": [bar(start, end, 0.26) for start, end in pairwise(_WAVE)],
    "gear": [_hollow(around(0.0, 0.0, 0.76), 0.45), *(bar((0.7 * x, 0.7 * y), (x, y), 0.3) for x, y in CIRCLE[::2])],
    "chequers": [_box(x / 2 - 1, y / 2 - 1, x / 2 - 0.5, y / 2 - 0.5) for x in range(4) for y in range(x % 2, 4, 2)],
    "stripes": [_box(-0.9, low, 0.9, low + 0.3) for low in (-0.9, -0.3, 0.3)],
    "dots": [around(x, y, 0.32) for x in (-0.55, 0.55) for y in (-0.55, 0.55)],
}

CLASS_NAMES: tuple[str, ...] = tuple(_SHAPES)
"""Names of the classes; the class is the index."""


def draw_shape(seed: int, index: int, size: int = 64) -> tuple[Image, int]:
    """Draw one shape; indices 0..29, 30..59 and so on hold each class once.

    Args:
        seed: Seed of the series, 0 or more.
        index: Number of the picture in its series, 0 or more.
        size: Height and width in pixels, at least 16.

    Returns:
        (size, size, 3) uint8, BGR, and its class, an index into `CLASS_NAMES`.

    Raises:
        DongfengError: a number is negative, or the size is too small.

    Example:
        >>> image, label = draw_shape(seed=0, index=0)
        >>> image.shape, CLASS_NAMES[label] in CLASS_NAMES
        ((64, 64, 3), True)
    """
    if seed < 0 or index < 0:
        raise DongfengError(f"toyshapes: seed {seed}, index {index}; expected 0 or more")
    if size < SMALLEST:
        raise DongfengError(f"toyshapes: size {size}; expected at least {SMALLEST}")
    label = (index % len(CLASS_NAMES) * 7 + seed) % len(CLASS_NAMES)
    dice = Dice(seed, index)
    ground, ink = dice.paint(), dice.paint()
    while sum(abs(a - b) for a, b in zip(ground, ink, strict=True)) < 130:
        ink = dice.paint()
    image = np.empty((size, size, 3), np.uint8)
    image[:] = ground[::-1]
    grain = dice.grain(size, size)
    if dice.chance(0.3):
        image[_texture(dice, grain, size)] = dice.near(ground, 40)[::-1]
    for _ in range(dice.whole(0, 3)):
        _clutter(image, dice, dice.near(ground, 70) if dice.chance(0.6) else dice.paint())
    _stamp(image, dice, grain, _SHAPES[CLASS_NAMES[label]], ink)
    if dice.chance(0.3):
        ends = [(dice.between(0.0, 1.0) * size, dice.between(0.0, 1.0) * size) for _ in range(2)]
        _paint(image, bar(ends[0], ends[1], size * dice.between(0.03, 0.08)), dice.paint())
    if dice.chance(0.7):
        image = blur(image)
    return add_noise(image, dice, dice.between(4, 40)), label


def _stamp(image: Image, dice: Dice, grain: Grain, parts: list[Outline], ink: Colour) -> None:
    """Paint the shape itself, turned, bent, and perhaps with a texture."""
    size = len(image)
    cosine, sine = dice.pick(_TURNS)
    for _ in range(dice.whole(0, 3)):
        cosine, sine = -sine, cosine
    radius = size * dice.between(0.3, 0.44)
    spare = size / 2 - radius
    middle_x, middle_y = (size / 2 + dice.between(-spare, spare) for _ in range(2))
    squeeze, skew = dice.between(0.78, 1.0), dice.between(-0.2, 0.2)
    texture = _texture(dice, grain, size) if dice.chance(0.25) else None
    second = dice.near(ink, 45)
    for part in parts:
        bent = [(x + skew * y, y * squeeze) for x, y in part]
        points = [
            (middle_x + radius * (cosine * x - sine * y), middle_y + radius * (sine * x + cosine * y)) for x, y in bent
        ]
        _paint(image, points, ink, texture, second)


def _paint(
    image: Image, outline: Sequence[Point], colour: Colour, texture: Mask | None = None, second: Colour = (0, 0, 0)
) -> None:
    box, mask = fill(outline, (len(image), len(image)))
    image[box][mask] = colour[::-1]
    if texture is not None:
        image[box][mask & texture[box]] = second[::-1]


def _texture(dice: Dice, grain: Grain, size: int) -> Mask:
    """Choose stripes, squares or speckles."""
    texture, pitch = dice.pick(("stripes", "squares", "speckles")), dice.whole(2, 6)
    rows, columns = np.arange(size)[:, None], np.arange(size)
    if texture == "stripes":
        return np.asarray((rows * dice.whole(-1, 1) + columns * dice.whole(1, 2)) // pitch % 2 == 0)
    if texture == "squares":
        return np.asarray((rows // pitch + columns // pitch) % 2 == 0)
    return np.asarray(grain < 90)


def _clutter(image: Image, dice: Dice, colour: Colour) -> None:
    """Paint a small blot, triangle or stroke somewhere, behind the shape."""
    size = len(image)
    x, y, radius = dice.unit() * size, dice.unit() * size, size * dice.between(0.04, 0.13)
    choice = dice.whole(0, 2)
    if choice == 0:
        outline = around(x, y, radius)
    elif choice == 1:
        outline = [(x + dice.between(-2, 2) * radius, y + dice.between(-2, 2) * radius) for _ in range(3)]
    else:
        outline = bar((x, y), (x + dice.between(-5, 5) * radius, y + dice.between(-5, 5) * radius), radius / 2)
    _paint(image, outline, colour)
