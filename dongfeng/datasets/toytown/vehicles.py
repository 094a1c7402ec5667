"""`Vehicle` and its place: the long side and the two ends are each drawn on an upright plane."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from dongfeng.datasets.toytown.camera import Camera, Lean, Sketch
from dongfeng.datasets.toytown.canvas import Label, SceneCanvas, ink
from dongfeng.datasets.toytown.dice import Colour, lit

TYRE: Colour = (28, 28, 30)


@dataclass(frozen=True)
class Vehicle:
    """A vehicle before it is placed.

    Attributes:
        label: Its class.
        length, width, height: In metres.
        roof: Colour of its top.
        side: Function that draws the long side; u is 0 at the rear.
        end: Function that draws the rear, or the front where its second argument is true; u goes across.
        belt: Height from which on the planes lean inwards.
        side_slope: Setback of the sides for each metre of height.
        rear_lean, front_lean: Setback of the ends at the belt, and for each metre above it.
    """

    label: Label
    length: float
    width: float
    height: float
    roof: Colour
    side: Callable[[Sketch], None]
    end: Callable[[Sketch, bool], None]
    belt: float = 1.3
    side_slope: float = 0.0
    rear_lean: tuple[float, float] = (0.0, 0.0)
    front_lean: tuple[float, float] = (0.0, 0.0)


def place(canvas: SceneCanvas, camera: Camera, vehicle: Vehicle, x: float, z: float, across: bool, away: bool) -> None:
    """Draw a vehicle whose nearest left corner is at x, z.

    Args:
        canvas: Canvas to paint on.
        camera: Camera that sees the vehicle.
        vehicle: The vehicle.
        x: Metres to the right of the camera.
        z: Metres in front of the camera.
        across: Whether it stands across the street instead of along.
        away: Whether it drives away, or to the right where it stands across.
    """
    deep, wide = (vehicle.width, vehicle.length) if across else (vehicle.length, vehicle.width)
    corners = ((x, z), (x + wide, z), (x + wide, z + deep), (x, z + deep))
    canvas.darken([camera.point(a - 0.15, 0, b - 0.1) for a, b in corners], 0.5)
    instance = canvas.new_instance()
    near = Sketch(canvas, camera, (x, z), (1.0, 0.0), vehicle.label, instance)
    planes = [(near, (0.0, 1.0), not across)]
    if x > 0 or x + wide < 0:  # a camera between its planes sees the near one alone
        turned = replace(near, origin_xz=(x if x > 0 else x + wide, z), direction_xz=(0.0, 1.0), light=0.82)
        planes.insert(0, (turned, (1.0 if x > 0 else -1.0, 0.0), across))
    if camera.height_m > vehicle.height:
        top = ink(vehicle.roof, vehicle.label, instance)
        left, right, near_z, far_z = _roof(vehicle, across, away)
        places = ((x + left, z + near_z), (x + right, z + near_z), (x + right, z + far_z), (x + left, z + far_z))
        canvas.polygon([camera.point(a, vehicle.height - 0.02, b) for a, b in places], top)
    for plane, inward, is_end in planes:
        if is_end:
            front = away == (inward[0] < 0) if across else not away
            step, slope = vehicle.front_lean if front else vehicle.rear_lean
            vehicle.end(replace(plane, lean=Lean(vehicle.belt, step, slope, inward)), front)
        else:
            mirror = None if away else vehicle.length
            vehicle.side(replace(plane, lean=Lean(vehicle.belt, 0.0, vehicle.side_slope, inward), mirror=mirror))


def _roof(vehicle: Vehicle, across: bool, away: bool) -> tuple[float, float, float, float]:
    """Place the roof within the vehicle's outline on the ground: from x, to x, from z, to z."""
    rise = vehicle.height - vehicle.belt
    rear, front = (step + slope * rise for step, slope in (vehicle.rear_lean, vehicle.front_lean))
    start, end = (rear, vehicle.length - front) if away else (front, vehicle.length - rear)
    side = vehicle.side_slope * rise
    if across:
        return start, end, side, vehicle.width - side
    return side, vehicle.width - side, start, end


def wheel(sketch: Sketch, u: float, radius: float, rim: Colour) -> None:
    """Draw a wheel of a car or lorry, on the ground."""
    sketch.disc(u, radius, radius, TYRE)
    sketch.disc(u, radius, radius * 0.58, rim)
    sketch.disc(u, radius, radius * 0.2, lit(rim, 0.5))
