"""Sky, trees, bushes and hedges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dongfeng.datasets.toytown.camera import CIRCLE, Camera, Sketch, around
from dongfeng.datasets.toytown.canvas import Label, Point, SceneCanvas, ink
from dongfeng.datasets.toytown.dice import Colour, Dice, lit, mixed


@dataclass(frozen=True)
class Sky:
    """Colours of the sky and of the light below it."""

    top: Colour
    bottom: Colour
    cloud: Colour | None
    night: bool
    sunny: bool


def sky(dice: Dice) -> Sky:
    """Choose the sky of a time of day and a weather."""
    weather = dice.pick(("clear", "clear", "clear", "clouds", "clouds", "grey", "grey", "dusk", "night"))
    if weather in ("clear", "clouds"):
        top = dice.near((92, 150, 220), 28)
        return Sky(top, dice.near((206, 226, 240), 14), (248, 248, 250) if weather == "clouds" else None, False, True)
    if weather == "grey":
        return Sky(dice.grey(150, 205), dice.grey(205, 240), dice.grey(190, 235), False, False)
    if weather == "dusk":
        return Sky(
            dice.near((96, 96, 160), 20), dice.near((246, 176, 120), 20), (220, 150, 140), False, dice.chance(0.5)
        )
    return Sky(dice.near((24, 30, 58), 10), dice.near((70, 70, 104), 14), (56, 58, 84), True, False)


def paint_sky(canvas: SceneCanvas, camera: Camera, above: Sky, dice: Dice) -> None:
    """Paint the sky behind everything, down to the bottom of the picture."""
    height, width = canvas.size_hw
    end = max(int(camera.horizon) + 1, 1)
    rows = [ink(mixed(above.top, above.bottom, min(row / end, 1.0)), Label.SKY) for row in range(height)]
    canvas.pixels[:] = np.array(rows, np.uint64)[:, None]
    if above.cloud is None:
        return
    for _ in range(dice.whole(2, 5)):
        x, y, size = dice.unit() * width, dice.unit() * end * 0.7, dice.between(10, 26) * camera.unit
        for _ in range(dice.whole(3, 5)):
            puff = around(x + dice.between(-2, 2) * size, y + dice.between(-0.3, 0.3) * size, size * 1.2, size * 0.5)
            canvas.polygon(puff, ink(mixed(above.cloud, above.bottom, dice.between(0.0, 0.3)), Label.SKY))


def leaves(dice: Dice) -> list[Colour]:
    """Choose shades of one plant's leaves."""
    base = dice.pick(((70, 112, 48), (60, 96, 54), (96, 128, 56), (48, 84, 60), (120, 132, 60)))
    if dice.chance(0.16):
        base = dice.pick(((196, 120, 40), (176, 76, 44), (226, 160, 186), (140, 90, 60)))
    base = dice.near(base, 22)
    return [lit(base, light) for light in (0.66, 0.82, 1.0, 1.18)]


def blob(dice: Dice, u: float, v: float, radius: float, radius_v: float) -> list[Point]:
    """Return a round outline with bumps."""
    bumps = [dice.between(0.82, 1.16) for _ in CIRCLE]
    return [(u + radius * bump * x, v + radius_v * bump * y) for bump, (x, y) in zip(bumps, CIRCLE, strict=True)]


def tree(sketch: Sketch, dice: Dice, low_m: float, high_m: float) -> None:
    """Draw a tree at u = 0, of a height between two: round, tall or a fir."""
    height = dice.between(low_m, high_m)
    plant, shades = sketch.of(Label.VEGETATION), leaves(dice)
    bark = dice.near((96, 74, 56), 24)
    trunk = height * dice.between(0.32, 0.42)
    plant.symmetric(((-0.2, 0.0), (-0.14, trunk + 0.6)), bark)
    plant.shape(((0.06, 0.0), (0.2, 0.0), (0.14, trunk + 0.6), (0.04, trunk + 0.6)), lit(bark, 0.7))
    wide = height * dice.between(0.24, 0.34)
    if dice.chance(0.2):
        for step in range(3):
            low, half = trunk * 0.7 + (height - trunk * 0.7) * step / 3.6, wide * (1 - step * 0.26)
            plant.speckled(((-half, low), (half, low), (0.0, low + height * 0.42)), shades)
        return
    middle, tall = (trunk + height) / 2, (height - trunk) / 2
    plant.speckled(blob(dice, 0.0, middle, wide, tall), shades[:3])
    for _ in range(3):
        u, v = dice.between(-0.5, 0.5) * wide, middle + dice.between(-0.3, 0.5) * tall
        plant.speckled(blob(dice, u, v, wide * 0.55, tall * 0.5), shades[1:])


def bush(sketch: Sketch, dice: Dice, width: float, height: float) -> None:
    """Draw a bush from u = 0 to its width."""
    plant, shades = sketch.of(Label.VEGETATION), leaves(dice)
    count = max(int(width / height + 0.5), 1)
    for part in range(count):
        middle = width * (part + 0.5) / count
        plant.speckled(blob(dice, middle, height * 0.5, width / count * 0.66, height * 0.54), shades[part % 2 :])
