"""Program that draws toytown scenes and writes their bytes to stdout: image, then labels, scene after scene."""

from __future__ import annotations

import sys

from dongfeng.datasets.toytown import Toytown


def main(argv: list[str]) -> None:
    """Draw every `parts`-th scene from `part` on."""
    count, height, width, seed, part, parts = map(int, argv)
    import cv2

    cv2.setNumThreads(1)  # there is a process for each core
    town = Toytown(count, (height, width), seed)
    for index in range(part, count, parts):
        scene = town[index]
        sys.stdout.buffer.write(scene.image_bgr.tobytes())
        sys.stdout.buffer.write(scene.labels.tobytes())


if __name__ == "__main__":
    main(sys.argv[1:])
