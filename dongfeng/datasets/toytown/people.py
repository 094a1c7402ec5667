"""People, on foot and on two wheels, and the bicycles and motorcycles themselves."""

from __future__ import annotations

from dongfeng.datasets.toytown.camera import Sketch, around
from dongfeng.datasets.toytown.canvas import Label, Point
from dongfeng.datasets.toytown.dice import Colour, Dice, lit

_SKINS: tuple[Colour, ...] = ((242, 206, 178), (224, 176, 140), (190, 138, 100), (140, 96, 66), (96, 64, 46))
_HAIR: tuple[Colour, ...] = ((36, 28, 24), (84, 56, 34), (150, 108, 58), (200, 190, 180), (120, 50, 30), (24, 24, 28))
_BRIGHT: tuple[Colour, ...] = ((240, 204, 60), (238, 126, 48), (84, 206, 120))  # clothes of riders
BLACK: Colour = (26, 26, 28)


class Look:
    """Random colours of a person."""

    def __init__(self, dice: Dice) -> None:
        trousers = ((40, 46, 70), (34, 34, 38), (110, 96, 76), (66, 80, 110))
        self.legs = dice.paint() if dice.chance(0.5) else dice.pick(trousers)
        self.skin, self.hair, self.top = dice.pick(_SKINS), dice.pick(_HAIR), dice.paint()
        self.shoes = dice.grey(25, 90)


def person(sketch: Sketch, dice: Dice) -> None:
    """Draw a person on foot, walking or standing, about u = 0."""
    sketch = sketch.of(Label.PERSON, sketch.canvas.new_instance())
    who, tall = Look(dice), dice.between(1.55, 1.92)
    stride = dice.between(-0.34, 0.34)
    hip, neck, broad = tall * 0.48, tall * 0.82, dice.between(0.21, 0.29)
    skirt = dice.chance(0.22)
    leg = who.skin if skirt else who.legs
    for foot in (stride, -stride):
        u = foot + (0.1 if foot > 0 else -0.1)
        sketch.bar((u / 3, hip), (u, 0.08), 0.21, leg)
        sketch.box(u - 0.12, 0.0, u + 0.18, 0.11, who.shoes)
    sketch.bar((-broad, neck - 0.08), (-broad - 0.13 - stride * 0.3, hip - 0.02), 0.17, lit(who.top, 0.82))
    sketch.bar((broad, neck - 0.08), (broad + 0.13 + stride * 0.3, hip - 0.02), 0.17, lit(who.top, 0.88))
    waist = broad * 0.85
    sketch.symmetric(((-waist, hip - 0.08), (-broad - 0.05, neck - 0.06), (-0.12, neck)), who.top)
    if skirt:
        sketch.symmetric(((-waist - 0.14, hip - 0.42), (-waist, hip)), who.legs)
    elif dice.chance(0.3):
        sketch.box(-waist, hip - 0.25, waist, hip, who.top)
    if dice.chance(0.3):
        sketch.box(-broad - 0.2, hip - 0.12, -broad + 0.1, hip + 0.3, dice.paint())
    _head(sketch, who, neck, dice)


def _head(sketch: Sketch, who: Look, neck: float, dice: Dice) -> None:
    middle = neck + 0.15
    sketch.box(-0.07, neck - 0.04, 0.07, neck + 0.1, lit(who.skin, 0.85))
    if dice.chance(0.3):
        sketch.shape(around(0.0, middle - 0.05, 0.19, 0.24), who.hair)
    sketch.shape(around(0.0, middle, 0.145, 0.175), who.skin)
    cap = [(x, max(y, middle + 0.04)) for x, y in around(0.0, middle + 0.02, 0.165, 0.185)]
    sketch.shape(cap, dice.paint() if dice.chance(0.2) else who.hair)


def bicycle(sketch: Sketch, dice: Dice, helmet: Colour | None = None) -> None:
    """Draw a bicycle from its side, its rear wheel about u = 0.35; with a rider where a helmet is given."""
    paint = dice.paint()
    radius, reach = 0.37, dice.between(1.08, 1.2)
    rear, front = (0.37, radius), (0.37 + reach, radius)
    crank, seat, handle = ((0.37 + reach * part, v) for part, v in ((0.43, 0.33), (0.28, 0.95), (0.86, 1.02)))
    sketch.glass([rear, crank, (front[0] - 0.1, radius), handle, (seat[0], seat[1] - 0.1)])
    tyre = dice.grey(22, 60)
    for hub in (rear, front):
        ring, inner = around(*hub, radius), around(*hub, radius - 0.115)
        sketch.glass(ring)
        sketch.shape([*ring, ring[0], inner[0], *inner[::-1]], tyre)
        sketch.disc(*hub, 0.09, dice.grey(90, 180))
    for start, end in ((rear, crank), (rear, seat), (crank, seat), (crank, handle), (seat, handle), (handle, front)):
        sketch.bar(
            (start[0], min(start[1], 0.86)), (end[0], min(end[1], 0.86)) if end is not front else end, 0.12, paint
        )
    sketch.bar((seat[0], 0.8), seat, 0.1, BLACK)
    sketch.box(seat[0] - 0.17, seat[1] - 0.05, seat[0] + 0.17, seat[1] + 0.07, BLACK)
    sketch.bar((handle[0], 0.8), handle, 0.1, tyre)
    sketch.box(handle[0] - 0.2, handle[1] - 0.05, handle[0] + 0.1, handle[1] + 0.06, BLACK)
    if dice.chance(0.35):
        sketch.box(handle[0] - 0.02, 0.68, handle[0] + 0.42, 0.98, dice.near((150, 110, 70), 40))
    if helmet is not None:
        _rider(sketch, dice, seat, handle, crank, helmet)


def motorcycle(sketch: Sketch, dice: Dice, helmet: Colour | None = None) -> None:
    """Draw a motorcycle or a scooter from its side, its rear wheel about u = 0.35; see `bicycle`."""
    paint, metal = dice.paint(), dice.grey(110, 200)
    scooter = dice.chance(0.35)
    radius = 0.27 if scooter else 0.34
    back, fore = 0.38, 1.62 if scooter else 1.78
    for u in (back, fore):
        sketch.disc(u, radius, radius, (24, 24, 26))
        sketch.disc(u, radius, radius * 0.5, metal)
    if scooter:
        sketch.shape(
            (
                (0.08, 0.42),
                (0.75, 0.28),
                (1.3, 0.28),
                (1.42, 0.95),
                (1.58, 0.95),
                (1.6, 0.3),
                (1.3, 0.18),
                (0.75, 0.18),
            ),
            paint,
        )
        sketch.shape(((0.02, 0.45), (0.8, 0.3), (0.88, 0.78), (0.05, 0.84)), paint)
        seat_v = 0.82
    else:
        sketch.shape(((0.7, 0.22), (1.32, 0.22), (1.38, 0.6), (0.66, 0.6)), (62, 62, 68))
        sketch.disc(1.0, 0.42, 0.17, metal)
        sketch.bar((0.1, 0.4), (1.0, 0.28), 0.14, metal)
        sketch.shape(
            ((0.02, 0.88), (0.25, 0.62), (0.85, 0.5), (1.4, 0.55), (1.5, 0.95), (1.0, 1.0), (0.8, 0.82)), paint
        )
        seat_v = 0.84
    sketch.bar((fore, radius), (1.42, 1.05), 0.14, metal)
    sketch.shape(((1.4, 0.85), (1.68, 0.8), (1.72, 1.02), (1.46, 1.12)), paint)
    sketch.disc(1.68, 0.93, 0.12, (250, 240, 200))
    sketch.bar((1.5, 1.06), (1.22, 1.14), 0.11, BLACK)
    sketch.shape(((0.12, seat_v - 0.02), (0.85, seat_v - 0.06), (0.85, seat_v + 0.08), (0.08, seat_v + 0.12)), BLACK)
    sketch.box(-0.02, seat_v - 0.12, 0.1, seat_v, (210, 30, 28))
    if helmet is not None:
        _rider(sketch, dice, (0.6, seat_v + 0.06), (1.3, 1.14), (1.0, 0.34), helmet)


def _rider(sketch: Sketch, dice: Dice, seat: Point, handle: Point, foot: Point, helmet: Colour) -> None:
    """Draw the rider of a bicycle or motorcycle."""
    who = Look(dice)
    if dice.chance(0.5):
        who.top = dice.near(dice.pick(_BRIGHT), 30)
    body = sketch.of(Label.RIDER, sketch.canvas.new_instance())
    lean = dice.between(0.12, 0.34)
    shoulder = (seat[0] + lean, seat[1] + 0.58)
    knee = (seat[0] + 0.46, seat[1] - 0.14)
    for shift, light in ((0.16, 0.8), (0.0, 1.0)):
        bent = (knee[0] - shift * 0.6, knee[1] - shift * 0.7)
        body.bar((seat[0], seat[1] + 0.06), bent, 0.23, lit(who.legs, light))
        body.bar(bent, (foot[0] - shift, foot[1] - 0.04), 0.18, lit(who.legs, light))
        body.box(foot[0] - shift - 0.1, foot[1] - 0.14, foot[0] - shift + 0.18, foot[1], who.shoes)
    body.bar((seat[0] - 0.02, seat[1] + 0.02), shoulder, 0.44, who.top)
    body.disc(shoulder[0], shoulder[1] - 0.05, 0.23, who.top)
    elbow = ((shoulder[0] + handle[0]) / 2 + 0.03, (shoulder[1] + handle[1]) / 2 - 0.12)
    body.bar((shoulder[0] + 0.05, shoulder[1] - 0.1), elbow, 0.17, lit(who.top, 0.85))
    body.bar(elbow, (handle[0], handle[1] + 0.05), 0.15, who.skin if dice.chance(0.4) else lit(who.top, 0.85))
    head = (shoulder[0] + 0.12, shoulder[1] + 0.28)
    body.shape(around(*head, 0.16, 0.19), who.skin)
    body.shape([(x, max(y, head[1] + 0.01)) for x, y in around(head[0] - 0.01, head[1] + 0.02, 0.2, 0.21)], helmet)
    if dice.chance(0.3):
        body.box(shoulder[0] - 0.5, seat[1] + 0.18, shoulder[0] - 0.2, shoulder[1] - 0.02, dice.paint())
