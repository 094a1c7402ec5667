"""The Dongfeng networks as code.

`build` returns a named one; `backbone_net` and `segmentation_net` build any point of the search space.
`python -m dongfeng.architectures` writes the named ones to `prototxt/`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from dongfeng.architectures.backbone import DF1, DF2, DF2A, DFLITE, Backbone, backbone_net
from dongfeng.architectures.decoder import segmentation_net
from dongfeng.architectures.pl1a import pl1a_net
from dongfeng.architectures.toytown import toytown_net
from dongfeng.errors import UnknownModel
from dongfeng.net.graph import Net

__all__ = [
    "ARCHITECTURES",
    "CLASSIFIERS",
    "DECODERS",
    "DF1",
    "DF2",
    "DF2A",
    "DFLITE",
    "Backbone",
    "backbone_net",
    "build",
    "segmentation_net",
]

CLASSIFIERS: Mapping[str, Backbone] = MappingProxyType({"df1": DF1, "df2": DF2, "df2a": DF2A})

# Backbone and decoder widths (cc3, cc4, cc5).
DECODERS: Mapping[str, tuple[Backbone, tuple[int, int, int]]] = MappingProxyType(
    {
        "dflite_seg": (DFLITE, (32, 32, 512)),
        "df1seg": (DF1, (19, 32, 128)),
        "df2seg1": (DF2, (19, 19, 32)),
        "df2seg2": (DF2, (19, 256, 512)),
    }
)

ARCHITECTURES: tuple[str, ...] = (*CLASSIFIERS, *DECODERS, "pl1a_seg", "toytown_seg")


def build(name: str, *, folded: bool = False) -> Net:
    """Build a named network, without weights, at its published input size.

    Args:
        name: One of `ARCHITECTURES`.
        folded: Leave out BatchNorm and Scale; the convolutions have biases instead, as folding leaves them.
            `pl1a_seg` is always folded, as its release is.

    Returns:
        The net, with the layer and blob names of the released files. It carries no preprocessing: the manifest does.

    Raises:
        UnknownModel: there is no such architecture.

    Example:
        >>> build("df1seg", folded=True).outputs
        ('pred', 'pred_d8')
    """
    net_name = f"{name}_mergebn" if folded else name
    if name in CLASSIFIERS:
        backbone = CLASSIFIERS[name]
        return backbone_net(backbone.encoding, backbone.block, name=net_name, folded=folded)
    if name in DECODERS:
        backbone, decoder = DECODERS[name]
        return segmentation_net(backbone.encoding, decoder, backbone.block, name=net_name, folded=folded)
    if name == "pl1a_seg":
        return pl1a_net()
    if name == "toytown_seg":
        return toytown_net(name=net_name, folded=folded)
    close = difflib.get_close_matches(name, ARCHITECTURES, n=1)
    hint = f', did you mean "{close[0]}"?' if close else ""
    raise UnknownModel(f'no architecture "{name}"{hint}; there are {", ".join(ARCHITECTURES)}')
