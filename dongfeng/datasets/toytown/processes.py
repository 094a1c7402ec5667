"""Drawing many scenes at once, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dongfeng.datasets.toytown.scene import Toytown
from dongfeng.errors import DongfengError

Labelled = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]  # (H, W, 3) BGR and (H, W) train ids


def draw_in_processes(town: Toytown, processes: int) -> dict[int, Labelled]:
    """Draw all scenes of a series.

    The processes run a program of their own: Python's worker processes would import the caller's script again.

    Returns:
        Image and labels of each scene, by its index.

    Raises:
        DongfengError: a process fails.
    """
    with ThreadPoolExecutor(processes) as pool:
        parts = [pool.submit(_draw_part, town, part, processes) for part in range(processes)]
        return {index: scene for part in parts for index, scene in part.result().items()}


def _draw_part(town: Toytown, part: int, parts: int) -> dict[int, Labelled]:
    """Run one process, which draws every `parts`-th scene from `part` on."""
    height, width = town.size_hw
    numbers = (len(town), height, width, town.seed, part, parts)
    path = os.pathsep.join(filter(None, (str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "dongfeng.datasets.toytown.draw_scenes", *map(str, numbers)]
    drawn: dict[int, Labelled] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}) as process:
        stdout = process.stdout
        try:
            for index in range(part, len(town), parts):
                data = b"" if stdout is None else stdout.read(height * width * 4)
                if len(data) < height * width * 4:
                    raise DongfengError(f"drawing scene {index} failed; its process ended with {process.wait()}")
                planes = np.frombuffer(data, np.uint8)
                image, labels = planes[: height * width * 3], planes[height * width * 3 :]
                drawn[index] = image.reshape(height, width, 3), labels.reshape(height, width)
        finally:
            process.kill()
    return drawn
