"""Cars."""

from __future__ import annotations

from dongfeng.datasets.toytown.camera import Sketch
from dongfeng.datasets.toytown.canvas import Label
from dongfeng.datasets.toytown.dice import Colour, Dice, lit
from dongfeng.datasets.toytown.vehicles import TYRE, Vehicle, wheel


def car(dice: Dice) -> Vehicle:
    """Choose the looks of a car: saloon, estate, small car, van or jeep."""
    body = dice.pick(("saloon", "saloon", "estate", "small", "van", "jeep"))
    paint, glass = dice.paint(), dice.near((58, 72, 86), 34)
    length = {"saloon": 4.5, "estate": 4.7, "small": 3.6, "van": 4.9, "jeep": 4.5}[body] * dice.between(0.95, 1.06)
    height = {"saloon": 1.48, "estate": 1.55, "small": 1.55, "van": 2.05, "jeep": 1.85}[body] * dice.between(0.97, 1.06)
    width, belt = dice.between(1.75, 1.95), height * dice.between(0.56, 0.62)
    tail = {"saloon": 0.17, "estate": 0.03, "small": 0.05, "van": 0.02, "jeep": 0.03}[body] * length
    bonnet = {"saloon": 0.27, "estate": 0.26, "small": 0.22, "van": 0.14, "jeep": 0.27}[body] * length
    slope = {"saloon": 0.6, "estate": 0.45, "small": 0.45, "van": 0.5, "jeep": 0.35}[body]
    rim, stripe = dice.grey(120, 210), dice.paint() if dice.chance(0.18) else None
    taxi, inset, rise = dice.chance(0.08), 0.17, height - belt
    radius = 0.36 if body == "jeep" else 0.32

    def side(sketch: Sketch) -> None:
        nose = length - bonnet
        roof = ((tail + slope * 0.5, height), (nose - slope, height))
        lower = [(0.0, 0.25), (length, 0.25), (length, belt * 0.8), (length - 0.15, belt * 0.92), (nose, belt)]
        sketch.shape([*lower, roof[1], roof[0], (tail, belt), (0.05, belt)], paint)
        low, high = belt + 0.02, height - 0.12
        sketch.shape(
            ((tail + 0.2, low), (nose - 0.15, low), (nose - slope - 0.02, high), (tail + slope * 0.5 + 0.1, high)),
            glass,
        )
        middle = (tail + nose) / 2
        sketch.box(middle - 0.06, low, middle + 0.06, high, paint)
        sketch.box(0.0, 0.25, length, 0.38, lit(paint, 0.6))
        sketch.box(0.0, belt - 0.28, 0.18, belt - 0.06, (190, 30, 28))
        sketch.box(length - 0.25, belt - 0.32, length, belt - 0.14, (245, 240, 205))
        if stripe is not None:
            sketch.box(0.1, belt - 0.34, length - 0.3, belt - 0.2, stripe)
        for u in (length * 0.19, length * 0.81):
            sketch.disc(u, radius * 1.05, radius * 1.22, lit(paint, 0.35))
            wheel(sketch, u, radius, rim)

    def end(sketch: Sketch, front: bool) -> None:
        for u in (0.05, width - 0.28):
            sketch.box(u, 0.0, u + 0.23, 0.4, TYRE)
        low, high = belt + 0.03, height - 0.11
        sill = belt + 0.01  # the planes below and above it are joined by the bonnet, or by the lid of the boot
        sketch.symmetric(((0.0, sill), (inset, height)), paint, width)
        sketch.box(0.0, belt - 0.01, width, sill, lit(paint, 1.1))
        sketch.box(0.0, 0.22, width, belt, paint)
        sketch.symmetric(((0.13, low), (inset + 0.06, high)), glass, width)
        sketch.box(0.0, 0.22, width, 0.45, lit(paint, 0.62))
        lamp: Colour = (250, 245, 215) if front else (205, 28, 26)
        for u in (0.04, width - 0.38):
            sketch.box(u, belt - 0.3, u + 0.34, belt - 0.06, lamp)
        sketch.box(width / 2 - 0.3, 0.42, width / 2 + 0.3, 0.58, (235, 235, 225))
        if front:
            sketch.box(0.42, belt - 0.3, width - 0.42, belt - 0.1, (40, 40, 44))
        if taxi:
            sketch.box(width / 2 - 0.3, height, width / 2 + 0.3, height + 0.2, (250, 215, 60))

    rear, front = (tail, slope * 0.5 / rise), (bonnet, slope / rise)
    return Vehicle(Label.CAR, length, width, height, lit(paint, 1.12), side, end, belt, inset / rise, rear, front)
