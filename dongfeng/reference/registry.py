"""The registry of the functions that compute Caffe's layer types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dongfeng.errors import ShapeError
from dongfeng.net.graph import Layer

Array = npt.NDArray[np.float32]
AnyArray = npt.NDArray[Any]
Forward = Callable[[Layer, Sequence[Array]], Sequence[AnyArray]]
Count = tuple[int, int | None]  # least and most; None: any number


@dataclass(frozen=True)
class Computation:
    """The forward arithmetic of one layer type, and the numbers of its bottoms and tops."""

    forward: Forward
    bottoms: Count
    tops: Count

    def check_counts(self, layer: Layer, n_bottoms: int) -> None:
        """Refuse a layer whose number of bottoms or tops its type does not allow.

        Raises:
            ShapeError: the number is wrong; the message states the fact only.
        """
        for what, got, (least, most) in (("bottoms", n_bottoms, self.bottoms), ("tops", len(layer.tops), self.tops)):
            if got < least or (most is not None and got > most):
                wanted = str(least) if least == most else f"{least} or more" if most is None else f"{least} to {most}"
                raise ShapeError(f"has {got} {what}, expected {wanted}")


COMPUTATIONS: dict[str, Computation] = {}


def forward_of(*types: str, bottoms: Count = (1, 1), tops: Count = (1, 1)) -> Callable[[Forward], Forward]:
    """Register a function that computes the layers of these types, as a decorator."""

    def add(function: Forward) -> Forward:
        for name in types:
            COMPUTATIONS[name] = Computation(function, bottoms, tops)
        return function

    return add


def supported_types() -> tuple[str, ...]:
    """Return the Caffe type strings that this interpreter computes, sorted."""
    return tuple(sorted(COMPUTATIONS))
