"""`Space`: a set of architectures, declared by the widths and numbers of blocks of each stage."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from types import MappingProxyType

from dongfeng.architectures.backbone import STEM, Backbone, Blocks, backbone_net
from dongfeng.architectures.decoder import segmentation_net
from dongfeng.errors import SearchError
from dongfeng.net.cut import cut
from dongfeng.net.graph import Net
from dongfeng.search.stages import StageTuples

Encoding = tuple[tuple[int, ...], ...]

_WIDTHS = (64, 128, 256, 512, 1024)
_DEPTHS = ((1, 4), (1, 12), (1, 8))
_DECODER_WIDTHS = (19, 32, 64, 128, 256, 512)
_MOST_ROWS = 5_000_000  # of one stage; its table takes a few bytes per block of each


@dataclass(frozen=True, eq=False)
class Space:
    """All sequences of stages whose blocks never get narrower, within a stage and from one stage to the next.

    An encoding has a tuple per stage, with the width of every block: `((64, 64), (128, 128), (256, 512))`.
    `len(space)` is the number of encodings, and `encoding in space` tells whether it is one of them.

    Attributes:
        widths: Widths that the blocks of each stage may have.
        depths: Smallest and largest number of blocks of each stage, both included.
        builder: Function that builds the net of an encoding.
        timed_blob: Last blob of the part whose latency counts; None: the whole net. Published latencies of
            segmentation nets are of nets that end in their scores.

    Raises:
        SearchError: widths or depths describe no space, or one with too many tuples in a stage.

    Example:
        >>> len(Space.backbone())
        1503152
        >>> ((64, 64), (128, 128), (256, 512)) in Space.backbone()
        True
    """

    widths: Sequence[Sequence[int]]
    depths: Sequence[tuple[int, int]]
    builder: Callable[[Encoding], Net]
    timed_blob: str | None = None

    def __post_init__(self) -> None:
        depths = tuple((int(least), int(most)) for least, most in self.depths)
        if not depths or any(not 1 <= least <= most for least, most in depths):
            raise SearchError(f"depths: expected (smallest, largest) with 1 <= smallest <= largest, got {depths}")
        if len(self.widths) != len(depths) or any(isinstance(stage, (int, str)) for stage in self.widths):
            raise SearchError(f"widths: expected a sequence for each of {len(depths)} stages, got {self.widths}")
        widths = tuple(tuple(sorted({int(width) for width in stage})) for stage in self.widths)
        if any(not stage or stage[0] < 1 for stage in widths):
            raise SearchError(f"widths: expected positive widths for every stage, got {self.widths}")
        for stage, (choices, (least, most)) in enumerate(zip(widths, depths, strict=True)):
            rows = sum(math.comb(len(choices) + depth - 1, depth) for depth in range(least, most + 1))
            if rows > _MOST_ROWS:
                raise SearchError(
                    f"stage {stage + 1} of {len(depths)} has {rows} tuples of widths, more than {_MOST_ROWS}; "
                    "give it fewer widths or blocks"
                )
        object.__setattr__(self, "widths", widths)
        object.__setattr__(self, "depths", depths)
        if not len(self):
            raise SearchError(f"widths {widths} and depths {depths}: every encoding would get narrower somewhere")

    @classmethod
    def backbone(
        cls,
        widths: Sequence[int] = _WIDTHS,
        depths: Sequence[tuple[int, int]] = _DEPTHS,
        block: Blocks = "basic",
        *,
        size_hw: tuple[int, int] = (224, 224),
        classes: int = 1000,
        stem: Sequence[int] = STEM,
    ) -> Space:
        """Return the backbones with their classifier that `dongfeng.architectures.backbone_net` builds.

        Args:
            widths: Widths that blocks may have.
            depths: Smallest and largest number of blocks of stages 3, 4 and 5.
            block: "basic" or "bottleneck", for all stages or one for each. DF2A is DF2's encoding in the space with
                ("basic", "bottleneck", "bottleneck"): blocks are not searched, so each choice is a space of its own.
            size_hw: Height and width of the input, multiples of 32; latencies are at this size.
            classes: Number of classes.
            stem: Widths of the two convolutions in front of the stages.

        Raises:
            SearchError: widths or depths describe no space.
            ShapeError: there is no such block, there are not three stages, or the net cannot have that size.
        """
        builder = partial(backbone_net, block=block, size_hw=size_hw, classes=classes, stem=tuple(stem))
        space = cls((tuple(widths),) * len(depths), depths, builder)
        space.build(space.example)
        return space

    @classmethod
    def decoder(
        cls,
        backbone: Backbone | Sequence[Sequence[int]],
        widths: Sequence[int] = _DECODER_WIDTHS,
        *,
        size_hw: tuple[int, int] = (1024, 2048),
        classes: int = 19,
    ) -> Space:
        """Return the segmentation nets on one backbone; `((32,), (32,), (512,))` encodes cc3, cc4 and cc5.

        Latencies are those of the net up to its scores at full size, like the published ones.

        Args:
            backbone: Such as `dongfeng.architectures.DF1`; or the encoding of one with basic blocks.
            widths: Widths that channel controllers may have.
            size_hw: Height and width of the input, multiples of 32.
            classes: Number of classes.

        Raises:
            SearchError: the widths describe no space.
            ShapeError: the backbone or the size is not of this form.
        """
        if not isinstance(backbone, Backbone):
            backbone = Backbone(tuple(tuple(stage) for stage in backbone))  # type: ignore[arg-type]  # add_backbone counts
        builder = partial(_decoded, backbone=backbone, size_hw=size_hw, classes=classes)
        space = cls((tuple(widths),) * 3, ((1, 1),) * 3, builder, "Decoder_score.up8")
        space.build(space.example)
        return space

    def build(self, encoding: Encoding) -> Net:
        """Build the net of an encoding, without weights.

        Raises:
            SearchError: the encoding is not in the space.
        """
        return self.builder(self.checked(encoding))

    def timed(self, encoding: Encoding) -> Net:
        """Build the part of the net whose latency counts.

        Raises:
            SearchError: the encoding is not in the space.
        """
        net = self.build(encoding)
        return net if self.timed_blob is None else cut(net, [self.timed_blob])

    def checked(self, encoding: Sequence[Sequence[int]]) -> Encoding:
        """Return the encoding as tuples.

        Raises:
            SearchError: it is not in the space.
        """
        found = tuple(tuple(widths) for widths in encoding)
        if found not in self:
            raise SearchError(
                f"encoding {found} is not in the space: widths {self.widths} that never decrease, depths {self.depths}"
            )
        return found

    @cached_property
    def stages(self) -> tuple[StageTuples, ...]:
        """The tuples of widths that each stage may have."""
        return tuple(map(StageTuples.enumerate, self.widths, self.depths))

    @property
    def example(self) -> Encoding:
        """The shallowest and narrowest encoding."""
        found: list[tuple[int, ...]] = []
        for widths, (least, _) in zip(self.widths, self.depths, strict=True):
            narrowest = min(width for width in widths if not found or width >= found[-1][-1])
            found.append((narrowest,) * least)
        return tuple(found)

    def __len__(self) -> int:
        ending = Counter({0: 1})  # width of the last block -> encodings of the stages so far that end in it
        for widths, (least, most) in zip(self.widths, self.depths, strict=True):
            longer, ending = ending, Counter()
            for depth in range(1, most + 1):
                longer = Counter({last: sum(longer[width] for width in longer if width <= last) for last in widths})
                if depth >= least:
                    ending += longer
        return ending.total()

    def __contains__(self, encoding: object) -> bool:
        if not isinstance(encoding, tuple) or len(encoding) != len(self.depths):
            return False
        flat = [width for widths in encoding for width in widths]
        return flat == sorted(flat) and all(
            least <= len(found) <= most and set(found) <= set(widths)
            for found, widths, (least, most) in zip(encoding, self.widths, self.depths, strict=True)
        )


def _decoded(encoding: Encoding, *, backbone: Backbone, size_hw: tuple[int, int], classes: int) -> Net:
    """Build the segmentation net of an encoding of `Space.decoder`."""
    widths = [width for (width,) in encoding]
    return segmentation_net(backbone.encoding, widths, backbone.block, size_hw=size_hw, classes=classes)


# Builders by their names in config.json, so that old folders stay readable.
BUILDERS: Mapping[str, Callable[..., Net]] = MappingProxyType(
    {
        "dongfeng.architectures.backbone.backbone_net": backbone_net,
        "dongfeng.architectures.decoder.segmentation_net": segmentation_net,
        "dongfeng.search.space._decoded": _decoded,
    }
)
