"""The conversions between a `Net` and PyTorch's modules, which import PyTorch only when they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dongfeng.errors import BackendUnavailable
from dongfeng.net.graph import Net
from dongfeng.support.exceptions import first_line

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dongfeng.formats.torch.blocks import Network


def to_torch(net: Net, *, folded: bool = False, outputs: Sequence[str] | None = None) -> Network:
    """Convert a net to a PyTorch module in evaluation mode; `dongfeng.to_torch` documents it.

    Layers without weights get Caffe's fillers.
    """
    _require_torch()
    from dongfeng.formats.torch.network import network_of
    from dongfeng.net.fold import fold

    return network_of(fold(net) if folded else net, outputs)


def from_torch(module: nn.Module | Mapping[str, Tensor], template: Net) -> Net:
    """Return a net with the weights of a PyTorch module; `dongfeng.from_torch` documents it."""
    _require_torch()
    from dongfeng.formats.torch.write_back import net_with_weights

    return net_with_weights(module, template)


def _require_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise BackendUnavailable(
            f'PyTorch cannot be imported ({first_line(error)}); run: pip install "dongfeng[torch]"'
        ) from error
