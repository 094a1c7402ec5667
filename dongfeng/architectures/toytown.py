"""Toytown-Seg: a slim member of the segmentation nets, whose trained weights ship with the package.

It is the template of the others at a quarter of Cityscapes' height, for synthetic street scenes
(`dongfeng.datasets.toytown`). Most of its weights are in stem, stage 3 and decoder, for its objects are small; the deep
stages are narrow.
"""

from __future__ import annotations

from dongfeng.architectures.decoder import segmentation_net
from dongfeng.net.graph import Net

SIZE_HW = (256, 512)

ENCODING = ((48, 48), (64, 64), (80, 80))
DECODER = (48, 48, 64)
STEM = (24, 48)
PSP_KERNELS = (8, 4, 2, 1)  # 1, 2, 4 and 8 windows along 256 pixels at 1/32


def toytown_net(*, name: str = "toytown_seg", folded: bool = False) -> Net:
    """Build the net, without weights, from `data` (1, 3, 256, 512) to `pred` and `pred_d8` (see `segmentation_net`)."""
    return segmentation_net(
        ENCODING, DECODER, name=name, folded=folded, size_hw=SIZE_HW, stem=STEM, psp_kernels=PSP_KERNELS
    )
