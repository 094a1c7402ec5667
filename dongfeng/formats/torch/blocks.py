"""Modules made of modules: each knows the order in which its parts are computed, and from what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from dongfeng.errors import ConversionError
from dongfeng.formats.torch.layer_types import Operation
from dongfeng.net.cut import needed_layers


@dataclass(frozen=True)
class BlockStep:
    """One part of a block's computation.

    Attributes:
        part: Name of the submodule, or a function.
        bottoms: Blobs it reads.
        tops: Blobs it writes.
        dropped: Blobs that nothing reads afterwards.
    """

    part: str | Operation
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    dropped: tuple[str, ...] = ()


def with_drops(steps: Sequence[BlockStep], outputs: Sequence[str]) -> tuple[BlockStep, ...]:
    """Return the steps, each with the blobs that can be freed after it."""
    kept = set(outputs)
    result = []
    for step in reversed(steps):
        last = tuple(blob for blob in dict.fromkeys((*step.bottoms, *step.tops)) if blob not in kept)
        kept.update(last)
        result.append(replace(step, dropped=last))
    return tuple(reversed(result))


class Block(nn.Module):
    """A part of a network; called with its inputs, it gives its output, or a tuple where it has several.

    Args:
        parts: Submodules by name.
        steps: Computation, in order.
        inputs: Caffe's names of the blobs it takes, in order.
        outputs: Caffe's names of the blobs it gives, in order.
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        steps: Sequence[BlockStep],
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
    ) -> None:
        super().__init__()
        self.inputs, self.outputs, self.steps = inputs, outputs, with_drops(steps, outputs)
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, *inputs: Tensor) -> Any:
        """Compute the outputs."""
        return self._run(self.steps, inputs, self.outputs)

    def _run(self, steps: Sequence[BlockStep], inputs: Sequence[Tensor], outputs: Sequence[str]) -> Any:
        blobs: dict[str, Any] = dict(zip(self.inputs, inputs, strict=True))
        for step in steps:
            part = getattr(self, step.part) if isinstance(step.part, str) else step.part
            result = part(*[blobs[blob] for blob in step.bottoms])
            if len(step.tops) == 1:
                blobs[step.tops[0]] = result
            else:
                for index, top in enumerate(step.tops):
                    blobs[top] = result[index]
            for blob in step.dropped:
                del blobs[blob]
        if len(outputs) == 1:
            return blobs[outputs[0]]
        return tuple([blobs[blob] for blob in outputs])


class Network(Block):
    """A whole network of one input.

    Args:
        parts: Submodules by name.
        steps: Computation, in order.
        inputs: Caffe's names of the blobs it takes, in order.
        outputs: Caffe's names of the blobs it gives, in order.
        features: Blobs that `forward_features` gives; empty where the network has none.
        name: Name of the net.
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        steps: Sequence[BlockStep],
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        features: tuple[str, ...] = (),
        name: str = "",
    ) -> None:
        super().__init__(parts, steps, inputs, outputs)
        self.name, self.features = name, features
        self.feature_steps = with_drops(needed_layers(steps, features), features)

    def forward(self, input: Tensor) -> Any:  # type: ignore[override]  # torch.fx wants to know how many inputs
        """Compute the scores before any softmax: (N, classes), or (N, classes, H, W).

        Args:
            input: (N, 3, H, W), channels in BGR order, mean subtracted and scaled as the network's preprocessing says.
        """
        return self._run(self.steps, (input,), self.outputs)

    def forward_features(self, input: Tensor) -> tuple[Tensor, ...]:
        """Compute the backbone's maps at 1/8, 1/16 and 1/32 of the input's height and width.

        Raises:
            ConversionError: the network has no such maps.
        """
        if not self.features:
            raise ConversionError(
                f"net {self.name!r} has no maps at 1/8, 1/16 and 1/32 of its input that all that follows depends on; "
                "choose blobs with to_torch(..., outputs=[...])"
            )
        maps: tuple[Tensor, ...] = self._run(self.feature_steps, (input,), self.features)
        return maps


class ManyInputNetwork(Network):
    """A whole network of several inputs, in the order of `inputs`, or of none."""

    def forward(self, *inputs: Tensor) -> Any:
        """Compute the outputs."""
        return self._run(self.steps, inputs, self.outputs)


# Names that a part cannot have, for modules have them already.
_SMALLEST = Network({}, (), ("data",), ("data",))
RESERVED = tuple(sorted({*dir(_SMALLEST), *dir(nn.Sequential())}))
