"""`Dice`: random draws that are the same everywhere, from the raw bits of PCG64, which NumPy never changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]
T = TypeVar("T")

_BLOCK = 512


class Dice:
    """Random draws of one picture.

    Args:
        seed: Seed of the series, 0 or more.
        index: Number of the picture, 0 or more; each pair gives draws that are independent of all others.
    """

    def __init__(self, seed: int, index: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, index]))
        self._units: Iterator[float] = iter(())

    def unit(self) -> float:
        """Draw a number from 0 to just below 1."""
        for value in self._units:
            return value
        self._units = iter(((self._bits.random_raw(_BLOCK) >> np.uint64(11)).astype(np.float64) * 2.0**-53).tolist())
        return next(self._units)

    def between(self, low: float, high: float) -> float:
        """Draw a number from `low` to `high`."""
        return low + (high - low) * self.unit()

    def whole(self, low: int, high: int) -> int:
        """Draw a whole number from `low` to `high`, both included."""
        return low + int(self.unit() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """Draw whether an event of this probability happens."""
        return self.unit() < probability

    def pick(self, choices: Sequence[T]) -> T:
        """Draw one of the choices."""
        return choices[int(self.unit() * len(choices))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Draw an order of all items."""
        rest = list(items)
        return [rest.pop(int(self.unit() * len(rest))) for _ in range(len(items))]

    def grain(self, *shape: int) -> npt.NDArray[np.uint8]:
        """Draw an array of bytes."""
        count = prod(shape)
        words = self._bits.random_raw((count + 7) // 8)
        return np.asarray(words, "<u8").view(np.uint8)[:count].reshape(shape)

    def near(self, colour: Colour, spread: int) -> Colour:
        """Draw a colour that differs from another by at most `spread`, mostly in brightness."""
        step = self.between(-spread, spread)
        return clipped([channel + step + self.between(-spread / 3, spread / 3) for channel in colour])

    def grey(self, low: int, high: int) -> Colour:
        """Draw a grey with a slight tint."""
        level = self.between(low, high)
        return clipped([level + self.between(-9, 9) for _ in range(3)])

    def usual(self, colours: Sequence[Colour], spread: int, share: float) -> Colour:
        """Draw a colour near one of the usual ones with a probability of `share`, else any paint."""
        return self.near(self.pick(colours), spread) if self.chance(share) else self.paint()

    def paint(self) -> Colour:
        """Draw a colour of paint: grey, white, muted or vivid."""
        if self.chance(0.35):
            return self.grey(35, 235)
        depth = self.between(0.5, 0.85) if self.chance(0.25) else self.between(0.1, 0.55)
        return hue(self.unit() * 6, depth, self.between(60, 235))


def hue(sixth: float, depth: float, value: float) -> Colour:
    """Return a colour by its place on the colour wheel, 0 to 6 (0 red, 2 green, 4 blue), depth and brightness."""
    ramp = [abs((sixth + shift) % 6 - 3) - 1 for shift in (0, 4, 2)]
    return clipped([value * (1 - depth * (1 - min(max(part, 0.0), 1.0))) for part in ramp])


def clipped(channels: Sequence[float]) -> Colour:
    """Return three numbers as a colour."""
    red, green, blue = (int(min(max(channel, 0.0), 255.0)) for channel in channels)
    return red, green, blue


def lit(colour: Colour, light: float) -> Colour:
    """Return a colour under more or less light; 1 leaves it."""
    return clipped([channel * light for channel in colour])


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """Return a colour between two; share 0 is the first."""
    return clipped([a + (b - a) * share for a, b in zip(first, second, strict=True)])
