"""Other input sizes: the layers that follow them, and the sizes that a network takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from dongfeng.errors import ShapeError
from dongfeng.layers.base import LayerType
from dongfeng.layers.infer import layer_types, output_shapes
from dongfeng.layers.interp import Interp
from dongfeng.layers.layer import Layer, Shape, show

_MERGING = ("Concat", "Eltwise")
_STEPS = (64, 32, 16, 8, 4, 2)  # granularities tried, in pixels, when a size does not fit


def resized(
    inputs: Mapping[str, Shape], layers: Sequence[Layer], height: int, width: int
) -> tuple[dict[str, Shape], list[Layer]]:
    """Return inputs and layers for an image size; see `Net.resize`.

    Raises:
        ShapeError: the network does not fit that size; the message names the nearest one that does.
    """
    if height < 1 or width < 1:
        raise ShapeError(f"height and width must be positive, got {height}x{width}")
    images = [blob for blob, shape in inputs.items() if len(shape) == 4]
    if not images:
        raise ShapeError("the net has no image input (N, C, H, W) to resize")
    sized = {
        blob: (shape[0] or 1, shape[1], height, width) if blob in images else shape for blob, shape in inputs.items()
    }
    return sized, reshaped(inputs, layers, sized, size_hw=(height, width))


def reshaped(
    inputs: Mapping[str, Shape],
    layers: Sequence[Layer],
    new_inputs: Mapping[str, Shape],
    *,
    size_hw: tuple[int, int] | None = None,
) -> list[Layer]:
    """Return the layers for other input shapes; errors call the requested size `size_hw`.

    Raises:
        ShapeError: the network does not fit those shapes.
    """
    if dict(inputs) == dict(new_inputs):
        return list(layers)
    try:
        return _follow(inputs, layers, new_inputs)
    except ShapeError as exc:
        if size_hw is None:
            raise
        for near in _nearby(*size_hw):
            candidate = {
                blob: (*shape[:2], *near) if shape[2:] == size_hw else shape for blob, shape in new_inputs.items()
            }
            try:
                _follow(inputs, layers, candidate)
            except ShapeError:
                continue
            size, fits = (f"{hw[0]}x{hw[1]}" for hw in (size_hw, near))
            raise ShapeError(f"input size {size} does not fit, the nearest that does is {fits}: {exc}") from exc
        raise


def _nearby(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield sizes worth trying, the nearest first, of equally near ones the larger."""
    sizes = {
        (rows, columns)
        for step in _STEPS
        for rows in {max(height // step, 1) * step, -(-height // step) * step}
        for columns in {max(width // step, 1) * step, -(-width // step) * step}
    }
    yield from sorted(sizes, key=lambda hw: (abs(hw[0] - height) + abs(hw[1] - width), -hw[0], -hw[1]))


def _check_alignment(types: Sequence[LayerType], inputs: Mapping[str, Shape]) -> None:
    """Refuse sizes at which a deconvolution's map would not lie over the map it is joined with.

    Where sizes round up on the way down (50 to 25 to 13) and double on the way up (13 to 26), shapes may fit by
    accident while pixels do not.

    Raises:
        ShapeError: height or width is no multiple of the stride of a deconvolution's bottom.
    """
    images = [shape for shape in inputs.values() if len(shape) == 4]
    if not images:
        return
    layers = [type_.layer for type_ in types]
    cropped = {top for layer in layers if layer.type == "Crop" for top in layer.tops}
    joined = {  # not where one map is cropped to the other, as in FCN and U-Net: there pixels are aligned
        bottom
        for layer in layers
        if layer.type in _MERGING and cropped.isdisjoint(layer.bottoms)
        for bottom in layer.bottoms
    }
    strides: dict[str, tuple[Fraction, ...]] = {}
    for layer, type_ in zip(layers, types, strict=True):
        if layer.type == "Interp":  # has the size, and thus the stride, of another map
            continue
        before = next((strides[bottom] for bottom in layer.bottoms if bottom in strides), (Fraction(1), Fraction(1)))
        after = tuple(stride * step for stride, step in zip(before, type_.stride_hw, strict=True))
        strides.update(dict.fromkeys(layer.tops, after))
        if layer.type != "Deconvolution" or joined.isdisjoint(layer.tops):
            continue
        for shape in images:
            for size, stride in zip(shape[2:], before, strict=True):
                if size is not None and stride > 1 and size % stride:
                    raise ShapeError(
                        f"{layer.where}: joins a map of 1/{stride} of the input with a larger one, so height and width "
                        f"must be multiples of {stride}, got {size}"
                    )


def _follow(inputs: Mapping[str, Shape], layers: Sequence[Layer], new_inputs: Mapping[str, Shape]) -> list[Layer]:
    """Give every Interp of fixed size the size it needs at the new shapes.

    One whose output meets other blobs in a Concat or Eltwise takes the size of the first of those that is not itself
    resized; one that stands alone scales with the input.
    """
    types = layer_types(layers)
    _check_alignment(types, new_inputs)
    partners = interp_partners(types)
    shapes: dict[str, Shape] = dict(new_inputs)
    waiting = list(range(len(types)))
    result = list(layers)
    # A partner may be computed after the Interp that follows it, so pass over the layers until all have their shape.
    while waiting:
        later = []
        for index in waiting:
            type_, layer = types[index], layers[index]
            ready = all(bottom in shapes for bottom in layer.bottoms)
            partner = partners.get(layer.tops[0]) if layer.tops else None
            if not ready or (partner is not None and partner not in shapes):
                later.append(index)
                continue
            if layer.tops and layer.tops[0] in partners:
                layer = result[index] = _sized(layer, partner, shapes, inputs, new_inputs)
                type_ = Interp(layer)
            tops = output_shapes(type_, [shapes[bottom] for bottom in layer.bottoms])
            shapes.update(zip(layer.tops, tops, strict=True))
        if len(later) == len(waiting):
            names = ", ".join(f'"{layers[index].name}"' for index in later if isinstance(types[index], Interp))
            raise ShapeError(f"the sizes of the Interp layers {names} depend on each other: set height and width")
        waiting = later
    return result


def interp_partners(types: Sequence[LayerType]) -> dict[str, str | None]:
    """Map the top of each Interp of fixed size to the blob whose size it takes; None where it stands alone."""
    is_resized = {top for type_ in types if isinstance(type_, Interp) for top in type_.layer.tops}
    found: dict[str, str | None] = {}
    for type_ in types:
        if not (isinstance(type_, Interp) and type_.uses_fixed_size):
            continue
        (top,) = type_.layer.tops
        met = [
            blob
            for other in types
            if other.layer.type in _MERGING and top in other.layer.bottoms
            for blob in other.layer.bottoms
            if blob not in is_resized
        ]
        found[top] = met[0] if met else None
    return found


def _sized(
    layer: Layer,
    partner: str | None,
    shapes: Mapping[str, Shape],
    inputs: Mapping[str, Shape],
    new_inputs: Mapping[str, Shape],
) -> Layer:
    """Return the Interp layer with the height and width that the new input asks for."""
    param = layer.params.interp_param
    if partner is not None:
        size = shapes[partner][2:]
    else:
        size = tuple(
            _scaled(layer, name, getattr(param, name), axis, inputs, new_inputs)
            for axis, name in ((2, "height"), (3, "width"))
        )
    if len(size) != 2 or None in size or size == (param.height, param.width):
        return layer
    return replace(layer, params=layer.params.replace(interp_param=param.replace(height=size[0], width=size[1])))


def _scaled(
    layer: Layer, name: str, fixed: int, axis: int, inputs: Mapping[str, Shape], new_inputs: Mapping[str, Shape]
) -> int:
    """Scale a fixed height or width like the image input; it stays where the file leaves the input dynamic."""
    for blob, shape in inputs.items():
        if len(shape) != 4 or (before := shape[axis]) is None:
            continue
        after = new_inputs[blob][axis] or before
        if fixed * after % before:
            raise ShapeError(
                f"{layer.where}: {name} {fixed} belongs to an input of {before} pixels and does not scale to {after} "
                f"({show(shape)} to {show(new_inputs[blob])}); set interp_param {{ {name} }} for this size"
            )
        return fixed * after // before
    return fixed
