"""The sides and the end of a street: houses, gardens behind walls and fences, and parks."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dongfeng.datasets.toytown.camera import Camera, Sketch
from dongfeng.datasets.toytown.canvas import Label, SceneCanvas, ink
from dongfeng.datasets.toytown.dice import Dice, lit
from dongfeng.datasets.toytown.fronts import Fence, House, Plane, Wall
from dongfeng.datasets.toytown.ground import Side, Street
from dongfeng.datasets.toytown.nature import bush, tree

END_M = 34.0  # length of the street


def lay_out(dice: Dice, camera: Camera) -> Street:
    """Choose the width of a street, its sides and its crossings."""
    lanes = dice.pick((2, 2, 2, 3, 4))
    width = lanes * dice.between(2.9, 3.5) + dice.pick((0.0, 0.0, 2.2))
    middle = dice.between(-1.8, 1.8) + (1.6 if dice.chance(0.3) else 0.0)
    sides = tuple(
        Side(
            dice.between(1.3, 2.3) if dice.chance(0.35) else 0.0,
            dice.between(2.1, 3.8),
            dice.between(1.5, 4.0) if dice.chance(0.45) else 0.0,
        )
        for _ in range(2)
    )
    crossings = (dice.between(4.5, 11.0),) if dice.chance(0.3) else ()
    return Street(middle - width / 2, middle + width / 2, (sides[0], sides[1]), (), crossings, lanes)


def close_view(canvas: SceneCanvas, camera: Camera, street: Street, dice: Dice) -> None:
    """Draw the houses and trees across the end of the street."""
    left, right = street.houses
    place = left - 22.0
    while place < right + 22.0:
        width = dice.between(6.0, 11.0)
        if dice.chance(0.55):
            _gable(canvas, camera, House(dice), Plane(False, END_M, place, place + width), 1.0)
        else:
            plants = Sketch(canvas, camera, (place + width / 2, END_M), (1.0, 0.0), Label.VEGETATION)
            tree(plants, dice, 7.0, 13.0)
            bush(replace(plants, origin_xz=(place, END_M)), dice, width, dice.between(2.0, 3.5))
        place += width


def _gable(canvas: SceneCanvas, camera: Camera, home: House, plane: Plane, light: float) -> None:
    """Draw a front across the street with its roof."""
    home.paint(canvas, camera, plane, light)
    middle, low = (plane.start + plane.end) / 2, home.height - 0.02
    rise = (plane.end - plane.start) * 0.3
    outline = [(plane.start - 0.3, low), (plane.end + 0.3, low), (middle + 0.8, low + rise), (middle - 0.8, low + rise)]
    points = [camera.point(x, y, plane.where) for x, y in outline]
    canvas.polygon(points, ink(lit(home.roof, light), Label.BUILDING))


@dataclass(frozen=True)
class Row:
    """One side of the street.

    Attributes:
        left: Whether it is the left side.
        x: Place of its fronts.
    """

    left: bool
    x: float

    def out(self, metres: float) -> float:
        """Return the place so far behind the fronts."""
        return self.x - metres if self.left else self.x + metres

    def across(self, z: float, metres: float) -> Plane:
        """Return a plane across the street, from the fronts outwards."""
        return Plane(False, z, *sorted((self.x, self.out(metres))))


def line_street(canvas: SceneCanvas, camera: Camera, street: Street, dice: Dice) -> None:
    """Draw both rows of five plots from the far end to the near one."""
    plots = [[dice.pick(("house", "house", "wall", "fence", "park")) for _ in range(5)] for _ in range(2)]
    sun = dice.between(0.72, 1.12)  # light of the left fronts; the right ones get the rest of 1.84
    for left, x, row_plots in zip((True, False), street.houses, plots, strict=True):
        light = sun if left else 1.84 - sun
        edges = [1.2]
        while len(edges) <= len(row_plots):
            edges.append(edges[-1] + dice.between(3.2, 5.6) * (1.0 if len(edges) < 3 else 1.5))
        edges[-1] = max(edges[-1], END_M)
        for plot, near, far in reversed(list(zip(row_plots, edges, edges[1:], strict=False))):
            _plot(canvas, camera, Row(left, x), plot, near, far, dice, light)


def _plot(
    canvas: SceneCanvas, camera: Camera, row: Row, plot: str, near: float, far: float, dice: Dice, light: float
) -> None:
    front = Plane(True, row.x, near, far)
    if plot == "house":
        home = House(dice)
        _roof(canvas, camera, row, home, near, far)
        home.paint(canvas, camera, front, light)
        home.paint(canvas, camera, row.across(near, 9.0), 0.9)
        return
    _garden(canvas, camera, row, near, far, dice)
    if plot == "park":
        return
    border = Wall(dice) if plot == "wall" else Fence(dice)
    border.paint(canvas, camera, front, light)
    if dice.chance(0.6):
        border.paint(canvas, camera, row.across(near, 12.0), 0.95)


def _roof(canvas: SceneCanvas, camera: Camera, row: Row, home: House, near: float, far: float) -> None:
    low, ridge = home.height - 0.05, home.height + 2.2
    corners = [(row.x, low, near), (row.x, low, far), (row.out(3.0), ridge, far), (row.out(3.0), ridge, near)]
    canvas.polygon([camera.point(*corner) for corner in corners], ink(home.roof, Label.BUILDING))
    gable = [(row.x, low, near), (row.out(3.0), ridge, near), (row.out(9.0), low, near)]
    canvas.polygon([camera.point(*corner) for corner in gable], ink(lit(home.roof, 0.8), Label.BUILDING))


def _garden(canvas: SceneCanvas, camera: Camera, row: Row, near: float, far: float, dice: Dice) -> None:
    """Draw trees and bushes behind the line of the fronts, the far ones first; perhaps a house behind them."""
    if dice.chance(0.5):
        _gable(canvas, camera, House(dice, 4.5, 9.0), row.across(far - 0.1, 14.0), 0.95)
    for z in sorted((dice.between(near, far) for _ in range(dice.whole(2, 4))), reverse=True):
        place = row.out(dice.between(1.2, 5.0))
        plants = Sketch(canvas, camera, (place, z + 0.6), (1.0, 0.0), Label.VEGETATION)
        if dice.chance(0.55):
            tree(plants, dice, 4.0, 8.5)
        else:
            bush(plants, dice, dice.between(1.2, 3.0), dice.between(0.9, 1.7))
