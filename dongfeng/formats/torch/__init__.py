"""Between a `Net` and PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dongfeng.formats.torch.library import require_torch
from dongfeng.net.graph import Net

if TYPE_CHECKING:
    from torch import nn

    from dongfeng.formats.torch.blocks import Network

__all__ = ["from_torch", "parameter_groups", "to_torch"]


def to_torch(net: Net, *, folded: bool = False, outputs: Sequence[str] | None = None) -> Network:
    """Convert a net to a PyTorch module, in evaluation mode.

    Args:
        net: A net with its weights; layers that lack them get Caffe's fillers.
        folded: Fold BatchNorm and Scale into the convolutions first.
        outputs: Blobs that `forward` returns, one as a tensor, several as a tuple; default: the scores, without the
            Softmax and ArgMax behind them, at full size where the net enlarges them.

    Returns:
        A module that takes what the net takes, float32 (N, C, H, W), channels in BGR order for the Dongfeng networks.

    Raises:
        BackendUnavailable: PyTorch is not installed.
        UnsupportedLayer: naming all layers that have no PyTorch form.
        ConversionError: an output is not a blob of the net.
        WeightsMismatch: a layer has no weights, and only a weight file can tell them.
    """
    require_torch()
    from dongfeng.formats.torch.network import network_of
    from dongfeng.net.fold import fold

    return network_of(fold(net) if folded else net, outputs)


def from_torch(module: nn.Module | Mapping[str, Any], template: Net) -> Net:
    """Return a net with the weights of a PyTorch module.

    Args:
        module: A module of `to_torch`, trained or not, on any device, wrapped or compiled; or its state dict; or a
            community port of DFNet v1 or v2, or its state dict.
        template: The net that was converted, with or without weights. Layers that the module lacks, such as those
            behind its outputs, keep the template's weights.

    Returns:
        The template with the module's weights; the folded template where the module is that of the folded net. Weights
        that training has not changed are the same to the bit, BatchNorm's sums and factor included.

    Raises:
        BackendUnavailable: PyTorch is not installed.
        WeightsMismatch: the weights are of another network; the message lists what is missing, unexpected or of
            another shape.

    Warns:
        DongfengWarning: a state dict lacks layers, and the template's weights stay.
    """
    require_torch()
    from dongfeng.formats.torch.write_back import net_with_weights

    return net_with_weights(module, template)


def parameter_groups(module: nn.Module, weight_decay: float, lr: float | None = None) -> list[dict[str, Any]]:
    """Group parameters for an optimizer by Caffe's `lr_mult` and `decay_mult`.

    Args:
        module: A module of `to_torch`, or one that contains it.
        weight_decay: Weight decay at `decay_mult` 1.
        lr: Learning rate at `lr_mult` 1; None: the groups have no "lr", and a schedule has to apply their "lr_mult".

    Returns:
        Groups as an optimizer takes them, each with "params", "weight_decay" and "lr_mult". Parameters that are not
        trained (`lr_mult: 0`) are in none.
    """
    require_torch()
    from dongfeng.formats.torch.multipliers import grouped

    return grouped(module, weight_decay, lr)
