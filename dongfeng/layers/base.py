"""`LayerType`, the base of all layer types, and the registry by Caffe's type string."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import ClassVar, TypeVar

from dongfeng.caffe.message import Message, message
from dongfeng.errors import ShapeError, UnsupportedLayer
from dongfeng.layers.advice import advice_on
from dongfeng.layers.layer import Array, Layer, Shape, fits, show
from dongfeng.layers.onnx_graph import OnnxGraph


class LayerType(ABC):
    """One Caffe layer type: its output shapes, its cost, its ONNX nodes.

    An instance belongs to one layer. `__init__` reads and checks the parameters. Errors state the fact only; the caller
    adds the layer's place.
    """

    params_field: ClassVar[str | None] = None  # the type's own message in LayerParameter
    min_bottoms: ClassVar[int] = 1
    max_bottoms: ClassVar[int | None] = 1
    min_tops: ClassVar[int] = 1
    max_tops: ClassVar[int | None] = 1
    refused: ClassVar[str] = ""  # the refused parameters and why, for docs/layers.md
    param: Message  # the layer's message of `params_field`, where the type has one

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        if self.params_field is not None:
            self.param = getattr(layer.params, self.params_field)
        _check_count("bottoms", len(layer.bottoms), self.min_bottoms, self.max_bottoms)
        _check_count("tops", len(layer.tops), self.min_tops, self.max_tops)

    @abstractmethod
    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        """Infer the shape of each top; a dimension that depends on a dynamic one is None."""

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        """Infer the shape of each weight blob, in Caffe's order; a dimension that depends on a dynamic one is None."""
        return []

    def fillers(self) -> list[Message]:
        """Return Caffe's filler of each weight blob, for blobs that no weight file has."""
        return []

    def macs(self, bottoms: Sequence[tuple[int, ...]], tops: Sequence[tuple[int, ...]]) -> int:
        """Count the multiply-accumulates of the matrix products; element-wise work counts as none."""
        return 0

    @abstractmethod
    def emit(self, graph: OnnxGraph) -> None:
        """Add the ONNX nodes that compute the layer's tops from its bottoms."""

    @property
    def stride_hw(self) -> tuple[Fraction, Fraction]:
        """Vertical and horizontal stride: bottom pixels per pixel of the top, under 1 where the layer enlarges."""
        return Fraction(1), Fraction(1)

    @property
    def trains(self) -> bool:
        """Whether the layer's own `phase` is TRAIN, which Caffe obeys in a net of any phase."""
        return bool(self.layer.params.has("phase") and self.layer.params.phase == "TRAIN")

    @property
    def blobs(self) -> tuple[Array, ...]:
        """The layer's weights."""
        return self.layer.blobs


def _check_count(what: str, got: int, least: int, most: int | None) -> None:
    if got < least or (most is not None and got > most):
        wanted = str(least) if least == most else f"{least} or more" if most is None else f"{least} to {most}"
        raise ShapeError(f"has {got} {what}, expected {wanted}")


# Fields of LayerParameter that do not change what a trained layer computes.
_TRAINING_FIELDS = frozenset({"param", "loss_weight", "propagate_down", "phase", "loss_param"})

_REGISTRY: dict[str, type[LayerType]] = {}
_Class = TypeVar("_Class", bound=type[LayerType])


def register(*types: str) -> Callable[[_Class], _Class]:
    """Register a `LayerType` under Caffe's type strings, as a class decorator."""

    def add(cls: _Class) -> _Class:
        for name in types:
            if name in _REGISTRY:
                raise ValueError(f'layer type "{name}" is registered by {_REGISTRY[name].__qualname__} already')
            _REGISTRY[name] = cls
        return cls

    return add


def registered_types() -> tuple[str, ...]:
    """Return all known Caffe type strings, sorted."""
    return tuple(sorted(_REGISTRY))


def type_class(type_name: str) -> type[LayerType]:
    """Return the class registered under a Caffe type string.

    Raises:
        KeyError: there is none.
    """
    return _REGISTRY[type_name]


def is_known(type_name: str) -> bool:
    """Return whether a Caffe type string has a `LayerType`."""
    return type_name in _REGISTRY


def layer_type(layer: Layer) -> LayerType:
    """Create the `LayerType` instance of one layer.

    Raises:
        UnsupportedLayer: the type, or a parameter of it, is not supported.
        ShapeError: its parameters contradict each other.
    """
    if layer.type not in _REGISTRY:
        raise UnsupportedLayer([problem_of_type(layer)])
    cls = _REGISTRY[layer.type]
    foreign = [
        f"{layer.at(layer.params.line(field) or layer.line)} has {field}, which is no parameter of its type; "
        "remove it, or change the type"
        for field in layer.params
        if field not in _TRAINING_FIELDS and field != cls.params_field
    ]
    if foreign:
        raise UnsupportedLayer(foreign)
    try:
        return cls(layer)
    except ShapeError as exc:
        raise ShapeError(f"{layer.where}: {exc}") from exc
    except UnsupportedLayer as exc:
        raise UnsupportedLayer([f"{layer.where}: {problem}" for problem in exc.problems]) from exc


def problem_of_type(layer: Layer) -> str:
    """Return the error text for a layer of unknown type."""
    return f"{layer.where}: unsupported layer type; {advice_on(layer.type, _REGISTRY)}"


def constant_filler(value: float) -> Message:
    """Return Caffe's filler `{ type: "constant" value: ... }`."""
    return message("FillerParameter", type="constant", value=value)


def same_shapes(shapes: Sequence[Shape]) -> Shape:
    """Return the one shape that all of `shapes` agree on; known dimensions replace dynamic ones.

    Raises:
        ShapeError: they differ.
    """
    common = list(shapes[0])
    for index, shape in enumerate(shapes[1:], 1):
        if not fits(tuple(common), shape):
            raise ShapeError(f"bottoms 0 and {index} differ in shape: {show(shapes[0])} and {show(shape)}")
        common = [b if a is None else a for a, b in zip(common, shape, strict=True)]
    return tuple(common)
