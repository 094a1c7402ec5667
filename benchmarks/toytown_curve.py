"""Is toytown hard enough that a larger network is better? The same short training of nets of several widths.

    python benchmarks/toytown_curve.py
    python benchmarks/toytown_curve.py --steps 1500 --factors 0.25 0.5 1

Every net is Toytown-Seg with all widths multiplied, and is trained by the recipe of `toytown_seg` with fewer steps, on
the same scenes in the same order.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from dongfeng.architectures import segmentation_net
from dongfeng.architectures.toytown import DECODER, ENCODING, PSP_KERNELS, SIZE_HW, STEM
from dongfeng.net.graph import Net
from dongfeng.training import open_data, read_recipe, train


def scaled(factor: float) -> Net:
    """Toytown-Seg with all widths multiplied."""

    def widths(found: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(max(4, round(factor * width)) for width in found)

    return segmentation_net(
        [widths(stage) for stage in ENCODING],
        widths(DECODER),
        name=f"toytown_seg x {factor:g}",
        size_hw=SIZE_HW,
        stem=widths(STEM),
        psp_kernels=PSP_KERNELS,
    )


def main() -> None:
    """Train them and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=1500, help="updates of each (default: 1500)")
    parser.add_argument("--factors", type=float, nargs="+", default=[0.25, 0.5, 1.0, 1.5], metavar="F")
    parser.add_argument("--threads", type=int, default=1, help="(default: 1)")
    args = parser.parse_args()
    config = replace(read_recipe("toytown_seg"), steps=args.steps, eval_every=args.steps, threads=args.threads)
    data = open_data(
        config.data, size_hw=SIZE_HW, seed=config.seed, validation_images=config.validation_images, note=print
    )
    print(f"{'parameters':>12}{'MMAC':>8}{'mIoU':>8}  net")
    for factor in args.factors:
        net = scaled(factor)
        cost = net.cost()
        parameters, macs = sum(row.parameters for row in cost), sum(row.macs for row in cost)
        miou = train(net, config, data=data).metrics.miou
        print(f"{parameters:12,}{macs / 1e6:8.1f}{miou:8.3f}  {net.name}", flush=True)


if __name__ == "__main__":
    main()
