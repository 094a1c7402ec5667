"""`BackboneKernels`: the kernels of the backbone search space, and small nets of it to check their sums against."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from dongfeng.architectures.backbone import Encoding, backbone_net
from dongfeng.devices.fusion import kernels_of
from dongfeng.devices.kernel import Kernel
from dongfeng.net.cut import cut
from dongfeng.net.graph import Net

WIDTHS = (64, 128, 256, 512, 1024)
_CLASSIFIER_HW = (224, 224)  # the one size whose last map the classifier's pooling covers
_MIXED = ("basic", "bottleneck", "bottleneck")  # as DF2A


@dataclass(frozen=True)
class BackboneKernels:
    """Kernels of the backbones whose blocks are never narrower than the block before.

    Attributes:
        size_hw: Height and width of the input; pooling and classifier belong to it at 224x224 only.
        widths: Widths of blocks.
        bottlenecks: Whether stages 4 and 5 may also be of bottleneck blocks.
    """

    size_hw: tuple[int, int] = _CLASSIFIER_HW
    widths: tuple[int, ...] = WIDTHS
    bottlenecks: bool = True

    def kernels(self) -> list[Kernel]:
        """List every kernel of any backbone of the space, fused as runtimes do, cheapest first."""
        found = {kernel for net in self._covering() for kernel in kernels_of(net)}
        return sorted(found, key=lambda kernel: (kernel.macs, kernel))

    def backbone(self, encoding: Encoding, block: str | tuple[str, str, str] = "basic") -> Net:
        """Build a backbone at the space's size, with its classifier where it fits."""
        net = backbone_net(encoding, block)
        if self.size_hw == _CLASSIFIER_HW:
            return net
        return cut(net, net.layer("pool5").bottoms[:1]).resize(*self.size_hw)

    def calibration_nets(self) -> list[Net]:
        """Build small unpublished backbones that have every type of block and of change of width."""
        a, b, c = (*self.widths, *self.widths[-1:] * 2)[:3]
        nets = [self.backbone(((a, a), (b, b, b), (c, c))), self.backbone(((a, b), (b, c), (c, c, c)))]
        if self.bottlenecks:
            nets.append(self.backbone(((a,), (a, b, b), (b, c)), _MIXED))
        return nets

    def _covering(self) -> Iterator[Net]:
        """Yield nets that together have every kernel: each pair of widths in each place where they may meet."""
        for narrow, wide in itertools.combinations_with_replacement(self.widths, 2):
            n, w = (narrow,), (wide,)
            for encoding in (
                (n + n + w, w + w, w + w),
                (n, n + n + w, w + w),
                (n, n, n + n + w),
                (n, w + w, w),
                (n, n, w + w),
            ):
                yield self.backbone(encoding)
                if self.bottlenecks:
                    yield self.backbone(encoding, _MIXED)
