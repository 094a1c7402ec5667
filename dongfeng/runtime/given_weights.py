"""What a user means by `weights`: a file, or a seed of random ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from dongfeng.errors import WeightsUnavailable

if TYPE_CHECKING:
    from dongfeng.net.graph import Net


@dataclass(frozen=True)
class GivenWeights:
    """Where weights come from: a file, or a seed.

    Attributes:
        path: The file; None for random weights.
        seed: Seed of random weights.
    """

    path: Path | None
    seed: int = 0

    def identity(self) -> str:
        """Return what changes when the weights change.

        Raises:
            OSError: the file cannot be read.
        """
        if self.path is None:
            return f"random:{self.seed}"
        from dongfeng.support.files import sha256_of

        return sha256_of(self.path)

    def put_on(self, net: Net) -> Net:
        """Return a net with these weights; a file is a .caffemodel.

        Raises:
            WeightsMismatch: they are another network's.
            ShapeError: the shape of a random weight depends on a dynamic input size.
        """
        if self.path is None:
            from dongfeng.net.random_weights import random_weights

            return random_weights(net, self.seed)
        from dongfeng.net.weights import load_caffemodel

        return load_caffemodel(net, self.path)


def parse_weights(weights: str | PathLike[str]) -> GivenWeights:
    """Return what a user means by `weights`: a path, "random" or "random:SEED".

    Raises:
        WeightsUnavailable: there is no such file.
    """
    if isinstance(weights, str) and (found := re.fullmatch(r"random(?::(\d+))?", weights)):
        return GivenWeights(None, int(found[1] or 0))
    path = Path(weights)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise WeightsUnavailable(f'{path}: {what}; weights is a weight file, "random" or "random:SEED"')
    return GivenWeights(path)
