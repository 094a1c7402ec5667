"""Street furniture: lamps, masts, traffic lights and traffic signs."""

from __future__ import annotations

from dongfeng.datasets.toytown.camera import CIRCLE, Sketch, around
from dongfeng.datasets.toytown.canvas import Label
from dongfeng.datasets.toytown.dice import Colour, Dice, lit

_RED, _BLUE, _YELLOW, _WHITE, _BLACK = (200, 28, 34), (28, 78, 170), (250, 200, 40), (242, 242, 238), (24, 24, 26)


def pole(sketch: Sketch, dice: Dice, height: float, metres: float = 0.2) -> float:
    """Draw a pole at u = 0; return its width."""
    mast, colour = sketch.of(Label.POLE), dice.grey(50, 190)
    width = max(metres, sketch.metres(7.5))
    mast.box(-width / 2, 0.0, width / 2, height, colour)
    mast.box(-width / 2, 0.0, -width / 6, height, lit(colour, 1.25))
    mast.box(width / 5, 0.0, width / 2, height, lit(colour, 0.75))
    if dice.chance(0.5):
        mast.box(-width * 0.75, 0.0, width * 0.75, 0.5, lit(colour, 0.8))
    return width


def street_lamp(sketch: Sketch, dice: Dice, inward: float) -> None:
    """Draw a lamp whose arm reaches over the street; `inward` is -1 or 1."""
    height = dice.between(4.8, 7.0)
    width = pole(sketch, dice, height)
    mast, colour = sketch.of(Label.POLE), dice.grey(60, 170)
    if dice.chance(0.6):
        reach = dice.between(1.0, 1.9) * inward
        mast.bar((0.0, height - width / 3), (reach, height + 0.2), width * 0.9, colour)
        mast.bar((reach * 0.8, height + 0.12), (reach * 1.35, height + 0.22), width * 1.3, lit(colour, 1.2))
    else:
        mast.disc(0.0, height + 0.2, width * 1.5, (250, 240, 205))
        mast.box(-width * 1.2, height + 0.1 + width, width * 1.2, height + 0.3 + width * 1.4, colour)


def traffic_light(sketch: Sketch, dice: Dice, inward: float) -> None:
    """Draw a traffic light on its mast, perhaps with a second one on an arm over the street."""
    height = dice.between(2.5, 3.4)
    wide = max(0.52, sketch.metres(14.0))
    if dice.chance(0.4):
        top = height + wide * 2.1
        width = pole(sketch, dice, top + 0.3)
        reach = inward * dice.between(2.0, 2.8)
        sketch.of(Label.POLE).bar((0.0, top), (reach, top), width, dice.grey(60, 150))
        _lamps(sketch, dice, reach, top - wide * 1.7, wide)
    else:
        pole(sketch, dice, height + 0.2)
    _lamps(sketch, dice, 0.0, height - wide * 1.5, wide)


def _lamps(sketch: Sketch, dice: Dice, u: float, bottom: float, wide: float) -> None:
    box = sketch.of(Label.LIGHT, sketch.canvas.new_instance())
    housing: Colour = dice.pick((_BLACK, (36, 44, 40), (60, 60, 64), (226, 176, 30), (38, 60, 46)))
    tall, on = wide * dice.between(2.25, 2.55), dice.whole(0, 2)
    box.box(u - wide / 2, bottom, u + wide / 2, bottom + tall, housing)
    bright: tuple[Colour, ...] = ((60, 240, 110), (255, 190, 40), (255, 56, 48))
    for place in range(3):
        colour = bright[place] if place == on else lit(bright[place], 0.28)
        box.disc(u, bottom + tall * (place + 0.5) / 3, wide * 0.36, colour)


def traffic_sign(sketch: Sketch, dice: Dice) -> None:
    """Draw one or two traffic signs on a pole."""
    size = max(dice.between(0.62, 0.95), sketch.metres(17.0))
    height = dice.between(2.1, 2.9)
    two = dice.chance(0.35)
    pole(sketch, dice, height + (size * 0.9 if two else 0.0), 0.14)
    _face(sketch, dice, height, size)
    if two:
        _face(sketch, dice, height + size * 1.05, size)


def _face(sketch: Sketch, dice: Dice, v: float, size: float) -> None:
    board, half = sketch.of(Label.SIGN, sketch.canvas.new_instance()), size / 2
    face = dice.pick(("ban", "ban", "warn", "give way", "stop", "blue", "square", "priority", "place"))
    if face == "ban":
        board.disc(0.0, v, half, _RED)
        board.disc(0.0, v, half * 0.68, _WHITE)
        inner = dice.pick(("bar", "number", "none"))
        if inner == "bar":
            board.bar((-half * 0.5, v - half * 0.5), (half * 0.5, v + half * 0.5), half * 0.24, _RED)
        elif inner == "number":
            board.box(-half * 0.4, v - half * 0.35, -half * 0.08, v + half * 0.35, _BLACK)
            board.box(half * 0.08, v - half * 0.35, half * 0.4, v + half * 0.35, _BLACK)
    elif face in ("warn", "give way"):
        turn = 1.0 if face == "warn" else -1.0
        for part, colour in ((1.15, _RED), (0.62, _WHITE)):
            board.symmetric(((-half * part, v - turn * half * part * 0.75), (0.0, v + turn * half * part)), colour)
    elif face == "stop":
        board.shape([(half * 1.05 * x, v + half * 1.05 * y) for x, y in CIRCLE[1::2]], _RED)
        board.box(-half * 0.7, v - half * 0.18, half * 0.7, v + half * 0.18, _WHITE)
    elif face == "blue":
        board.disc(0.0, v, half, _BLUE)
        board.bar((0.0, v - half * 0.6), (0.0, v + half * 0.3), half * 0.3, _WHITE)
        board.symmetric(((-half * 0.45, v + half * 0.15), (0.0, v + half * 0.7)), _WHITE)
    elif face == "square":
        board.box(-half, v - half, half, v + half, dice.pick((_BLUE, _WHITE, _YELLOW)))
        board.shape(around(0.0, v, half * 0.5), dice.pick((_WHITE, _BLACK, _RED)))
    elif face == "priority":
        for part, colour in ((1.15, _WHITE), (0.8, _YELLOW)):
            board.shape([(half * part, v), (0.0, v + half * part), (-half * part, v), (0.0, v - half * part)], colour)
    else:
        _place_name(board, dice, v, half)


def _place_name(board: Sketch, dice: Dice, v: float, half: float) -> None:
    ground: Colour = dice.pick((_YELLOW, _BLUE, (30, 110, 60), _WHITE))
    letters = _BLACK if ground in (_YELLOW, _WHITE) else _WHITE
    board.box(-half * 1.7, v - half * 0.8, half * 1.7, v + half * 0.8, ground)
    for row in (-0.4, 0.15):
        board.box(-half * 1.35, v + half * row, half * dice.between(0.3, 1.35), v + half * (row + 0.25), letters)
