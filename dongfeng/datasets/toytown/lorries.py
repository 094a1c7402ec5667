"""Lorries."""

from __future__ import annotations

from dongfeng.datasets.toytown.camera import Sketch, around
from dongfeng.datasets.toytown.canvas import Label
from dongfeng.datasets.toytown.dice import Colour, Dice, lit
from dongfeng.datasets.toytown.vehicles import TYRE, Vehicle, wheel

_STEEL: Colour = (48, 48, 52)
_CABS: tuple[Colour, ...] = ((196, 64, 54), (236, 236, 230), (74, 112, 176), (232, 190, 70))
_LOADS: tuple[Colour, ...] = ((226, 226, 222), (152, 162, 172), (76, 104, 146), (66, 118, 84))
_HEAP = ((0.3, 0.7), (0.55, 0.45), (0.75, 0.75))  # by the body's length; metres above its edge
_FLOOR = 0.95  # height of the body's floor, in metres


class Lorry:
    """A lorry with random looks: a cab, a gap, and a box, a tank, or an open body with its load."""

    width = 2.45

    def __init__(self, dice: Dice) -> None:
        self._body = dice.pick(("box", "box", "box", "canvas", "tank", "tipper"))
        self.length, self.height = dice.between(6.6, 8.6), dice.between(3.1, 3.7)
        self._cab, self.cargo = dice.usual(_CABS, 28, 0.7), dice.usual(_LOADS, 28, 0.7)
        self._glass, self._load = dice.near((52, 64, 78), 28), dice.near((150, 120, 80), 50)
        self._accent, self._sign = dice.paint(), dice.pick(("plain", "band", "disc", "slash"))
        self._cab_height, self._body_end = dice.between(2.5, 2.9), self.length - dice.between(2.0, 2.3)
        self._rim = dice.grey(110, 200)

    def side(self, sketch: Sketch) -> None:
        """Draw its long side."""
        sketch.box(0.05, 0.5, self.length - 0.1, 0.98, _STEEL)
        {"tank": self._draw_tank, "tipper": self._draw_tipper}.get(self._body, self._draw_box)(sketch)
        rear, front, top = self._body_end, self.length, self._cab_height
        sketch.shape(((rear, 0.5), (front, 0.5), (front, 1.5), (front - 0.25, top), (rear, top)), self._cab)
        low, high, edge = 1.55, top - 0.25, rear + 0.45
        sketch.shape(((edge, low), (front - 0.15, low), (front - 0.36, high), (edge, high)), self._glass)
        sketch.box(rear, 0.5, front, 0.72, lit(self._cab, 0.55))
        sketch.box(rear + 0.3, 0.72, rear + 0.36, top - 0.3, lit(self._cab, 0.7))
        for u in (0.95, 2.05, self.length - 1.05):
            wheel(sketch, u, 0.5, self._rim)

    def end(self, sketch: Sketch, front: bool) -> None:
        """Draw its rear, or its front."""
        for u in (0.08, self.width - 0.56):
            sketch.box(u, 0.0, u + 0.48, 0.9, TYRE)
        sketch.box(0.0, 0.5, self.width, 0.98, _STEEL)
        (self._draw_front if front else self._draw_rear)(sketch)

    def _draw_tank(self, sketch: Sketch) -> None:
        low, end = _FLOOR, self._body_end - 0.25
        sketch.box(0.1, low, end - 0.1, low + 0.25, _STEEL)
        ends = ((0.0, 0.7), (0.25, 0.2), (end - 0.35, 0.2), (end, 0.7))
        sketch.shape([*((u, low + v) for u, v in ends), *((u, self.height - v) for u, v in ends[::-1])], self.cargo)
        sketch.box(0.1, self.height - 1.0, end - 0.1, self.height - 0.75, lit(self.cargo, 1.25))
        for part in (0.25, 0.5, 0.75):
            sketch.box(end * part - 0.06, low + 0.2, end * part + 0.06, self.height - 0.2, lit(self.cargo, 0.7))

    def _draw_tipper(self, sketch: Sketch) -> None:
        low, end = _FLOOR, self._body_end - 0.25
        top = self.height * 0.68
        heap = [(0.2, top - 0.1), *((end * u, top + v) for u, v in _HEAP), (end - 0.2, top - 0.1)]
        sketch.speckled(heap, (self._load, lit(self._load, 0.8), lit(self._load, 1.15)))
        sketch.shape(((-0.1, low), (end, low), (end, top), (-0.2, top)), self.cargo)
        for part in range(1, 5):
            sketch.box(end * part / 5 - 0.09, low, end * part / 5 + 0.09, top, lit(self.cargo, 0.72))

    def _draw_box(self, sketch: Sketch) -> None:
        low, end = _FLOOR, self._body_end - 0.25
        sketch.box(0.0, low, end, self.height, self.cargo)
        sketch.box(0.0, low, end, low + 0.14, lit(self.cargo, 0.55))
        sketch.box(0.0, self.height - 0.1, end, self.height, lit(self.cargo, 0.75))
        if self._body == "canvas":
            for part in range(1, 8):
                sketch.box(end * part / 8 - 0.05, low, end * part / 8 + 0.05, self.height, lit(self.cargo, 0.8))
        elif self._sign == "band":
            sketch.box(0.0, low + 0.7, end, low + 1.25, self._accent)
        elif self._sign == "disc":
            sketch.disc(end / 2, (low + self.height) / 2, 0.72, self._accent)
        elif self._sign == "slash":
            sketch.shape(
                ((end * 0.3, low), (end * 0.5, low), (end * 0.8, self.height), (end * 0.6, self.height)), self._accent
            )

    def _draw_front(self, sketch: Sketch) -> None:
        if self._body in ("box", "canvas"):
            sketch.box(0.0, self._cab_height - 0.3, self.width, self.height, lit(self.cargo, 0.9))
        sketch.symmetric(((0.0, 0.45), (0.0, 1.5), (0.1, self._cab_height)), self._cab, self.width)
        sketch.symmetric(((0.15, 1.5), (0.22, self._cab_height - 0.28)), self._glass, self.width)
        sketch.box(0.35, 0.85, self.width - 0.35, 1.3, (36, 36, 40))
        for u in (0.1, self.width - 0.45):
            sketch.box(u, 0.55, u + 0.35, 0.8, (250, 245, 215))

    def _draw_rear(self, sketch: Sketch) -> None:
        if self._body == "tank":
            middle = (self.height + 0.95) / 2
            sketch.shape(around(self.width / 2, middle, self.width / 2, middle - 0.95), self.cargo)
            sketch.shape(around(self.width / 2, middle, self.width / 3.2, (middle - 0.95) / 1.6), lit(self.cargo, 0.8))
        else:
            top = self.height * 0.68 if self._body == "tipper" else self.height
            sketch.box(0.0, 0.95, self.width, top, self.cargo)
            sketch.box(self.width / 2 - 0.04, 1.0, self.width / 2 + 0.04, top, lit(self.cargo, 0.5))
            for u in (self.width * 0.3, self.width * 0.7):
                sketch.box(u - 0.05, 1.05, u + 0.05, top - 0.1, lit(self.cargo, 0.65))
            for v in (1.5, top - 0.5):
                sketch.box(0.1, v, self.width - 0.1, v + 0.08, lit(self.cargo, 0.7))
        for u in (0.05, self.width - 0.4):
            sketch.box(u, 0.6, u + 0.35, 0.82, (205, 28, 26))
        for step in range(6):
            colour: Colour = (220, 40, 36) if step % 2 else (240, 240, 235)
            sketch.box(self.width * step / 6, 0.83, self.width * (step + 1) / 6, 0.98, colour)


def truck(dice: Dice) -> Vehicle:
    """Choose the looks of a lorry."""
    lorry = Lorry(dice)
    return Vehicle(Label.TRUCK, lorry.length, lorry.width, lorry.height, lit(lorry.cargo, 1.1), lorry.side, lorry.end)
