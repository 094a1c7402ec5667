"""`Layer`, one node of a `Net`, as plain immutable data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dongfeng.caffe.message import Message, message

Array = npt.NDArray[np.float32]
Shape = tuple[int | None, ...]  # None: a dynamic dimension


def frozen(values: npt.NDArray[Any]) -> Array:
    """Return the values as a layer keeps its blobs: float32, contiguous, read-only; the given array stays as it is."""
    array = np.asarray(values, dtype=np.float32, order="C").view()
    array.flags.writeable = False
    return array


def show(shape: Shape) -> str:
    """Write a shape as people do: `1x3x?x?`; a blob without axes is `scalar`."""
    return "x".join("?" if dim is None else str(dim) for dim in shape) or "scalar"


def fits(shape: Shape, other: Shape) -> bool:
    """Return whether two shapes have as many axes and no known dimensions that differ."""
    return len(shape) == len(other) and all(
        a == b for a, b in zip(shape, other, strict=True) if a is not None and b is not None
    )


@dataclass(frozen=True, eq=False)
class Layer:
    """One Caffe layer.

    Attributes:
        name: The layer's name; weights are found by it.
        type: Caffe's type string, such as "Convolution".
        bottoms: Blobs read, in order.
        tops: Blobs written, in order; each blob of a net has exactly one producer.
        params: The set fields of Caffe's `LayerParameter` (convolution_param, param, ...) other than name, type,
            bottom, top, blobs and the phase rules.
        blobs: Weights, float32 and read-only, in Caffe's order; empty where none are loaded.
        line: Line of the prototxt the layer begins at, where there is one.
        file: The prototxt, where there is one.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    params: Message = field(default_factory=lambda: message("LayerParameter"))
    blobs: tuple[Array, ...] = ()
    line: int | None = None
    file: str | None = None

    @property
    def where(self) -> str:
        """The layer's place in an error message: `net.prototxt:412: layer "pool5" (Pooling)`."""
        return self.at(self.line)

    def at(self, line: int | None) -> str:
        """Return a place in the layer for an error message, as `where` does for its first line."""
        place = ":".join(str(part) for part in (self.file, line) if part is not None)
        return f'{place}: layer "{self.name}" ({self.type})' if place else f'layer "{self.name}" ({self.type})'

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Layer):
            return NotImplemented
        mine = (self.name, self.type, self.bottoms, self.tops, self.params)
        theirs = (other.name, other.type, other.bottoms, other.tops, other.params)
        return (
            mine == theirs
            and len(self.blobs) == len(other.blobs)
            and all(np.array_equal(a, b, equal_nan=True) for a, b in zip(self.blobs, other.blobs, strict=True))
        )

    def __hash__(self) -> int:
        return hash((self.name, self.type, self.bottoms, self.tops))

    def __repr__(self) -> str:
        blobs = ", ".join(show(blob.shape) for blob in self.blobs)
        weights = f", blobs [{blobs}]" if blobs else ""
        return f"Layer({self.name!r}, {self.type}, {list(self.bottoms)} -> {list(self.tops)}{weights})"
