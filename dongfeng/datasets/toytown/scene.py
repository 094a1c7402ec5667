"""`draw_scene`: a whole scene, composed and painted from far to near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
import numpy.typing as npt

from dongfeng.datasets.toytown.camera import Camera
from dongfeng.datasets.toytown.canvas import Label, SceneCanvas
from dongfeng.datasets.toytown.dice import Dice
from dongfeng.datasets.toytown.ground import Street, paint_ground
from dongfeng.datasets.toytown.light import photograph
from dongfeng.datasets.toytown.nature import Sky, paint_sky, sky
from dongfeng.datasets.toytown.street import close_view, lay_out, line_street
from dongfeng.datasets.toytown.traffic import Traffic
from dongfeng.errors import DongfengError

SMALLEST_HW = (64, 128)


@dataclass(frozen=True)
class Scene:
    """A synthetic street scene.

    Attributes:
        image_bgr: (H, W, 3) uint8.
        labels: (H, W) uint8, train ids 0..18 and nothing else.
        instances: (H, W) uint16, number of the object that a pixel belongs to; 0 where objects are not counted.
    """

    image_bgr: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    instances: npt.NDArray[np.uint16]


def draw_scene(seed: int, index: int, size_hw: tuple[int, int] = (256, 512)) -> Scene:
    """Draw a street scene; the same arguments give the same bytes everywhere.

    Args:
        seed: Seed of the series, 0 or more.
        index: Number of the scene in its series, 0 or more.
        size_hw: Height and width in pixels, at least 64 x 128.

    Returns:
        The scene: an image and its exact labels, painted from the same outlines.

    Raises:
        DongfengError: a number is negative, or the size is too small.

    Example:
        >>> scene = draw_scene(seed=0, index=3, size_hw=(64, 128))
        >>> scene.image_bgr.shape, int(scene.labels.max()) <= 18
        ((64, 128, 3), True)
    """
    _check(seed, index, size_hw)
    dice = Dice(seed, index)
    canvas = SceneCanvas(dice.grain(*size_hw))
    camera = _camera(dice, size_hw)
    above = sky(dice)
    street = lay_out(dice, camera)
    guests = _guests(dice)
    if "train" in guests:
        street = replace(street, rails=(street.lane_middle(dice.whole(0, street.lanes - 1)),))
    paint_sky(canvas, camera, above, dice)
    close_view(canvas, camera, street, dice)
    paint_ground(canvas, camera, street, dice)
    line_street(canvas, camera, street, dice)
    _cast_shadows(canvas, camera, street, above, dice)
    traffic = Traffic(canvas, camera, street, dice)
    _invite(traffic, guests, dice)
    traffic.draw()
    return Scene(photograph(canvas.image_bgr(), dice, above.night), canvas.labels(), canvas.instances())


class Toytown(Sequence[Scene]):
    """A series of scenes, drawn when they are asked for.

    Args:
        count: Number of scenes.
        size_hw: Height and width of each in pixels.
        seed: Seed of the series, 0 or more.
    """

    def __init__(self, count: int, size_hw: tuple[int, int] = (256, 512), seed: int = 0) -> None:
        if count < 0:
            raise DongfengError(f"toytown: count {count}; expected 0 or more")
        _check(seed, 0, size_hw)
        self._count, self.size_hw, self.seed = count, size_hw, seed

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Scene: ...

    @overload
    def __getitem__(self, index: slice) -> list[Scene]: ...

    def __getitem__(self, index: int | slice) -> Scene | list[Scene]:
        """Draw the scene of an index, or a list of several."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self._count))]
        place = index + self._count if index < 0 else index
        if not 0 <= place < self._count:
            raise IndexError(f"scene {index} of {self._count}")
        return draw_scene(self.seed, place, self.size_hw)


def _check(seed: int, index: int, size_hw: tuple[int, int]) -> None:
    if seed < 0 or index < 0:
        raise DongfengError(f"toytown: seed {seed}, index {index}; expected 0 or more")
    if size_hw[0] < SMALLEST_HW[0] or size_hw[1] < SMALLEST_HW[1]:
        raise DongfengError(f"toytown: size {size_hw[0]}x{size_hw[1]}; expected at least 64x128")


def _camera(dice: Dice, size_hw: tuple[int, int]) -> Camera:
    """Choose a camera."""
    height, width = size_hw
    return Camera(
        size_hw,
        focal=height * dice.between(0.95, 1.25),
        centre=width * dice.between(0.4, 0.6),
        horizon=height * dice.between(0.4, 0.52),
        height_m=dice.between(1.5, 2.5),
        roll=dice.between(-0.03, 0.03),
    )


def _guests(dice: Dice) -> dict[str, int]:
    """Choose the number of vehicles and people by name; seldom all of the large vehicles, which have no room."""
    guests = dict.fromkeys(dice.shuffled(("train", "bus", "truck"))[: dice.pick((1, 2, 2, 3))], 1)
    guests["car"] = dice.whole(1, 3)
    guests["parked"] = dice.whole(0, 2)
    guests["person"] = dice.whole(1, 3)
    return guests


def _cast_shadows(canvas: SceneCanvas, camera: Camera, street: Street, above: Sky, dice: Dice) -> None:
    """Cast shadows of houses and trees on the ground, where the sun shines."""
    if not above.sunny:
        return
    ground = (Label.ROAD, Label.SIDEWALK, Label.TERRAIN)
    light, skew = dice.between(0.5, 0.72), dice.between(-4, 4)
    left, right = street.houses
    from_left = dice.chance(0.5)
    start = left if from_left else right
    place = dice.between(1.0, 6.0)
    for _ in range(dice.whole(1, 4)):
        depth, reach = dice.between(1.0, 6.0), dice.between(2.0, right - left) * (1 if from_left else -1)
        end = start + reach
        corners = ((start, place), (end, place + skew), (end, place + depth + skew), (start, place + depth))
        canvas.darken([camera.point(x, 0.0, max(z, 1.0)) for x, z in corners], light, ground)
        place += depth + dice.between(1.5, 6.0)


def _invite(traffic: Traffic, guests: dict[str, int], dice: Dice) -> None:
    """Put everybody and everything into the street; large vehicles first, since they need most room."""
    for name in ("train", *dice.shuffled(("bus", "truck")), "car"):
        for _ in range(guests.get(name, 0)):
            traffic.drive(name)
    for _ in range(guests["parked"]):
        traffic.park()
    for _ in range(guests["person"]):
        traffic.walk()
    for motor in (False, True):
        for ridden, probability in ((True, 0.55), (False, 0.35)):
            if dice.chance(probability):
                traffic.cycle(motor, ridden)
    for name, most in (("light", 2), ("sign", 3), ("lamp", 2), ("plant", 2)):
        for _ in range(dice.whole(0 if name == "plant" else 1, most)):
            traffic.furnish(name)
