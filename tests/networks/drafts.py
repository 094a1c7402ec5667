"""Random small networks: a draft grows layer by layer and keeps count of its shapes by itself."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

from hypothesis import strategies as st

from tests.networks.prototxt import Prototxt

Shape = tuple[int, ...]
MAX_VALUES = 3000  # of one blob


class Draft:
    """A network under construction, drawn by hypothesis.

    Attributes:
        shapes: Shape of every blob, in-place versions under one name.
        inputs: Input blob -> what it holds: "image" (normal), "cont" (0 and 1) or the number of values to index.
    """

    def __init__(self, draw: Callable[[Any], Any], shape: Shape) -> None:
        self._draw = draw
        self.net = Prototxt("random", data=shape)
        self.shapes: dict[str, Shape] = {"data": shape}
        self.inputs: dict[str, str | int] = {"data": "image"}
        self._reads: Counter[str] = Counter()
        self._made: Counter[str] = Counter()

    def choose(self, *options: Any) -> Any:
        return self._draw(st.sampled_from(options))

    def flag(self) -> bool:
        return bool(self._draw(st.booleans()))

    def integer(self, low: int, high: int) -> int:
        return int(self._draw(st.integers(low, high)))

    def axis(self, rank: int) -> tuple[int, int]:
        """An axis as written, which may count from the end, and as it is."""
        axis = self.integer(0, rank - 1)
        return axis - rank if self.flag() else axis, axis

    def some(self, **fields: Any) -> dict[str, Any]:
        """Each field or not."""
        return {name: value for name, value in fields.items() if self.flag()}

    def pick(self, fits: Callable[[Shape], bool] = lambda _: True) -> str:
        """A blob of a fitting shape, of which there must be one; the newest is the simplest choice."""
        found = [blob for blob, shape in reversed(self.shapes.items()) if fits(shape)]
        return str(self.choose(*found[:6]))

    @property
    def newest(self) -> str:
        return next(reversed(self.shapes))

    def fresh(self, kind: str) -> str:
        self._made[kind] += 1
        return f"{kind.lower()}{self._made[kind]}"

    def add(self, kind: str, bottoms: str | Sequence[str], *tops: Shape, **fields: Any) -> str:
        """A layer with a new top for each shape."""
        bottoms = [bottoms] if isinstance(bottoms, str) else list(bottoms)
        name = self.fresh(kind)
        names = [name, *(f"{name}_{index}" for index in range(1, len(tops)))][: len(tops)]
        fields = {key: value for key, value in fields.items() if value}
        self.net.add(kind, name, bottoms, names, **fields)
        self._reads.update(bottoms)
        self.shapes.update(zip(names, tops, strict=True))
        return names[0] if names else ""

    def same(self, kind: str, bottom: str, *, may_overwrite: bool = True, **fields: Any) -> str:
        """A layer whose top has its bottom's shape, in place where that is allowed and drawn."""
        if not may_overwrite or self._reads[bottom] or not self.flag():
            return self.add(kind, bottom, self.shapes[bottom], **fields)
        self.net.in_place(kind, self.fresh(kind), bottom, **{key: value for key, value in fields.items() if value})
        self.shapes[bottom] = self.shapes.pop(bottom)  # the newest blob again
        return bottom

    def input(self, shape: Shape, holds: str | int) -> str:
        """A further input blob."""
        blob = self.fresh("in")
        self.net.add("Input", blob, [], input_param={"shape": {"dim": list(shape)}})
        self.shapes[blob], self.inputs[blob] = shape, holds
        return blob


Family = Callable[[Draft, str, Shape], None]
FAMILIES: list[tuple[Family, Callable[[Shape], bool]]] = []


def family(fits: Callable[[Shape], bool], weight: int = 1) -> Callable[[Family], Family]:
    """Decorator: a way to add a layer behind a blob of a fitting shape; `weight` makes it as much likelier."""

    def add(function: Family) -> Family:
        FAMILIES.extend([(function, fits)] * weight)
        return function

    return add


def image(shape: Shape) -> bool:
    return len(shape) == 4


def rank(least: int, most: int = 5) -> Callable[[Shape], bool]:
    return lambda shape: least <= len(shape) <= most


def fits_in(*shapes: Shape) -> bool:
    """Whether blobs of these shapes are small enough, and none is empty."""
    return all(0 < math.prod(shape) <= MAX_VALUES for shape in shapes)


def family_names() -> list[str]:
    """All registered families."""
    from tests.networks import families, windows  # noqa: F401  importing them registers their families

    return list(dict.fromkeys(function.__name__ for function, _ in FAMILIES))


def grow(draft: Draft, n_layers: int, only: Collection[str] = (), *, behind_newest: bool = False) -> None:
    """Add layers of `n_layers` drawn families to a draft: of those in `only`, or of any."""
    choices = [entry for entry in FAMILIES if not only or entry[0].__name__ in only]
    for _ in range(n_layers):
        function, fits = draft.choose(*choices)
        is_chained = behind_newest and fits(draft.shapes[draft.newest])
        blob = draft.newest if is_chained else draft.pick(fits)  # "data" fits them all
        function(draft, blob, draft.shapes[blob])


@st.composite
def drafts(draw: Callable[[Any], Any], *, around: Collection[str] = (), most: int = 3) -> Draft:
    """A network of one image input, with a layer of the families in `around` between up to `most` others and as many."""
    batch, channels = draw(st.integers(1, 2)), draw(st.integers(1, 6))
    draft = Draft(draw, (batch, channels, draw(st.integers(1, 9)), draw(st.integers(1, 9))))
    grow(draft, draw(st.integers(0, most)))
    grow(draft, 1, around)
    grow(draft, draw(st.integers(0, most)))
    return draft
