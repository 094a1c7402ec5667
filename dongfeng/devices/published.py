"""Published latencies of whole networks, and the networks they are of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dongfeng.architectures import build
from dongfeng.devices.profile_values import Pair, Positive
from dongfeng.devices.resnet_baselines import resnet
from dongfeng.net.cut import cut
from dongfeng.net.graph import Net
from dongfeng.support.json_dataclass import Text
from dongfeng.zoo.models import model_info

# The last blob of the timed networks, by the head of the zoo's model: softmax and labels were not timed.
_LAST_BLOB: Mapping[str | None, str] = MappingProxyType(
    {"x8": "Decoder_score.up8", "d8": "Decoder_score", None: "fc"}  # None: a classifier
)
RESNETS = ("resnet18", "resnet50")


@dataclass(frozen=True)
class PublishedPoint:
    """One published latency: the sum of per-layer times at batch 1, without copies to and from the device.

    Attributes:
        model: Zoo name, or "resnet18", "resnet50".
        size_hw: Height and width in pixels, as published.
        ms: Milliseconds; 1000 / `fps` where frames per second were published.
        source: Where it was published.
        fps: Frames per second, where that is what was published.
        computed_hw: The size that stands in for `size_hw`, where the network does not fit that.
        fitted: Whether the profile's roofline was fitted to it.
    """

    model: Text
    size_hw: Pair
    ms: Positive
    source: Text
    fps: Positive | None = None
    computed_hw: Pair | None = None
    fitted: bool = False


def timed_net(model: str, size_hw: tuple[int, int]) -> Net:
    """Build a network as it was timed: without weights, up to its scores.

    Args:
        model: Zoo name, or "resnet18", "resnet50".
        size_hw: Height and width in pixels.

    Raises:
        UnknownModel: no such name.
        ShapeError: the network does not fit the size.
    """
    if model in RESNETS:
        return resnet(int(model.removeprefix("resnet"))).resize(*size_hw)
    info = model_info(model)
    net = build(info.architecture).resize(*size_hw)
    return cut(net, [info.score_blob if info.architecture == "pl1a_seg" else _LAST_BLOB[info.head]])
