"""The leaves of the module tree: each is one layer of a net, or a BatchNorm with its Scale, at its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dongfeng.caffe.message import Message
from dongfeng.formats.torch.batch_norm import SUMS
from dongfeng.formats.torch.names import ModulePath, module_paths
from dongfeng.layers.base import type_class
from dongfeng.layers.infer import infer_shapes, layer_types
from dongfeng.layers.layer import Layer, Shape
from dongfeng.layers.normalization import BatchNorm
from dongfeng.layers.resize import interp_partners
from dongfeng.layers.shapes import canonical_axis
from dongfeng.net.cut import readers_of
from dongfeng.net.fold import is_channel_scale
from dongfeng.net.graph import Net

_CONVOLUTIONS = ("Convolution", "ConvolutionDepthwise", "Deconvolution", "DepthwiseConvolution")
_WEIGHTED = (*_CONVOLUTIONS, "InnerProduct", "Normalize", "PReLU", "Scale")


@dataclass(frozen=True)
class Leaf:
    """One module or function to be.

    Attributes:
        layers: One layer, or a BatchNorm and its Scale.
        path: Its place in the tree.
        bottoms: Blobs it reads; for an Interp that takes the size of another blob, that blob last.
        tops: Blobs it writes.
        bottom_shapes: Shapes of the first layer's bottoms, None where a dimension is dynamic.
        is_inplace: Whether Caffe overwrites the bottom, which nobody else reads.
    """

    layers: tuple[Layer, ...]
    path: ModulePath
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    bottom_shapes: tuple[Shape, ...]
    is_inplace: bool

    @property
    def layer(self) -> Layer:
        """The layer; the BatchNorm where there are two."""
        return self.layers[0]

    @property
    def param(self) -> Message:
        """The message with the parameters of the layer's own type."""
        param: Message = getattr(self.layer.params, type_class(self.layer.type).params_field or "")
        return param

    @property
    def rank(self) -> int:
        """Number of the first bottom's axes."""
        return len(self.bottom_shapes[0])

    @property
    def axis(self) -> int:
        """The axis of the first bottom that the layer's `axis` means, counted from the front."""
        return canonical_axis(self.param.axis, self.bottom_shapes[0])

    def key(self, attribute: str) -> str:
        """Return an attribute's name in the state dict."""
        return ".".join((*self.path, attribute))


def blob_attributes(layer: Layer) -> tuple[str, ...]:
    """Return the module's attribute for each weight blob of a layer."""
    if layer.type == "BatchNorm":
        return (*SUMS, "weight", "bias")  # NVCaffe's form has all five
    only_shifts = layer.type == "Bias" or (layer.type == "Scale" and len(layer.bottoms) == 2)
    if only_shifts:
        return ("bias",)
    return ("weight", "bias") if layer.type in _WEIGHTED else ()


def is_transposed(layer: Layer) -> bool:
    """Tell whether a layer's weight matrix is (in, out) in Caffe and (out, in) in PyTorch."""
    return layer.type == "InnerProduct" and bool(layer.params.inner_product_param.transpose)


def leaves_of(net: Net, reserved: Sequence[str]) -> list[Leaf]:
    """Return all leaves of a net, in order.

    Args:
        net: The net.
        reserved: Names that modules have already.

    Raises:
        UnsupportedLayer: naming all layers that are not supported at all.
        ShapeError: blobs do not fit together.
    """
    shapes = infer_shapes(net.inputs, net.layers)
    groups = _grouped(net)
    makers = {top: number for number, group in enumerate(groups) for top in group[-1].tops}
    partners = interp_partners(layer_types(net.layers))
    bottoms = [_bottoms(group, partners.get(group[0].tops[0]) if group[0].tops else None, makers) for group in groups]
    reads = [[makers[blob] for blob in blobs if blob in makers] for blobs in bottoms]
    paths = module_paths([group[0].name for group in groups], reads, reserved)
    return [
        Leaf(
            group,
            path,
            blobs,
            group[-1].tops,
            tuple(shapes[blob] for blob in group[0].bottoms),
            bool(group[0].tops) and [net.aliases.get(blob) for blob in blobs] == [_public(group[0].tops[0], net)],
        )
        for group, path, blobs in zip(groups, paths, bottoms, strict=True)
    ]


def _public(blob: str, net: Net) -> str:
    return net.aliases.get(blob, blob)


def _bottoms(group: Sequence[Layer], partner: str | None, makers: Mapping[str, int]) -> tuple[str, ...]:
    layer = group[0]
    if partner is None or (makers.get(partner, -1) > makers[layer.tops[0]]):
        return layer.bottoms
    return (*layer.bottoms, partner)


def _grouped(net: Net) -> list[tuple[Layer, ...]]:
    """Return the layers, each BatchNorm together with the Scale that alone reads it."""
    readers = readers_of(net.layers)
    scales: dict[int, int] = {}
    for index, layer in enumerate(net.layers):
        following = readers.get(layer.tops[0], []) if layer.type == "BatchNorm" else []
        if len(following) == 1 and not BatchNorm(layer).has_affine and is_channel_scale(net.layers[following[0]]):
            scales[index] = following[0]
    absorbed = set(scales.values())
    return [
        (layer, net.layers[scales[index]]) if index in scales else (layer,)
        for index, layer in enumerate(net.layers)
        if index not in absorbed
    ]
