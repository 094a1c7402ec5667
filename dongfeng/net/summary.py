"""`summarize`: layers, shapes and cost of a net, for people and programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from dongfeng.layers.infer import LayerCost, infer_shapes
from dongfeng.layers.layer import Layer, Shape
from dongfeng.net.graph import Net


@dataclass(frozen=True)
class LayerSummary:
    """A layer of a net.

    Attributes:
        layer: The layer.
        output_shapes: Shapes of its tops; None in them where a dimension is dynamic.
        cost: Its cost; None where the net's input size is dynamic.
    """

    layer: Layer
    output_shapes: tuple[Shape, ...]
    cost: LayerCost | None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        cost = {} if self.cost is None else asdict(self.cost)
        shapes = [list(shape) for shape in self.output_shapes]
        return {"layer": self.layer.name, "type": self.layer.type, "output_shapes": shapes} | {
            key: value for key, value in cost.items() if key not in ("name", "type")
        }


@dataclass(frozen=True)
class NetSummary:
    """A net and what follows from its input size.

    Attributes:
        net: The net.
        outputs: Shapes of its outputs by name.
        layers: Its layers in order.
    """

    net: Net
    outputs: dict[str, Shape]
    layers: tuple[LayerSummary, ...]

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates for one image; None where the input size is dynamic."""
        return None if self.net.is_dynamic else sum(each.cost.macs for each in self.layers if each.cost)

    @property
    def parameters(self) -> int | None:
        """Number of weights; None where the input size is dynamic."""
        return None if self.net.is_dynamic else sum(each.cost.parameters for each in self.layers if each.cost)


def summarize(net: Net) -> NetSummary:
    """Work out shapes and cost of a net.

    Raises:
        ShapeError: blobs do not fit together.
    """
    shapes = infer_shapes(net.inputs, net.layers)
    costs: list[LayerCost | None] = [None] * len(net.layers) if net.is_dynamic else [*net.cost()]
    return NetSummary(
        net,
        {blob: shapes[blob] for blob in net.outputs},
        tuple(
            LayerSummary(layer, tuple(shapes[top] for top in layer.tops), cost)
            for layer, cost in zip(net.layers, costs, strict=True)
        ),
    )
