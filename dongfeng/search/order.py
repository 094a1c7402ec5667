"""The partial order of architectures.

x precedes y when, stage by stage, x's blocks embed in order into y's with no width larger. As widths never decrease,
the embedding to try is the one that puts last block on last block: if any fits, that one does, because it sets each
block of x against the widest of y that it could have. So x precedes y exactly when, aligned at the last block of each
stage, no block of x is wider than the one opposite, or without one.

This is the transitive closure of "drop a block" and "narrow a block", and the steps never leave the space: dropping y's
first blocks keeps what is left non-decreasing, and so does narrowing from the first block to the last.

The assumption of Partial Order Pruning is that of two comparable architectures the smaller is no more accurate. (The
paper also assumes it to be no slower; nothing here needs that, since every latency is known.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dongfeng.search.space import Encoding
from dongfeng.search.stages import Bools, Ints, StageTuples


def precedes(smaller: Encoding, larger: Encoding) -> bool:
    """Return whether an encoding precedes another, or is equal to it.

    Example:
        >>> precedes(((64, 64), (128, 128), (256, 512)), ((64, 64, 64), (128, 128, 128), (256, 256, 256, 512)))
        True
        >>> precedes(((128,), (128,), (256,)), ((64, 64, 64), (128, 128), (256,)))
        False
    """
    return len(smaller) == len(larger) and all(
        len(x) <= len(y) and all(a <= b for a, b in zip(reversed(x), reversed(y), strict=False))
        for x, y in zip(smaller, larger, strict=True)
    )


def preceding(stages: Sequence[StageTuples], rows: Ints, larger: Ints) -> Bools:
    """Return which of many architectures precede one, or are equal to it.

    Args:
        stages: The tables of the stages.
        rows: (stages, n) rows of the n architectures in those tables.
        larger: (stages,) rows of that one.

    Returns:
        (n,) bool.
    """
    found: Bools = np.ones(rows.shape[1], dtype=np.bool_)
    for stage, column, row in zip(stages, rows, larger, strict=True):
        found &= stage.preceding(int(row))[column]
    return found
