"""The dynamic dimensions of a converted model, and the blobs whose size its resized maps follow."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Literal

from dongfeng.errors import ConversionError, DongfengWarning, UnsupportedLayer
from dongfeng.layers.infer import infer_shapes, layer_types
from dongfeng.layers.layer import Shape
from dongfeng.layers.resize import interp_partners
from dongfeng.net.graph import Net


@dataclass(frozen=True)
class Sizes:
    """Shapes of a model's blobs.

    Attributes:
        shapes: Blob -> shape, None where a dimension is dynamic.
        size_of: Top of an Interp -> blob whose height and width it takes when the model runs.
    """

    shapes: dict[str, Shape]
    size_of: dict[str, str] = field(default_factory=dict)


def static_sizes(net: Net) -> Sizes:
    """Return the shapes of a net whose input size is known.

    Raises:
        ShapeError: the input size is dynamic.
    """
    net.shapes()
    return Sizes(infer_shapes(net.inputs, net.layers))


def dynamic_sizes(net: Net, dynamic: bool | Literal["batch"]) -> Sizes:
    """Return the shapes of a net whose batch, and height and width where possible, are dynamic.

    Raises:
        ConversionError: `dynamic` is neither a bool nor "batch".
        UnsupportedLayer: an Interp follows a blob that is computed after it, or weights depend on the batch.

    Warns:
        DongfengWarning: an inner product fixes the input size, so only the batch is dynamic.
    """
    if dynamic not in (True, "batch"):
        raise ConversionError(f'dynamic is True, False or "batch", got {dynamic!r}')
    if dynamic is True:
        sizes = _fully_dynamic(net)
        fixed = _layer_of_fixed_size(net, sizes)
        if not fixed:
            return sizes
        warnings.warn(
            f'{fixed} has weights for one input size: only the batch is dynamic (say dynamic="batch" to mean that)',
            DongfengWarning,
            stacklevel=3,
        )
    net.shapes()  # the size must be known
    inputs = {blob: (None, *shape[1:]) for blob, shape in net.inputs.items()}
    sizes = Sizes(infer_shapes(inputs, net.layers))
    if fixed := _layer_of_fixed_size(net, sizes):
        raise UnsupportedLayer([f"{fixed} has weights for one batch size, so not even the batch can be dynamic"])
    return sizes


def _fully_dynamic(net: Net) -> Sizes:
    """Return the shapes with the batch of all inputs, and height and width of images, dynamic."""
    inputs: dict[str, Shape] = {
        blob: (None, shape[1], None, None) if len(shape) == 4 else (None, *shape[1:])
        for blob, shape in net.inputs.items()
    }
    partners = interp_partners(layer_types(net.layers))
    size_of = {top: partner for top, partner in partners.items() if partner is not None}
    computed = set(inputs)
    for layer in net.layers:
        for top in layer.tops:
            if top in size_of and size_of[top] not in computed:
                raise UnsupportedLayer(
                    [f'{layer.where}: takes the size of "{size_of[top]}", which comes later, so it cannot be dynamic']
                )
        computed.update(layer.tops)
    return Sizes(infer_shapes(inputs, net.layers, dynamic_sizes=size_of), size_of)


def _layer_of_fixed_size(net: Net, sizes: Sizes) -> str | None:
    """Name the first layer whose weights depend on a dynamic dimension, if there is one."""
    for type_ in layer_types(net.layers):
        bottoms = [sizes.shapes[bottom] for bottom in type_.layer.bottoms]
        if any(None in shape for shape in type_.blob_shapes(bottoms)):
            return type_.layer.where
    return None
