"""The Caffe layers that ncnn layers are converted into, and the arithmetic that the conversions share.

ncnn's blobs have no batch axis, so its axis a is Caffe's axis a + 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from dongfeng.errors import UnsupportedLayer
from dongfeng.formats.ncnn.param import Params
from dongfeng.layers.layer import Shape


class Part(NamedTuple):
    """One Caffe layer: its type, the suffix of its name, and its parameters."""

    type: str
    suffix: str = ""
    params: Mapping[str, Any] = MappingProxyType({})


class Bottoms(NamedTuple):
    """The bottoms of an ncnn layer, and the number of its tops.

    Attributes:
        shapes: Caffe's shapes of the bottoms, None where a size is dynamic.
        rank: Number of their axes in ncnn: a pooled vector has one there, four in Caffe.
        n_tops: Number of the layer's tops.
    """

    shapes: Sequence[Shape]
    rank: int
    n_tops: int

    @property
    def channels(self) -> int | None:
        """Channels of the first bottom."""
        return self.shapes[0][1]


# The first part goes from the layer's bottoms to its tops, the others work in place on the top.
Converter = Callable[[Params, Bottoms], list[Part]]


class DynamicSize(UnsupportedLayer):
    """The layer's computation depends on a dynamic size."""

    def __init__(self, what: str) -> None:
        super().__init__([f"{what} depends on a dynamic size; give the Input its w, h and c"])


def unsupported(problem: str) -> UnsupportedLayer:
    """Return the error for one thing that Caffe's layers cannot express."""
    return UnsupportedLayer([problem])


def require_equal(what: str, got: int, expected: int | None) -> None:
    """Refuse a number that contradicts the layer's bottom; None expects nothing."""
    if expected is not None and got != expected:
        raise unsupported(f"{what} is {got}, its bottom wants {expected}")


def require_float_weights(int8_scale_term: int) -> None:
    """Refuse a layer that ncnn2int8 has quantised."""
    if int8_scale_term:
        raise unsupported("int8 weights; take the network as it was before ncnn2int8")


def caffe_axis(axis: int, bottoms: Bottoms) -> int:
    """Return Caffe's number of an ncnn axis."""
    if not -bottoms.rank <= axis < bottoms.rank:
        raise unsupported(f"axis {axis} of a blob with {bottoms.rank} axes")
    return axis % bottoms.rank + 1


def by_side(name: str, sides: tuple[int, int], *, square: str | None = None) -> dict[str, int]:
    """Return a window's fields for (height, width): `square` (or `name`) if equal, else `name`_h and `name`_w."""
    height, width = sides
    return {square or name: height} if height == width else {f"{name}_h": height, f"{name}_w": width}


def symmetric(left: int, right: int, top: int, bottom: int) -> tuple[int, int]:
    """Return padding as (height, width), which Caffe has alike on both sides."""
    if left != right or top != bottom or min(left, top) < 0:
        raise unsupported(
            f"padding left {left}, right {right}, top {top}, bottom {bottom}; Caffe pads both sides alike"
        )
    return top, left


def same_padding(
    kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int] = (1, 1)
) -> tuple[int, int]:
    """Return the padding (height, width) that keeps the size."""
    spans = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if stride != (1, 1) or any(span % 2 for span in spans):
        raise unsupported("padding SAME with a stride or an even kernel; it is not alike on both sides, as Caffe's is")
    return spans[0] // 2, spans[1] // 2


def relu(suffix: str, slope: float) -> Part:
    """Return a ReLU, leaky where `slope` is not 0."""
    return Part("ReLU", suffix, {"relu_param": {"negative_slope": slope}} if slope else {})


def activation(p: Params) -> list[Part]:
    """Return the activation that ncnn's optimiser has put into a layer with weights (parameters 9 and 10)."""
    number, values = p.integer(9, 0), p.reals(10)
    if number == 0:
        return []
    if number == 1:
        return [relu("/relu", 0.0)]
    if number == 2 and len(values) == 1:
        return [relu("/relu", values[0])]
    names = {2: "leaky ReLU", 3: "clip", 4: "sigmoid", 5: "mish", 6: "hard swish"}
    raise unsupported(f"activation_type {number} ({names.get(number, 'unknown')}) with parameters {list(values)}")
