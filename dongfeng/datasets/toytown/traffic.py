"""`Traffic`: places of vehicles, people and furniture in a street, and the order in which they are drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from dongfeng.datasets.toytown.camera import Camera, Sketch
from dongfeng.datasets.toytown.canvas import Label, SceneCanvas
from dongfeng.datasets.toytown.cars import car
from dongfeng.datasets.toytown.dice import Colour, Dice
from dongfeng.datasets.toytown.furniture import street_lamp, traffic_light, traffic_sign
from dongfeng.datasets.toytown.ground import Street
from dongfeng.datasets.toytown.lorries import truck
from dongfeng.datasets.toytown.nature import bush, tree
from dongfeng.datasets.toytown.people import bicycle, motorcycle, person
from dongfeng.datasets.toytown.transit import bus, tram
from dongfeng.datasets.toytown.vehicles import Vehicle, place

_VEHICLES = {"car": car, "truck": truck, "bus": bus, "train": tram}


@dataclass
class Traffic:
    """Collects objects, and draws them from far to near.

    Attributes:
        canvas: Canvas to paint on.
        camera: Camera that sees the street.
        street: The street with its lanes.
        dice: Source of all random choices.
        items: Distance of each object and a function that draws it.
        taken: Parts of lanes that are taken: lane (-1 for all of them), from z, to z.
        boxes: The ground under the objects: from x, to x, from z, to z.
    """

    canvas: SceneCanvas
    camera: Camera
    street: Street
    dice: Dice
    items: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    taken: list[tuple[int, float, float]] = field(default_factory=list)
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)

    def draw(self) -> None:
        """Draw everything."""
        for _, item in sorted(self.items, key=lambda pair: -pair[0]):
            item()

    def farthest(self, pixels: float) -> float:
        """Distance at which a metre is still so many pixels, in a picture 256 high."""
        return self.camera.focal / (pixels * self.camera.unit)

    def drive(self, name: str) -> None:
        """Put a vehicle into a lane, or a large one across the street, where there is room."""
        dice, street = self.dice, self.street
        vehicle = _VEHICLES[name](dice)
        z = dice.between(11.0, 17.0)
        lanes_free = all(end < z - 1.0 or start > z + vehicle.width for _, start, end in self.taken)
        if name != "car" and dice.chance(0.5) and lanes_free:
            x = dice.between(street.left - vehicle.length * 0.55, street.right - vehicle.length * 0.45)
            self._put(vehicle, x, z, True, dice.chance(0.5))
            self.taken.append((-1, z - 1.0, z + 30.0))
            return
        nearest, farthest = (4.6, self.farthest(17)) if name == "car" else (6.5, self.farthest(18))
        for _ in range(8):
            lane, z = dice.whole(0, street.lanes - 1), dice.between(nearest, max(farthest, nearest + 1))
            if name == "train" and street.rails:
                lane = min(range(street.lanes), key=lambda one: abs(street.lane_middle(one) - street.rails[0]))
            if self._free(lane, z - 1.5, z + vehicle.length + 1.0):
                x = street.lane_middle(lane) - vehicle.width / 2 + dice.between(-0.3, 0.3)
                self._put(vehicle, x, z, False, street.lane_middle(lane) > (street.left + street.right) / 2)
                self.taken.append((lane, z, z + vehicle.length))
                return

    def park(self) -> None:
        """Put a car at the edge of the road, half on the pavement, if there is room."""
        dice, left = self.dice, self.dice.chance(0.5)
        vehicle, z = car(dice), dice.between(5.0, self.farthest(17))
        lane = 0 if left else self.street.lanes - 1
        if self._free(lane, z - 0.5, z + vehicle.length + 0.5):
            x = self.street.left - 0.9 if left else self.street.right - vehicle.width + 0.9
            self._put(vehicle, x, z, False, dice.chance(0.75) != left)
            self.taken.append((lane, z, z + vehicle.length))

    def _free(self, lane: int, near: float, far: float) -> bool:
        return all(far < start or near > end for other, start, end in self.taken if other in (lane, -1))

    def _put(self, vehicle: Vehicle, x: float, z: float, across: bool, away: bool) -> None:
        deep, wide = (vehicle.width, vehicle.length) if across else (vehicle.length, vehicle.width)
        self.boxes.append((x, x + wide, z, z + deep))
        self.items.append((z, partial(place, self.canvas, self.camera, vehicle, x, z, across, away)))

    def _in_sight(self, x: float, z: float) -> bool:
        """Whether a place on the ground is neither taken nor hidden by an object."""
        for left, right, near, far in self.boxes:
            slopes = (left / near, left / far, right / near, right / far)
            if near - 0.4 < z and min(slopes) < x / z < max(slopes):
                return False
        return True

    def spot(self, low_pixels: float, on_road: float, width: float) -> Sketch | None:
        """Find an upright plane within sight, on the pavement or, with a probability, on the road; None without one."""
        dice, street, camera = self.dice, self.street, self.camera
        for _ in range(6):
            z = dice.between(4.6, self.farthest(low_pixels))
            if dice.chance(on_road):
                x = dice.between(street.left + 0.4, street.right - 0.6)
            elif dice.chance(0.5):
                x = dice.between(street.houses[0] + 0.7, street.left - 0.2)
            else:
                x = dice.between(street.right + 0.2, street.houses[1] - 0.7)
            reach = camera.size_hw[1] * 0.46 / camera.scale(z)
            middle = (camera.size_hw[1] / 2 - camera.centre) / camera.scale(z)
            x = min(max(x, middle - reach), middle + reach - width)
            if self._in_sight(x, z) and self._in_sight(x + width, z) and self._in_sight(x + width / 2, z):
                self.boxes.append((x - 0.35, x + width + 0.35, z, z + 0.4))
                return Sketch(self.canvas, camera, (x, z), (1.0, 0.0), Label.PERSON)
        return None

    def walk(self) -> None:
        """Put somebody on foot into the street."""
        where = self.spot(25.0, 0.3, 0.3)
        if where is not None:
            self.items.append((where.origin_xz[1], partial(person, where, self.dice)))

    def cycle(self, motor: bool, ridden: bool) -> None:
        """Put a bicycle or motorcycle into the street, with somebody on it or not."""
        dice = self.dice
        where = self.spot(25.0, 0.75 if ridden else 0.25, 1.6)
        if where is None:
            return
        along, back = dice.pick(((1.0, 0.0), (1.0, 0.0), (0.96, 0.28), (0.8, 0.6)))
        if where.origin_xz[0] > 0:  # seen from one end it would be too thin to make out
            back = -back
        where = replace(where, direction_xz=(along, back), mirror=dice.pick((None, 1.9)))
        helmet = dice.paint() if ridden else None
        self.items.append((where.origin_xz[1], partial(self._cycle, where, motor, helmet)))

    def _cycle(self, where: Sketch, motor: bool, helmet: Colour | None) -> None:
        shadow = [where.at(u, 0.0) for u in (0.0, 1.9)]
        drop = 0.1 * self.camera.scale(where.origin_xz[1])
        self.canvas.darken([*shadow, *((x, y + drop) for x, y in shadow[::-1])], 0.6)
        foot = where.of(Label.MOTORCYCLE if motor else Label.BICYCLE, self.canvas.new_instance())
        (motorcycle if motor else bicycle)(foot, self.dice, helmet)

    def furnish(self, name: str) -> None:
        """Put a lamp, traffic light, sign or plant at one of the kerbs."""
        dice, left = self.dice, self.dice.chance(0.5)
        low = {"light": 18.0, "sign": 18.0, "lamp": 16.0, "plant": 9.0}[name]
        z = dice.between(5.5, self.farthest(low))
        edge = dice.between(0.35, 0.9)
        x = self.street.left - edge if left else self.street.right + edge
        where = Sketch(self.canvas, self.camera, (x, z), (1.0, 0.0), Label.POLE)
        inward = 1.0 if left else -1.0
        if name == "light":
            draw = partial(traffic_light, where, dice, inward)
        elif name == "sign":
            draw = partial(traffic_sign, where, dice)
        elif name == "lamp":
            draw = partial(street_lamp, where, dice, inward)
        elif dice.chance(0.7):
            draw = partial(tree, where, dice, 3.6, 6.5)
        else:
            draw = partial(self._bush, where)
        self.items.append((z, draw))

    def _bush(self, where: Sketch) -> None:
        bush(where, self.dice, self.dice.between(0.8, 1.8), self.dice.between(0.8, 1.3))
