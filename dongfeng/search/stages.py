"""`StageTuples`: the tuples of widths that one stage may have, as rows of an array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class StageTuples:
    """Non-decreasing tuples of widths, sorted by their first width.

    An architecture is a row number per stage, so that a space of millions needs a table of thousands.

    Attributes:
        widths: (rows, most blocks) int32, aligned at the last block: shallower tuples begin with zeros.
        first: (rows,) int32, width of the first block, never decreasing.
    """

    widths: Ints
    first: Ints

    @classmethod
    def enumerate(cls, choices: Sequence[int], depths: tuple[int, int]) -> StageTuples:
        """Return all tuples of a stage.

        Args:
            choices: Widths that a block may have, ascending.
            depths: Smallest and largest number of blocks, both included.
        """
        least, most = depths
        parts = []
        for depth in range(least, most + 1):
            tuples = np.array(list(combinations_with_replacement(choices, depth)), dtype=np.int32)
            parts.append(np.pad(tuples, ((0, 0), (most - depth, 0))))
        widths = np.concatenate(parts)
        first = widths[np.arange(len(widths)), (widths == 0).sum(axis=1)]
        order = np.argsort(first, kind="stable")
        return cls(widths[order], first[order])

    def __len__(self) -> int:
        return len(self.widths)

    @property
    def last(self) -> Ints:
        """Width of the last block, (rows,) int32."""
        return self.widths[:, -1]

    def row(self, widths: tuple[int, ...]) -> int:
        """Return the row of a tuple.

        Raises:
            KeyError: it is not among them.
        """
        return self._rows[widths]

    def tuple_of(self, row: int) -> tuple[int, ...]:
        """Return the tuple of a row."""
        return tuple(int(width) for width in self.widths[row] if width)

    def preceding(self, row: int) -> Bools:
        """Return whether each tuple precedes, or is, the tuple of a row, (rows,) bool.

        With zeros for missing blocks, the order is that of the widths place by place.
        """
        return np.asarray((self.widths <= self.widths[row]).all(axis=1))

    @cached_property
    def counts(self) -> Ints:
        """Numbers of blocks that are at least as wide as each width of the stage, (rows, widths) int32.

        One tuple precedes another exactly when none of its counts is larger.
        """
        choices = np.unique(self.widths[:, -1])
        return np.stack([(self.widths >= width).sum(axis=1, dtype=np.int32) for width in choices], axis=1)

    @cached_property
    def _rows(self) -> dict[tuple[int, ...], int]:
        return {self.tuple_of(row): row for row in range(len(self))}
