"""Networks by name or file as PyTorch modules, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from dongfeng.formats import torch as converter
from dongfeng.net.graph import Net
from dongfeng.runtime.given_weights import parse_weights
from dongfeng.runtime.source import find_net

if TYPE_CHECKING:
    from torch import nn

    from dongfeng.formats.torch.blocks import Network

Source = str | PathLike[str] | Net


def to_torch(
    name_or_net: Source,
    *,
    weights: str | PathLike[str] | None = None,
    folded: bool = False,
    outputs: Sequence[str] | None = None,
) -> Network:
    """A network as a PyTorch module that reads like hand-written code, in evaluation mode.

    Args:
        name_or_net: A zoo name, the path of a .prototxt, .param or .param.bin file, or a net.
        weights: A weight file, or "random" or "random:SEED". Default: the released file of a zoo name, fetched if need
            be, or the weights that the net has.
        folded: Fold BatchNorm and Scale into the convolutions first.
        outputs: Blobs that `forward` returns, one as a tensor, several as a tuple; default: the scores, without the
            Softmax and ArgMax behind them, at full size where the net enlarges them.

    Returns:
        A module that takes what the net takes, float32 (N, C, H, W), channels in BGR order for the Dongfeng networks,
        and gives (N, classes), or (N, classes, H, W). `forward_features` gives the maps at 1/8, 1/16 and 1/32.

    Raises:
        BackendUnavailable: PyTorch is not installed.
        UnknownModel: no such name, and no such file.
        WeightsUnavailable: the weights are not there and cannot be fetched.
        WeightsMismatch: the weights are another network's, or there are none.
        UnsupportedLayer: naming all layers that have no PyTorch form.
        ConversionError: an output is not a blob of the net.

    Example:
        >>> model = to_torch("df1", weights="random")  # doctest: +SKIP
        >>> [tuple(map_.shape) for map_ in model.forward_features(torch.zeros(1, 3, 64, 64))]  # doctest: +SKIP
        [(1, 64, 8, 8), (1, 128, 4, 4), (1, 512, 2, 2)]
    """
    return converter.to_torch(_net(name_or_net, weights), folded=folded, outputs=outputs)


def from_torch(module: nn.Module | Mapping[str, Any], template: Source) -> Net:
    """A net with the weights of a PyTorch module, for `write_caffe`, `to_onnx`, `fold` and all else.

    Args:
        module: What `to_torch` has made, trained or not, on any device, wrapped or compiled; or a state dict of it, or
            of a community port of DFNet v1 or v2 (or that module).
        template: The net it was made from, or its zoo name or prototxt. Layers that the module lacks, such as what
            stands behind its outputs, keep the template's weights.

    Returns:
        The template with the module's weights; the folded template where the module was made with `folded`. What
        training has not touched is the same to the bit, BatchNorm's sums and factor included.

    Raises:
        BackendUnavailable: PyTorch is not installed.
        UnknownModel: no such name, and no such file.
        WeightsMismatch: the weights are of another network; the message lists what is missing, unexpected or of
            another shape.

    Warns:
        DongfengWarning: a state dict lacks layers, and the template's weights stay.
    """
    return converter.from_torch(module, template if isinstance(template, Net) else find_net(template).template())


def _net(name_or_net: Source, weights: str | PathLike[str] | None) -> Net:
    """Return the net with its weights."""
    if not isinstance(name_or_net, Net):
        return find_net(name_or_net, weights).net()
    return name_or_net if weights is None else parse_weights(weights).put_on(name_or_net)
