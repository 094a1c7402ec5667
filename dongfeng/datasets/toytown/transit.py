"""Buses and trams."""

from __future__ import annotations

from dongfeng.datasets.toytown.camera import Sketch
from dongfeng.datasets.toytown.canvas import Label
from dongfeng.datasets.toytown.dice import Colour, Dice, lit, mixed
from dongfeng.datasets.toytown.vehicles import TYRE, Vehicle, wheel

_DARK: Colour = (38, 38, 42)
_BUSES: tuple[Colour, ...] = ((206, 62, 52), (236, 176, 56), (224, 124, 50), (228, 224, 214))
_TRAMS: tuple[Colour, ...] = ((62, 96, 166), (56, 138, 140), (232, 222, 190), (78, 132, 92))


def bus(dice: Dice) -> Vehicle:
    """Choose the looks of a bus: one long box with a row of windows, doors, wheels and a destination board."""
    length, width, double = dice.between(9.0, 11.5), 2.5, dice.chance(0.22)
    height = dice.between(4.0, 4.3) if double else dice.between(2.95, 3.25)
    paint = dice.usual(_BUSES, 32, 0.75)
    accent, glass = dice.paint(), dice.near((48, 60, 74), 28)
    board: Colour = dice.pick(((255, 176, 30), (255, 205, 70), (245, 245, 235)))
    windows, skirt = dice.whole(6, 8), dice.chance(0.6)
    rim = dice.grey(110, 200)
    rows = (1.35, 2.75) if double else (1.35,)

    def side(sketch: Sketch) -> None:
        sketch.box(0.0, 0.32, length, height, paint)
        if skirt:
            sketch.box(0.0, 0.32, length, 0.95, accent)
        sketch.box(0.0, height - 0.22, length, height, lit(accent if skirt else paint, 0.85))
        pitch = (length - 0.5) / windows
        for low in rows:
            sketch.box(0.2, low - 0.05, length - 0.05, low + 1.1, lit(glass, 0.72))
            for part in range(windows):
                sketch.box(0.3 + pitch * part, low, 0.3 + pitch * (part + 1) - 0.16, low + 1.0, glass)
        for u in (length * 0.42, length - 1.5):
            sketch.box(u, 0.4, u + 1.15, 2.4, lit(accent, 0.6))
            for step in (0.06, 0.61):
                sketch.box(u + step, 0.6, u + step + 0.47, 2.3, lit(glass, 1.15))
        for u in (length * 0.24, length - 2.4):
            sketch.disc(u, 0.5, 0.62, (26, 26, 28))
            wheel(sketch, u, 0.48, rim)

    def end(sketch: Sketch, front: bool) -> None:
        for u in (0.1, width - 0.5):
            sketch.box(u, 0.0, u + 0.4, 0.6, TYRE)
        sketch.symmetric(((0.0, 0.32), (0.0, height - 0.15), (0.15, height)), paint, width)
        if skirt:
            sketch.box(0.0, 0.32, width, 0.95, accent)
        for low in rows:
            top = low + (1.25 if front else 0.95)
            sketch.box(0.14, low - (0.2 if front else 0.0), width - 0.14, min(top, height - 0.5), glass)
        sketch.box(0.35, height - 0.45, width - 0.35, height - 0.12, (18, 18, 20))
        sketch.box(0.55, height - 0.37, width - 0.55, height - 0.2, board)
        lamp: Colour = (250, 245, 215) if front else (205, 28, 26)
        for u in (0.06, width - 0.42):
            sketch.box(u, 0.62, u + 0.36, 0.9, lamp)
        if front:
            for u in (-0.18, width):
                sketch.box(u, 1.9, u + 0.18, 2.45, (24, 24, 26))

    return Vehicle(Label.BUS, length, width, height, lit(paint, 1.1), side, end)


def tram(dice: Dice) -> Vehicle:
    """Choose the looks of a tram: parts joined by bellows, no wheels in sight, a rounded front and a pantograph."""
    parts = dice.whole(2, 3)
    length, width, height = parts * dice.between(5.6, 6.6), 2.5, dice.between(3.3, 3.6)
    paint, accent, glass = dice.usual(_TRAMS, 32, 0.75), dice.paint(), dice.near((46, 56, 70), 24)
    part_length = length / parts
    stripe = mixed(accent, (250, 250, 245), 0.25)

    def side(sketch: Sketch) -> None:
        _pantograph(sketch, length / 2, height)
        sketch.symmetric(((0.0, 0.12), (0.0, 1.3), (0.5, height)), paint, length)
        sketch.box(0.0, 0.12, length, 0.55, _DARK)
        sketch.box(0.03, 0.85, length - 0.03, 1.15, stripe)
        sketch.box(0.45, height - 0.35, length - 0.45, height, accent)
        for part in range(parts):
            start = part_length * part
            sketch.box(start + 0.45, 1.4, start + part_length - 0.45, 2.75, glass)
            for step in (0.3, 0.68):
                u = start + part_length * step
                sketch.box(u - 0.5, 0.4, u + 0.5, 2.85, lit(accent, 0.8))
                sketch.box(u - 0.4, 0.95, u - 0.05, 2.6, lit(glass, 1.3))
                sketch.box(u + 0.05, 0.95, u + 0.4, 2.6, lit(glass, 1.3))
            if part:
                sketch.box(start - 0.35, 0.12, start + 0.35, height - 0.05, _DARK)
                for fold in (-0.2, 0.0, 0.2):
                    sketch.box(start + fold - 0.04, 0.15, start + fold + 0.04, height - 0.1, (78, 78, 82))

    def end(sketch: Sketch, front: bool) -> None:
        if not front:
            _pantograph(sketch, width / 2, height)
        sketch.symmetric(((0.0, 0.12), (0.0, 2.9), (0.25, height)), paint, width)
        sketch.box(0.0, 0.12, width, 0.5, _DARK)
        sketch.symmetric(((0.14, 1.2), (0.2, 2.65)), glass, width)
        sketch.box(0.02, 0.75, width - 0.02, 1.0, stripe)
        sketch.box(0.75, 2.8, width - 0.75, 3.1, (255, 190, 50))
        lamp: Colour = (250, 245, 215) if front else (205, 28, 26)
        sketch.disc(width / 2, 1.02, 0.2, lamp)
        for u in (0.35, width - 0.35):
            sketch.disc(u, 0.8, 0.19, lamp)

    taper = (0.0, 0.5 / (height - 1.3))
    return Vehicle(Label.TRAIN, length, width, height, lit(paint, 1.1), side, end, 1.3, 0.0, taper, taper)


def _pantograph(sketch: Sketch, u: float, height: float) -> None:
    """Draw the pantograph on the roof."""
    elbow = (u + 0.5, height + 0.75)
    sketch.bar((u - 0.7, height + 0.1), elbow, 0.22, _DARK)
    sketch.bar(elbow, (u - 0.3, height + 1.4), 0.22, _DARK)
    sketch.box(u - 0.9, height + 1.32, u + 0.4, height + 1.54, _DARK)
    sketch.box(u - 1.3, height, u + 1.3, height + 0.2, _DARK)
